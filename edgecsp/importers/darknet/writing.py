"""Write a network and its weights as darknet's own files.

    writing.write(net, weights, anchors_wh, Path("best.cfg"), Path("best.weights"))

A section a convolution, pool, join, sum, product, reorg and head; an activation belongs to the section before it.
Where a layer does not read the one just before, a [route] stands between, as in hand-written cfgs. What darknet has no
section for is an error that names the layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ...cache import files
from ...errors import BadModel
from ...graph.layers import Layer, Net, Tensor
from ...graph.weights import Weights, kernel_shape, stored_parts
from ...processing.heads.gaussian_yolo import GaussianYolo
from ...processing.heads.region import YoloRegion
from ...processing.heads.yolo import Yolo
from ...types import Array, Head
from . import weights as weights_file

Option = Tuple[str, Any]


def write(net: Net, weights: Weights, anchors_wh: Sequence[Tuple[float, float]], cfg: Path, floats: Path) -> None:
    """Write `net` to `cfg` and `floats`; `anchors_wh` is the whole list, of which heads know their part as mask.

    Raises `BadModel` for a layer that darknet has no section for, `OutputError`.
    """
    cfg_text = text(net, anchors_wh)
    with files.atomic(floats) as file:
        weights_file.write(file, tuple(arrays(net, weights)))
    with files.atomic(cfg) as file:
        file.write(cfg_text.encode())


def text(net: Net, anchors_wh: Sequence[Tuple[float, float]], comment: str = "") -> str:
    """Write the cfg text of a network, below a `comment` of one line. Raises `BadModel`."""
    cfg = _Cfg(net)
    heads = list(net.heads)
    for index, layer in enumerate(net.layers):
        if layer.op not in _WRITERS:
            raise cfg.error(index, f"is {layer.op}, which darknet has no section for")
        cfg.at[index] = _WRITERS[layer.op](cfg, index, layer)
        while heads and heads[0][0].layer <= index:  # in the heads' own order, which decides what is head0
            tensor, head = heads.pop(0)
            cfg.reading(tensor.layer, head.kind.replace("-", "_"), *_head(cfg, tensor, head, anchors_wh))
    return (f"# {comment}\n" if comment else "") + "\n".join(cfg.lines).lstrip() + "\n"


def arrays(net: Net, weights: Weights) -> Iterator[Array]:
    """Yield every layer's arrays in the order of a `.weights` file."""
    for index, layer in enumerate(net.layers):
        for part in stored_parts(layer):
            shape = kernel_shape(layer)
            yield weights.take(part, shape if part == "weights" else shape[:1], f"layer {index}")


def _head(cfg: _Cfg, tensor: Tensor, head: Head, anchors_wh: Sequence[Tuple[float, float]]) -> Iterator[Option]:
    if isinstance(head, (Yolo, GaussianYolo)):
        return _yolo(head, anchors_wh)
    if isinstance(head, YoloRegion):
        return _region(cfg, tensor, head)
    raise cfg.error(tensor.layer, "is no YOLO head, and only those are written")


def _region(cfg: _Cfg, tensor: Tensor, head: YoloRegion) -> Iterator[Option]:
    across, down = tensor.w / cfg.net.input.w, tensor.h / cfg.net.input.h
    yield "anchors", ", ".join(f"{_number(w * across)},{_number(h * down)}" for w, h in head.anchors_wh)
    yield from (("classes", head.classes), ("coords", 4), ("num", len(head.anchors_wh)), ("softmax", 1))


def _yolo(head: Union[Yolo, GaussianYolo], anchors_wh: Sequence[Tuple[float, float]]) -> Iterator[Option]:
    if tuple(tuple(anchors_wh[i]) for i in head.mask) != head.anchors_wh:
        raise BadModel(f"{head.name} has the anchors {head.anchors_wh}, which its mask does not choose of {anchors_wh}")
    yield "mask", ",".join(map(str, head.mask))
    yield "anchors", ", ".join(f"{_number(w)},{_number(h)}" for w, h in anchors_wh)
    yield from (("classes", head.classes), ("num", len(anchors_wh)))
    if head.scale_xy != 1:
        yield "scale_x_y", _number(head.scale_xy)
    if isinstance(head, Yolo) and head.new_coords:
        yield "new_coords", 1


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


class _Cfg:
    """Lines as they grow: `at` is which section's output a layer of the tape is, `last` the newest section."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.last = -2  # [net] is no layer
        self.at: Dict[int, int] = {-1: -1}
        self.lines: List[str] = []
        self.sums: Dict[int, int] = {}  # the layers of a sum of fewer channels -> its concat
        self.readers: Dict[int, List[int]] = {}
        for index, layer in enumerate(net.layers):
            for source in layer.inputs:
                self.readers.setdefault(source, []).append(index)
        size = (("width", net.input.w), ("height", net.input.h), ("channels", net.input.c))
        self.section("net", ("batch", 1), ("subdivisions", 1), *size)

    def section(self, kind: str, *options: Option) -> int:
        """The next section; returns which one it is."""
        self.lines += ["", f"[{kind}]", *(f"{key}={value}" for key, value in options)]
        self.last += 1
        return self.last

    def reading(self, source: int, kind: str, *options: Option) -> int:
        """The next section, one that reads a layer of the tape; by a [route] if that does not stand just before."""
        if self.at[source] != self.last:
            self.section("route", ("layers", self.place(source)))
        return self.section(kind, *options)

    def place(self, source: int) -> int:
        """The number that another section names a layer by."""
        if self.at[source] < 0:
            raise BadModel("the input image is read by more than the first layer, which darknet has no section for")
        return self.at[source]

    def shape(self, index: int) -> Tuple[int, int, int]:
        """A layer's (c, h, w)."""
        return self.net.layers[index].shape if index >= 0 else (self.net.input.c, self.net.input.h, self.net.input.w)

    def only_reader(self, index: int, op: str) -> Optional[Layer]:
        """The layer of a kind that reads this one, which then must be the only one that does."""
        readers = self.readers.get(index, [])
        matching = [self.net.layers[each] for each in readers if self.net.layers[each].op == op]
        if matching and len(readers) + sum(tensor.layer == index for tensor, _ in self.net.heads) > 1:
            raise self.error(index, f"is read with {op} and without, which darknet has no section for")
        return matching[0] if matching else None

    def activation(self, index: int) -> Option:
        """The activation of a layer's output: darknet states it in the same section."""
        act = self.only_reader(index, "act")
        return "activation", act.attrs["kind"] if act else "linear"

    def error(self, index: int, problem: str) -> BadModel:
        """The error to raise for a layer of the tape."""
        return BadModel(f"layer {index} of the tape {problem}")


def _connected(cfg: _Cfg, index: int, layer: Layer) -> int:
    options: List[Option] = [("batch_normalize", 1)] if layer.attrs["bn"] else []
    options += [("output", layer.attrs["filters"]), cfg.activation(index)]
    return cfg.reading(layer.inputs[0], "connected", *options)


def _batchnorm(cfg: _Cfg, index: int, layer: Layer) -> int:
    return cfg.reading(layer.inputs[0], "batchnorm")


def _reorg(cfg: _Cfg, index: int, layer: Layer) -> int:
    return cfg.reading(layer.inputs[0], layer.op, ("stride", layer.attrs["block"]))


def _crop(cfg: _Cfg, index: int, layer: Layer) -> int:
    (_, above, beside), (_, h, w) = cfg.shape(layer.inputs[0]), layer.shape
    if (layer.attrs["top"], layer.attrs["left"]) != ((above - h) // 2, (beside - w) // 2):
        raise cfg.error(index, "cuts out a part that is not the middle, which darknet has no section for")
    return cfg.reading(layer.inputs[0], "crop", ("crop_height", h), ("crop_width", w), ("noadjust", 1))


def _conv(cfg: _Cfg, index: int, layer: Layer) -> int:
    (kh, kw), (ph, pw), dilation = (layer.attrs[name] for name in ("size", "pad", "dilation"))
    if (kh, ph) != (kw, pw) or ph % dilation:
        raise cfg.error(index, "is a convolution that is not square, which darknet has no section for")
    options: List[Option] = [("batch_normalize", 1)] if layer.attrs["bn"] else []
    options += [("filters", layer.attrs["filters"]), ("size", kh), *_strides(layer), ("padding", ph // dilation)]
    options += [("dilation", dilation)] if dilation > 1 else []
    options += [("groups", layer.attrs["groups"])] if layer.attrs["groups"] > 1 else []
    options += [("share_index", cfg.place(layer.attrs["source"]))] if layer.op == "shared_conv" else []
    return cfg.reading(layer.inputs[0], "convolutional", *options, cfg.activation(index))


def _strides(layer: Layer) -> List[Option]:
    down, across = layer.attrs["stride"]
    return [("stride", down)] if down == across else [("stride_y", down), ("stride_x", across)]


def _pool(cfg: _Cfg, index: int, layer: Layer) -> int:
    (size, other), pads = layer.attrs["size"], layer.attrs["pads"]
    sides = list(zip(cfg.shape(layer.inputs[0])[1:], layer.attrs["stride"], layer.shape[1:]))
    able = [
        total
        for total in (size - 1, 2 * pads[0], 2 * pads[0] + 1)
        if pads[:2] == (total // 2,) * 2 and all((n + total - size) // stride + 1 == out for n, stride, out in sides)
    ]
    if size != other or not able:
        raise cfg.error(index, "is a pool of two sizes or not padded by darknet's rule")
    options = [("size", size), *_strides(layer), *([] if able[0] == size - 1 else [("padding", able[0])])]
    return cfg.reading(layer.inputs[0], "maxpool" if layer.op == "maxpool" else "local_avgpool", *options)


def _maxout(cfg: _Cfg, index: int, layer: Layer) -> int:
    options = (("maxpool_depth", 1), ("out_channels", layer.attrs["channels"]), ("size", 1), ("stride", 1))
    return cfg.reading(layer.inputs[0], "maxpool", *options)


def _global_avgpool(cfg: _Cfg, index: int, layer: Layer) -> int:
    return cfg.reading(layer.inputs[0], "avgpool")


def _concat(cfg: _Cfg, index: int, layer: Layer) -> int:
    if index in cfg.sums:
        return cfg.at[layer.inputs[0]]
    return cfg.section("route", ("layers", ",".join(str(cfg.place(each)) for each in layer.inputs)))


def _slice(cfg: _Cfg, index: int, layer: Layer) -> int:
    (source,), (start, stop, step) = layer.inputs, (layer.attrs[name] for name in ("start", "stop", "step"))
    readers = [cfg.net.layers[each] for each in cfg.readers.get(index, [])]
    if (start, step) == (0, 1) and readers and all(each.op == "add" and each.inputs[1] == index for each in readers):
        return cfg.at[source]  # a [shortcut] takes as many channels of `from` as it has itself
    if index not in cfg.sums:
        cfg.sums.update(_sum_of_fewer(cfg, index))
    if index in cfg.sums:
        return cfg.at[source]
    share, channels = stop - start, cfg.shape(source)[0]
    if step != 1 or channels % share or start % share:
        raise cfg.error(index, f"takes channels {start}:{stop}:{step} of {channels}, which darknet has no section for")
    groups = (("groups", channels // share), ("group_id", start // share))
    return cfg.section("route", ("layers", cfg.place(source)), *groups)


def _sum_of_fewer(cfg: _Cfg, index: int) -> Dict[int, int]:
    """The layers of a [shortcut] whose `from` has fewer channels: some are added, the others pass; {} for others."""
    parts = cfg.net.layers[index : index + 4]
    if [each.op for each in parts] != ["slice", "add", "slice", "concat"]:
        return {}
    first, total, rest, whole = parts
    fits = (
        (first.attrs["start"], first.attrs["step"], rest.attrs["step"]) == (0, 1, 1)
        and total.inputs[0] == index
        and rest.inputs == first.inputs
        and (rest.attrs["start"], rest.attrs["stop"]) == (first.attrs["stop"], cfg.shape(first.inputs[0])[0])
        and whole.inputs == (index + 1, index + 2)
        and all(len(cfg.readers[each]) == 1 for each in range(index, index + 3))
    )
    return dict.fromkeys(range(index, index + 4), index + 3) if fits else {}


def _add(cfg: _Cfg, index: int, layer: Layer) -> int:
    first, second = layer.inputs
    if cfg.shape(first) != cfg.shape(second):
        raise cfg.error(index, "adds maps of two shapes, which darknet has no section for")
    # Of a sum of fewer channels, the whole map is read, and the activation follows the concat.
    source = cfg.net.layers[first].inputs[0] if index in cfg.sums else first
    options = (("from", cfg.place(second)), cfg.activation(cfg.sums.get(index, index)))
    return cfg.reading(source, "shortcut", *options)


def _mul(cfg: _Cfg, index: int, layer: Layer) -> int:
    x, gate = layer.inputs
    act = cfg.activation(index)
    if cfg.shape(x) != cfg.shape(gate):
        scale_wh = [("scale_wh", 1)] if cfg.shape(gate)[0] == 1 else []
        return cfg.reading(gate, "scale_channels", ("from", cfg.place(x)), *scale_wh, act)
    if cfg.at[gate] == cfg.last:
        x, gate = gate, x
    return cfg.reading(x, "sam", ("from", cfg.place(gate)), act)


def _upsample(cfg: _Cfg, index: int, layer: Layer) -> int:
    scale = cfg.only_reader(index, "scale")
    options = [("scale", _number(scale.attrs["factor"]))] if scale else []
    return cfg.reading(layer.inputs[0], "upsample", ("stride", layer.attrs["factor"]), *options)


def _within(cfg: _Cfg, index: int, layer: Layer) -> int:
    """A layer that is written in the section of what it reads."""
    source = layer.inputs[0]
    op = cfg.net.layers[source].op if source >= 0 else "input"
    able = {"act": ("conv", "shared_conv", "connected", "add", "mul"), "scale": ("upsample",)}
    if layer.op in able and op not in able[layer.op] and source not in cfg.sums:
        raise cfg.error(index, f"is {layer.op} behind {op}, which darknet has no section for")
    return cfg.at[source]


_WRITERS: Dict[str, Callable[[_Cfg, int, Layer], int]] = {
    "conv": _conv,
    "shared_conv": _conv,
    "connected": _connected,
    "batchnorm": _batchnorm,
    "reorg": _reorg,
    "reorg3d": _reorg,
    "crop": _crop,
    "maxpool": _pool,
    "avgpool": _pool,
    "global_avgpool": _global_avgpool,
    "maxout": _maxout,
    "concat": _concat,
    "slice": _slice,
    "add": _add,
    "mul": _mul,
    "upsample": _upsample,
    "act": _within,
    "scale": _within,
    "identity": _within,
}
