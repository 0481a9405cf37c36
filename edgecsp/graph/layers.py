"""`Net`: a tape of layers. Shapes, parameters and BFLOPs are known as you call; no array is touched.

    net = Net(3, 416, 416)
    x = net.conv(net.input, 16, 3)
    x = net.maxpool(x, 2, 2)
    net.yolo(net.conv(x, 255, 1, bn=False, act="linear"), classes=80, anchors_wh=((81, 82), (135, 169), (344, 319)))

The order of `conv` calls is the order of darknet's `.weights` file. `edgecsp.graph.export` turns a tape and its
weights into ONNX; anything else (a trainer, a slow oracle) can read `net.layers` as data.

Costs are counted as the CSPNet paper's tables count them: BFLOPs = 2*k*k*(c_in/groups)*c_out*h*w of every
convolution + k*k*c*h*w of every max-pool, everything else 0; parameters = convolution weights alone.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

from ..errors import BadModel
from ..processing.heads.gaussian_yolo import GaussianYolo
from ..processing.heads.region import YoloRegion
from ..processing.heads.scores import Scores
from ..processing.heads.two_stage import Raw
from ..processing.heads.yolo import Yolo
from ..types import Head
from .tape import MAX_ELEMENTS, MAX_LAYERS, MAX_MAXOUT, MAX_REORG, MAX_SIDE, MAX_WEIGHTS, Layer, Pair, Tape, Tensor
from .tape import format_shapes as _format_shapes
from .tape import pair as _pair

__all__ = ["ACTIVATIONS", "MAX_ELEMENTS", "MAX_LAYERS", "MAX_SIDE", "MAX_WEIGHTS", "Layer", "Net", "Tensor"]

ACTIVATIONS = ("linear", "leaky", "relu", "relu6", "mish", "swish", "logistic", "tanh", "ramp")


class Net(Tape):
    """A tape of layers over one image of (channels, height, width). Impossible layers raise `BadModel`."""

    # -- layers that carry weights ---------------------------------------------------------------------

    def conv(
        self,
        x: Tensor,
        filters: int,
        size: Pair,
        *,
        stride: Pair = 1,
        groups: int = 1,
        pad: Optional[int] = None,
        dilation: int = 1,
        bn: bool = True,
        act: str = "leaky",
        share: Optional[Tensor] = None,
    ) -> Tensor:
        """Convolution [+ batch-norm] + activation; `pad` on all sides, size // 2 when not given.

        With `share`, another convolution before its activation, the weights are that one's, stored once.
        """
        (kh, kw), (sh, sw) = _pair(size), _pair(stride)
        if min(filters, kh, kw, sh, sw, groups, dilation) < 1 or (pad is not None and pad < 0):
            raise BadModel("a convolution's filters, size, stride, groups and dilation start at 1, its pad at 0")
        if x.c % groups or filters % groups:
            raise BadModel(f"{x.c} channels in and {filters} out cannot be split into {groups} groups")
        ph, pw = (kh // 2 * dilation, kw // 2 * dilation) if pad is None else (pad, pad)
        h = (x.h + 2 * ph - dilation * (kh - 1) - 1) // sh + 1
        w = (x.w + 2 * pw - dilation * (kw - 1) - 1) // sw + 1
        weights = filters * (x.c // groups) * kh * kw
        costs = (weights, weights + filters * (4 if bn else 1), 2 * weights * h * w)
        op, shared = "conv", {}
        if share is not None:
            self._check_shared(share, weights, filters=filters, size=(kh, kw), groups=groups, bn=bn)
            op, shared, costs = "shared_conv", {"source": share.layer}, (0, 0, costs[2])
        convolved = self._add(
            op,
            [x],
            (filters, h, w),
            costs,
            filters=filters,
            size=(kh, kw),
            stride=(sh, sw),
            groups=groups,
            pad=(ph, pw),
            dilation=dilation,
            bn=bn,
            **shared,
        )
        return self.act(convolved, act)

    def _check_shared(self, share: Tensor, weights: int, **needed: Any) -> None:
        like = self.layers[share.layer] if share.layer >= 0 else None
        if like is None or like.op != "conv":
            raise BadModel("weights can be shared with a convolution that has its own")
        if like.weights != weights or any(like.attrs[key] != value for key, value in needed.items()):
            raise BadModel(
                "weights are shared between convolutions of the same channels, filters, size, groups and batch-norm"
            )

    def connected(self, x: Tensor, outputs: int, *, bn: bool = False, act: str = "leaky") -> Tensor:
        """Every output reads the whole map: a convolution as large as the map, (outputs, 1, 1).

        A `.weights` file stores its weights in front of the batch-norm, unlike a convolution's.
        """
        weights = outputs * x.c * x.h * x.w
        costs = (weights, weights + outputs * (4 if bn else 1), 2 * weights)
        return self.act(self._weighted("connected", x, (outputs, 1, 1), costs, size=(x.h, x.w), bn=bn), act)

    def batchnorm(self, x: Tensor) -> Tensor:
        """Batch-norm alone, with its bias: a convolution of one channel each whose weights are 1."""
        return self._weighted("batchnorm", x, x[1:], (0, 4 * x.c, 0), size=(1, 1), groups=x.c)

    def _weighted(
        self,
        op: str,
        x: Tensor,
        shape: Tuple[int, int, int],
        costs: Tuple[int, int, int],
        *,
        size: Tuple[int, int],
        groups: int = 1,
        bn: bool = True,
    ) -> Tensor:
        """Add a layer that the graph computes as a convolution without padding."""
        plain = {"stride": (1, 1), "pad": (0, 0), "dilation": 1}
        return self._add(op, [x], shape, costs, filters=shape[0], size=size, groups=groups, bn=bn, **plain)

    # -- layers that do not ----------------------------------------------------------------------------

    def act(self, x: Tensor, kind: str) -> Tensor:
        """An activation; "linear" adds no layer, "ramp" (darknet's before its leaky) those of max(x, 0) + x / 10."""
        if kind == "linear":
            return x
        if kind == "ramp":
            return self.shortcut(self.act(x, "relu"), self.scale(x, 0.1))
        if kind not in ACTIVATIONS:
            raise BadModel(f"activation {kind!r} is not one of {', '.join(ACTIVATIONS)}")
        return self._add("act", [x], x[1:], kind=kind)

    def maxpool(self, x: Tensor, size: Pair, stride: Pair, *, padding: Optional[int] = None) -> Tensor:
        """Max-pool with darknet's padding: `padding` (size - 1 when not given) is the sum of both sides,
        the smaller half first; padded places never win.
        """
        return self._pool("maxpool", x, _pair(size), _pair(stride), padding)

    def avgpool(self, x: Tensor, size: Pair, stride: Pair, *, padding: Optional[int] = None) -> Tensor:
        """Average-pool with the same padding; padded places are not counted in the mean."""
        return self._pool("avgpool", x, _pair(size), _pair(stride), padding)

    def _pool(
        self, op: str, x: Tensor, size: Tuple[int, int], stride: Tuple[int, int], padding: Optional[int]
    ) -> Tensor:
        if min(size + stride) < 1 or max(size) > MAX_SIDE or (padding is not None and padding < 0):
            raise BadModel(f"{op} size {size} stride {stride} padding {padding} cannot be meant")
        before, after, out = [], [], []
        for length, k, s in zip((x.h, x.w), size, stride):
            total = k - 1 if padding is None else padding
            if (total + 1) // 2 >= k:
                raise BadModel(f"{op} of size {k} with padding {total} would pool padding alone")
            n = (length + total - k) // s + 1 if length + total >= k else 0
            before.append(total // 2)
            # Padding that no window reaches is left out: even sizes then need none at all.
            after.append(max(0, (n - 1) * s + k - total // 2 - length))
            out.append(n)
        flops = size[0] * size[1] * x.c * out[0] * out[1] if op == "maxpool" else 0
        pads = (before[0], before[1], after[0], after[1])
        return self._add(op, [x], (x.c, out[0], out[1]), (0, 0, flops), size=size, stride=stride, pads=pads)

    def global_avgpool(self, x: Tensor) -> Tensor:
        """The mean over the whole map: (c, 1, 1)."""
        return self._add("global_avgpool", [x], (x.c, 1, 1))

    def maxout(self, x: Tensor, channels: int) -> Tensor:
        """Cross-channel max-pool to `channels`: out[g] = max over j of x[g + j * channels]."""
        if channels < 1 or x.c % channels:
            raise BadModel(f"maxout: {x.c} channels are no multiple of {channels}")
        if x.c // channels > MAX_MAXOUT:
            raise BadModel(f"maxout of {x.c} channels to {channels}: at most {MAX_MAXOUT} may become one")
        return self._add("maxout", [x], (channels, x.h, x.w), (0, 0, x.c * x.h * x.w), channels=channels)

    def concat(self, *xs: Tensor) -> Tensor:
        """Channels side by side, in the order given."""
        if not xs or any((x.h, x.w) != (xs[0].h, xs[0].w) for x in xs):
            raise BadModel(f"concat needs maps of one size; found {_format_shapes(xs)}")
        return xs[0] if len(xs) == 1 else self._add("concat", xs, (sum(x.c for x in xs), xs[0].h, xs[0].w))

    def slice(self, x: Tensor, start: int, stop: int, step: int = 1) -> Tensor:
        """Channels start:stop:step."""
        if not (0 <= start < stop <= x.c and step > 0):
            raise BadModel(f"slice {start}:{stop}:{step} of {x.c} channels cannot be meant")
        if (start, stop, step) == (0, x.c, 1):
            return x
        channels = len(range(start, stop, step))
        return self._add("slice", [x], (channels, x.h, x.w), start=start, stop=stop, step=step)

    def shortcut(self, x: Tensor, other: Tensor, act: str = "linear") -> Tensor:
        """x + other on the channels that both have; the result has x's shape (darknet, PRN).

        Of a larger map every n-th place is added, n being how many times its sides are x's, rounded down.
        Source: darknet blas.c, shortcut_cpu.
        """
        common = min(x.c, other.c)
        other = self._sample(self.slice(other, 0, common), x)
        total = self._add("add", [self.slice(x, 0, common), other], (common, x.h, x.w))
        if common < x.c:
            total = self.concat(total, self.slice(x, common, x.c))
        return self.act(total, act)

    def _sample(self, larger: Tensor, x: Tensor) -> Tensor:
        """The places of a larger map that a shortcut adds to `x`."""
        step = larger.w // x.w
        if (larger.h, larger.w) == (x.h, x.w):
            return larger
        if not (larger.w > x.w and larger.h > x.h and larger.h // x.h == step):
            raise BadModel(
                "shortcut needs maps of one size, or adds a map that is as many times larger in both directions; "
                f"found {_format_shapes((x, larger))}"
            )
        if step > 1:  # a pool of one place costs nothing, and every engine and training has it
            shape = (larger.c, (larger.h - 1) // step + 1, (larger.w - 1) // step + 1)
            larger = self._add("maxpool", [larger], shape, size=(1, 1), stride=(step, step), pads=(0, 0, 0, 0))
        return self.crop(larger, x.h, x.w, 0, 0)

    def crop(self, x: Tensor, height: int, width: int, top: int, left: int) -> Tensor:
        """The part of a map that begins at (top, left)."""
        if min(height, width) < 1 or min(top, left) < 0 or top + height > x.h or left + width > x.w:
            raise BadModel(f"{width}x{height} at ({left}, {top}) cannot be cut out of {_format_shapes([x])}")
        same = (height, width) == (x.h, x.w)
        return x if same else self._add("crop", [x], (x.c, height, width), top=top, left=left)

    def add(self, x: Tensor, other: Tensor, act: str = "linear") -> Tensor:
        """x + other, where `other` may also be a (c, 1, 1) vector that is added everywhere."""
        return self._broadcast("add", x, other, act)

    def mul(self, x: Tensor, other: Tensor, act: str = "linear") -> Tensor:
        """x * other, where `other` may also be a (c, 1, 1) vector or a (1, h, w) map."""
        return self._broadcast("mul", x, other, act)

    def _broadcast(self, op: str, x: Tensor, other: Tensor, act: str) -> Tensor:
        if other[1:] not in (x[1:], (x.c, 1, 1), (1, x.h, x.w)):
            raise BadModel(
                f"{op} of {_format_shapes((x, other))}: the second must fit the first or be one value "
                "per channel or place"
            )
        return self.act(self._add(op, [x, other], x[1:]), act)

    def scale(self, x: Tensor, factor: float) -> Tensor:
        """Multiply every value by a constant."""
        return x if factor == 1 else self._add("scale", [x], x[1:], factor=float(factor))

    def shift(self, x: Tensor, by: float) -> Tensor:
        """Add a constant to every value."""
        return x if by == 0 else self._add("shift", [x], x[1:], by=float(by))

    def reorg3d(self, x: Tensor, stride: int) -> Tensor:
        """Space to depth: (c, h, w) to (s * s * c, h / s, w / s); channel (dy * s + dx) * c + i is channel i's
        places at (dy, dx) of each block.
        """
        self._check_reorg(x, stride)
        return x if stride == 1 else self._add("reorg3d", [x], self._reorganised(x, stride), block=stride)

    def reorg(self, x: Tensor, stride: int) -> Tensor:
        """YOLOv2's reorg: `reorg3d` of the same values laid as (c / s^2, h * s, w * s), laid anew.

        It mixes channels and places; weights were trained with it. Source: darknet blas.c, reorg_cpu.
        """
        self._check_reorg(x, stride)
        if x.c % stride**2:
            raise BadModel(f"reorg by {stride} needs a multiple of {stride**2} channels; found {_format_shapes([x])}")
        return x if stride == 1 else self._add("reorg", [x], self._reorganised(x, stride), block=stride)

    def _check_reorg(self, x: Tensor, stride: int) -> None:
        if stride > MAX_REORG:
            raise BadModel(f"reorg by {stride}: at most {MAX_REORG} is allowed")
        if stride < 1 or x.h % stride or x.w % stride:
            raise BadModel(f"reorg by {stride} needs sides that it divides; found {_format_shapes([x])}")

    def _reorganised(self, x: Tensor, stride: int) -> Tuple[int, int, int]:
        return x.c * stride**2, x.h // stride, x.w // stride

    def softmax(self, x: Tensor, groups: int = 1) -> Tensor:
        """Softmax over the channels of a 1x1 map, in groups of the same size side by side."""
        if (x.h, x.w) != (1, 1):
            raise BadModel(f"softmax needs a map of 1x1; found {_format_shapes([x])}")
        if not 1 <= groups <= MAX_MAXOUT or x.c % groups:
            raise BadModel(f"softmax: {x.c} channels cannot be split into {groups} groups")
        return self._add("softmax", [x], x[1:], groups=groups)

    def upsample(self, x: Tensor, factor: int) -> Tensor:
        """Nearest neighbour, by a whole factor."""
        if not 1 <= factor <= MAX_SIDE:
            raise BadModel(f"an upsample by {factor} cannot be meant")
        return x if factor == 1 else self._add("upsample", [x], (x.c, x.h * factor, x.w * factor), factor=factor)

    # -- heads -----------------------------------------------------------------------------------------

    def yolo(
        self,
        x: Tensor,
        *,
        classes: int,
        anchors_wh: Sequence[Tuple[float, float]],
        scale_xy: float = 1.0,
        new_coords: bool = False,
        mask: Sequence[int] = (),
    ) -> None:
        """`x` is a raw YOLO head: A * (5 + classes) channels. `mask` says which of the cfg's anchors these are."""
        self._check_channels(x, "YOLO", len(anchors_wh), 5 + classes, classes)
        head = Yolo(
            self._next_head,
            classes,
            self._stride(x),
            tuple((float(w), float(h)) for w, h in anchors_wh),
            float(scale_xy),
            bool(new_coords),
            tuple(mask),
        )
        self.head(x, head)

    def gaussian_yolo(
        self,
        x: Tensor,
        *,
        classes: int,
        anchors_wh: Sequence[Tuple[float, float]],
        scale_xy: float = 1.0,
        mask: Sequence[int] = (),
    ) -> None:
        """`x` is a raw head of Gaussian YOLOv3: A * (9 + classes) channels."""
        self._check_channels(x, "Gaussian YOLO", len(anchors_wh), 9 + classes, classes)
        stride, anchors = self._stride(x), tuple((float(w), float(h)) for w, h in anchors_wh)
        self.head(x, GaussianYolo(self._next_head, classes, stride, anchors, float(scale_xy), tuple(mask)))

    def region(self, x: Tensor, *, classes: int, cells_wh: Sequence[Tuple[float, float]]) -> None:
        """`x` is a raw head of YOLOv2: A * (5 + classes) channels; `cells_wh` are its anchors in cells."""
        self._check_channels(x, "region", len(cells_wh), 5 + classes, classes)
        step_w, step_h = self.input.w / x.w, self.input.h / x.h
        anchors = tuple((w * step_w, h * step_h) for w, h in cells_wh)
        self.head(x, YoloRegion(self._next_head, classes, self._stride(x), anchors))

    @property
    def _next_head(self) -> str:
        return f"head{len(self.heads)}"

    def _stride(self, x: Tensor) -> int:
        return max(1, round(self.input.w / x.w))

    def _check_channels(self, x: Tensor, kind: str, anchors: int, fields: int, classes: int) -> None:
        if x.c != anchors * fields:
            raise BadModel(
                f"a {kind} head of {anchors} anchors and {classes} classes needs {anchors * fields} channels; "
                f"the layer before it has {x.c} (filters={anchors * fields} in that [convolutional])"
            )

    def scores(self, x: Tensor, *, softmax: bool = True) -> None:
        """`x` is a classifier's output, (classes, 1, 1); `softmax` if these are logits."""
        if (x.h, x.w) != (1, 1):
            raise BadModel(f"a classifier must end at 1x1; found {_format_shapes([x])}")
        self.head(x, Scores(self._next_head, x.c, softmax))

    def raw(
        self, x: Tensor, name: str, *, classes: int, stride: int = 0, anchors_wh: Sequence[Tuple[float, float]] = ()
    ) -> None:
        """`x` is an output that a later step reads, called `name`."""
        self.head(x, Raw(name, classes, stride, tuple((float(w), float(h)) for w, h in anchors_wh)))

    def head(self, x: Tensor, head: Head) -> None:
        """`x` is an output that a head of any kind reads."""
        self.heads.append((self._output(x), head))

    def _output(self, x: Tensor) -> Tensor:
        """An output needs a name of its own: the image itself and a map that is one already get a copy."""
        taken = {-1, *(tensor.layer for tensor, _ in self.heads)}
        return self._add("identity", [x], x[1:]) if x.layer in taken else x
