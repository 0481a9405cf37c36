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

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..errors import BadModel
from ..processing.heads.scores import Scores
from ..processing.heads.two_stage import Raw
from ..processing.heads.yolo import Yolo
from ..types import Head

# Bounds that no detector comes near and that keep a hostile cfg from asking for gigabytes.
MAX_SIDE = 16384
MAX_ELEMENTS = 1 << 27  # one feature map: 512 MB of float32
MAX_WEIGHTS = 500_000_000  # 2 GB of float32: what one ONNX file can hold
MAX_LAYERS = 1 << 15
MAX_MAXOUT = 1024  # channels of which one stays; each is a node of the graph

ACTIVATIONS = ("linear", "leaky", "relu", "relu6", "mish", "swish", "logistic", "tanh")
Pair = Union[int, Tuple[int, int]]


class Tensor(NamedTuple):
    """A handle on a layer's output: its index on the tape (-1: the image) and its (c, h, w)."""

    layer: int
    c: int
    h: int
    w: int


@dataclass(frozen=True)
class Layer:
    """One step of the tape.

    `inputs` are layer indices (-1: the image), `attrs` what the op needs. `weights` counts convolution
    weights alone (the paper's parameters), `floats` everything a `.weights` file stores, `flops` as above;
    `at` says where the layer was asked for, for error messages.
    """

    op: str
    inputs: Tuple[int, ...]
    shape: Tuple[int, int, int]
    attrs: Dict[str, Any] = field(default_factory=dict)
    weights: int = 0
    floats: int = 0
    flops: int = 0
    at: str = ""


def _pair(value: Pair) -> Tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


class Net:
    """A tape of layers over one image of (channels, height, width). Impossible layers raise `BadModel`."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        if not (0 < channels <= 1024 and 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
            raise BadModel(f"an input of {width}x{height}x{channels} cannot be meant; sides go from 1 to {MAX_SIDE}")
        if channels * height * width > MAX_ELEMENTS:
            raise BadModel(
                f"an input of {width}x{height}x{channels} cannot be meant; {MAX_ELEMENTS:,} values are the most"
            )
        self.input = Tensor(-1, channels, height, width)
        self.layers: List[Layer] = []
        self.heads: List[Tuple[Tensor, Head]] = []
        self.at = ""
        self._weights = 0  # a running sum: thousands of layers must not each add up all before them

    # -- what the tape knows ---------------------------------------------------------------------------

    @property
    def weights(self) -> int:
        """Convolution weights alone: the parameters that the CSPNet paper counts."""
        return self._weights

    @property
    def floats(self) -> int:
        """Number of floats that a `.weights` file of this net stores (weights, biases, batch-norm vectors)."""
        return sum(layer.floats for layer in self.layers)

    @property
    def bflops(self) -> float:
        """Billions of floating point operations for one image, by the paper's rule."""
        return sum(layer.flops for layer in self.layers) / 1e9

    def _add(
        self,
        op: str,
        inputs: Sequence[Tensor],
        shape: Tuple[int, int, int],
        costs: Tuple[int, int, int] = (0, 0, 0),
        **attrs: Any,
    ) -> Tensor:
        c, h, w = shape
        if min(shape) < 1:
            raise BadModel(f"{op} of {_format_shapes(inputs)} leaves nothing: its output would be {w}x{h}x{c}")
        if c * h * w > MAX_ELEMENTS:
            raise BadModel(
                f"{op} makes a map of {w}x{h}x{c}, {c * h * w * 4 / 2**30:.1f} GB; "
                f"the largest allowed is {MAX_ELEMENTS * 4 / 2**30:.1f} GB"
            )
        if len(self.layers) == MAX_LAYERS:
            raise BadModel(f"the network has more than {MAX_LAYERS:,} layers")
        weights, floats, flops = costs
        if self._weights + weights > MAX_WEIGHTS:
            raise BadModel(
                f"{op} of {_format_shapes(inputs)} has {weights:,} weights; a model may have {MAX_WEIGHTS:,} in all"
            )
        self._weights += weights
        self.layers.append(Layer(op, tuple(x.layer for x in inputs), shape, attrs, weights, floats, flops, self.at))
        return Tensor(len(self.layers) - 1, c, h, w)

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
    ) -> Tensor:
        """Convolution [+ batch-norm] + activation; `pad` on all sides, size // 2 when not given."""
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
        convolved = self._add(
            "conv",
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
        )
        return self.act(convolved, act)

    # -- layers that do not ----------------------------------------------------------------------------

    def act(self, x: Tensor, kind: str) -> Tensor:
        """An activation; "linear" adds no layer."""
        if kind == "linear":
            return x
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
        """x + other on the channels that both have; the result has x's channels (darknet, PRN)."""
        if (x.h, x.w) != (other.h, other.w):
            raise BadModel(f"shortcut needs maps of one size; found {_format_shapes((x, other))}")
        common = min(x.c, other.c)
        total = self._add("add", [self.slice(x, 0, common), self.slice(other, 0, common)], (common, x.h, x.w))
        if common < x.c:
            total = self.concat(total, self.slice(x, common, x.c))
        return self.act(total, act)

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
        needed = len(anchors_wh) * (5 + classes)
        if x.c != needed:
            raise BadModel(
                f"a YOLO head of {len(anchors_wh)} anchors and {classes} classes needs {needed} channels; "
                f"the layer before it has {x.c} (filters={needed} in that [convolutional])"
            )
        head = Yolo(
            f"head{len(self.heads)}",
            classes,
            max(1, round(self.input.w / x.w)),
            tuple((float(w), float(h)) for w, h in anchors_wh),
            float(scale_xy),
            bool(new_coords),
            tuple(mask),
        )
        self.head(x, head)

    def scores(self, x: Tensor, *, softmax: bool = True) -> None:
        """`x` is a classifier's output, (classes, 1, 1); `softmax` if these are logits."""
        if (x.h, x.w) != (1, 1):
            raise BadModel(f"a classifier must end at 1x1; found {_format_shapes([x])}")
        self.head(x, Scores(f"head{len(self.heads)}", x.c, softmax))

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


def _format_shapes(xs: Sequence[Tensor]) -> str:
    more = f" and {len(xs) - 6} more" if len(xs) > 6 else ""
    return " and ".join(f"{x.w}x{x.h}x{x.c}" for x in xs[:6]) + more
