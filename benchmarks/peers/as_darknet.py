"""A tape and its weights as darknet's own files, for the peers that read nothing else.

A section a convolution, pool, join, sum and head; an activation belongs to the section before it. Where a layer does
not read the one just before, a [route] stands between, as in hand-written cfgs. What darknet has another way of saying,
and no network here needs, is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from edgecsp.core import Array, Yolo
from edgecsp.darknet import weights as darknet_weights
from edgecsp.errors import BadModel
from edgecsp.export import Weights
from edgecsp.net import Layer, Net

Option = Tuple[str, Any]


def write(net: Net, weights: Weights, anchors_wh: Sequence[Tuple[float, float]], cfg: Path, floats: Path) -> None:
    """Write `net` to `cfg` and `floats`; `anchors_wh` is the whole list, of which heads know their part as mask.

    Raises `BadModel` for a layer that this does not know how to say.
    """
    cfg.write_text(text(net, anchors_wh), "utf-8")
    with floats.open("wb") as file:
        darknet_weights.write(file, tuple(_floats(net, weights)))


def text(net: Net, anchors_wh: Sequence[Tuple[float, float]]) -> str:
    """The cfg of a tape. Raises `BadModel`."""
    said = _Cfg(net)
    heads = {tensor.layer: head for tensor, head in net.heads}
    for index, layer in enumerate(net.layers):
        if layer.op not in _SAID:
            raise BadModel(f"layer {index} of the tape is {layer.op}, which is not written as a cfg")
        said.at[index] = _SAID[layer.op](said, index, layer)
        if isinstance(heads.get(index), Yolo):
            said.section("yolo", *_yolo(heads[index], anchors_wh))
    return "\n".join(said.lines).lstrip() + "\n"


def _yolo(head: Any, anchors_wh: Sequence[Tuple[float, float]]) -> Iterator[Option]:
    yield "mask", ",".join(map(str, head.mask))
    yield "anchors", ", ".join(f"{w:g},{h:g}" for w, h in anchors_wh)
    yield from (("classes", head.classes), ("num", len(anchors_wh)))
    if head.scale_xy != 1 or head.new_coords:
        yield from (("scale_x_y", head.scale_xy), ("new_coords", int(head.new_coords)))


class _Cfg:
    """Lines as they grow: `at` says which section's output a layer of the tape is, `last` is the newest section."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.last = -2  # [net] is no layer
        self.at: Dict[int, int] = {-1: -1}
        self.lines: List[str] = []
        self.section("net", ("batch", 1), ("width", net.input.w), ("height", net.input.h), ("channels", net.input.c))

    def section(self, kind: str, *options: Option) -> int:
        """The next section; returns which one it is."""
        self.lines += ["", f"[{kind}]", *(f"{key}={value}" for key, value in options)]
        self.last += 1
        return self.last

    def reading(self, layer: Layer, kind: str, *options: Option) -> int:
        """The next section, one that reads a layer's first input; by a [route] if that does not stand just before."""
        if self.at[layer.inputs[0]] != self.last:
            self.section("route", ("layers", self.at[layer.inputs[0]]))
        return self.section(kind, *options)


def _conv(said: _Cfg, index: int, layer: Layer) -> int:
    (kh, kw), (sh, sw), (ph, pw) = (layer.attrs[name] for name in ("size", "stride", "pad"))
    if (kh, sh, ph) != (kw, sw, pw) or layer.attrs["dilation"] != 1:
        raise BadModel(f"layer {index} of the tape is a convolution of two sizes or dilated, which is not written")
    options: List[Option] = [("batch_normalize", 1)] if layer.attrs["bn"] else []
    options += [("filters", layer.attrs["filters"]), ("size", kh), ("stride", sh), ("padding", ph)]
    options += [("groups", layer.attrs["groups"])] if layer.attrs["groups"] > 1 else []
    return said.reading(layer, "convolutional", *options, ("activation", _activation(said.net, index)))


def _maxpool(said: _Cfg, index: int, layer: Layer) -> int:
    (size, other), (stride, second) = layer.attrs["size"], layer.attrs["stride"]
    if (size, stride) != (other, second) or layer.attrs["pads"][:2] != ((size - 1) // 2,) * 2:
        raise BadModel(f"layer {index} of the tape is a pool of two sizes or not padded by darknet's rule")
    return said.reading(layer, "maxpool", ("size", size), ("stride", stride))


def _concat(said: _Cfg, index: int, layer: Layer) -> int:
    return said.section("route", ("layers", ",".join(str(said.at[each]) for each in layer.inputs)))


def _add(said: _Cfg, index: int, layer: Layer) -> int:
    options = (("from", said.at[layer.inputs[1]]), ("activation", _activation(said.net, index)))
    return said.reading(layer, "shortcut", *options)


def _upsample(said: _Cfg, index: int, layer: Layer) -> int:
    return said.reading(layer, "upsample", ("stride", layer.attrs["factor"]))


def _slice(said: _Cfg, index: int, layer: Layer) -> int:
    # A [shortcut] takes as many channels of `from` as it has itself.
    readers = [each for each in said.net.layers if index in each.inputs]
    summed = all(each.op == "add" and each.inputs[1] == index for each in readers)
    if (layer.attrs["start"], layer.attrs["step"]) != (0, 1) or not summed:
        raise BadModel(f"layer {index} of the tape takes channels out, and not the first ones for a sum")
    return said.at[layer.inputs[0]]


def _act(said: _Cfg, index: int, layer: Layer) -> int:
    return said.at[layer.inputs[0]]  # written where its layer is


def _activation(net: Net, index: int) -> str:
    """What is applied to a layer's output: darknet says it in the same section."""
    readers = [each for each in net.layers if index in each.inputs]
    acts = [each.attrs["kind"] for each in readers if each.op == "act"]
    if acts and len(readers) > 1:
        raise BadModel(f"layer {index} of the tape is read with an activation and without, which is not written")
    return str(acts[0]) if acts else "linear"


_SAID: Dict[str, Callable[[_Cfg, int, Layer], int]] = {
    "conv": _conv,
    "maxpool": _maxpool,
    "concat": _concat,
    "add": _add,
    "upsample": _upsample,
    "slice": _slice,
    "act": _act,
}


def _floats(net: Net, weights: Weights) -> Iterator[Array]:
    """Every convolution's arrays, in the file's order."""
    for index, layer in enumerate(net.layers):
        if layer.op == "conv":
            n, kernel = layer.attrs["filters"], layer.attrs["size"]
            for part in ("bias", "scale", "mean", "variance") if layer.attrs["bn"] else ("bias",):
                yield weights.take(part, (n,), f"layer {index}")
            yield weights.take("weights", (n, layer.weights // (n * kernel[0] * kernel[1]), *kernel), f"layer {index}")
