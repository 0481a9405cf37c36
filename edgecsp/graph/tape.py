"""The tape under a `Net`: tensors, layers, the costs of all, and the bounds that every layer must keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

from ..errors import BadModel
from ..types import Head

# Bounds that no detector comes near and that keep a hostile cfg from asking for gigabytes.
MAX_SIDE = 16384
MAX_ELEMENTS = 1 << 29  # one feature map: 2 GB of float32
MAX_WEIGHTS = 500_000_000  # 2 GB of float32: what one ONNX file can hold
MAX_LAYERS = 1 << 15
MAX_MAXOUT = 1024  # channels of which one stays; each is a node of the graph
MAX_REORG = 16  # the side of a block whose places become channels; each place is a node of the graph

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
    weights alone (the paper's parameters), `floats` everything a `.weights` file stores, `flops` as `Net` counts
    them; `at` says where the layer was asked for, for error messages.
    """

    op: str
    inputs: Tuple[int, ...]
    shape: Tuple[int, int, int]
    attrs: Dict[str, Any] = field(default_factory=dict)
    weights: int = 0
    floats: int = 0
    flops: int = 0
    at: str = ""


def pair(value: Pair) -> Tuple[int, int]:
    """Return (vertical, horizontal) of one number for both or of the two."""
    return value if isinstance(value, tuple) else (value, value)


class Tape:
    """Layers over one image of (channels, height, width), in the order of the calls."""

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
            raise BadModel(f"{op} of {format_shapes(inputs)} leaves nothing: its output would be {w}x{h}x{c}")
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
                f"{op} of {format_shapes(inputs)} has {weights:,} weights; a model may have {MAX_WEIGHTS:,} in all"
            )
        self._weights += weights
        self.layers.append(Layer(op, tuple(x.layer for x in inputs), shape, attrs, weights, floats, flops, self.at))
        return Tensor(len(self.layers) - 1, c, h, w)


def format_shapes(xs: Sequence[Tensor]) -> str:
    """Format the maps' sizes for an error message."""
    more = f" and {len(xs) - 6} more" if len(xs) > 6 else ""
    return " and ".join(f"{x.w}x{x.h}x{x.c}" for x in xs[:6]) + more
