"""Backbone blocks: functions on a `Net`, each a paper's figure. Call order is `.weights` order.

`net.conv` is the CBL of the papers: convolution, batch-norm, leaky ReLU (0.1).
"""

from __future__ import annotations

from typing import Callable, Optional, Sequence, Tuple

from ..graph.layers import Net, Tensor

Block = Callable[[Tensor], Tensor]
Taps = Tuple[Tensor, Tensor, Tensor]
"""What a backbone hands to a neck: its maps at strides 8, 16 and 32."""


def pool(net: Net, x: Tensor) -> Tensor:
    """Max-pool to half the size."""
    return net.maxpool(x, 2, 2)


def plain(net: Net, x: Tensor, widths: Sequence[int]) -> Tuple[Tensor, Tensor]:
    """The Darknet Reference trunk: 3x3 convolutions, each pooled. The last map before and after its pool."""
    before = x
    for width in widths:
        before = net.conv(x, width, 3)
        x = pool(net, before)
    return before, x


def alternate(net: Net, x: Tensor, n: int, count: int, *, wide: int = 0, act: str = "leaky") -> Tensor:
    """`count` convolutions, 1x1 to n and 3x3 to `wide` (2n when not given) in turns: YOLOv3's neck."""
    for i in range(count):
        x = net.conv(x, wide or 2 * n, 3, act=act) if i % 2 else net.conv(x, n, 1, act=act)
    return x


# -- dense layers ------------------------------------------------------------------------------------------


def dense(net: Net, x: Tensor, layers: int, growth: int) -> Tensor:
    """DenseNet's block with one 3x3 a layer; the map grows by `growth` channels each."""
    for _ in range(layers):
        x = net.concat(x, net.conv(x, growth, 3))
    return x


def two_way_layer(net: Net, x: Tensor, inter: int, act: str = "leaky") -> Tuple[Tensor, Tensor]:
    """The two maps of 16 channels that a layer of PeleeNet adds: a 3x3 and a stack of two 3x3 beside each other."""
    left = net.conv(net.conv(x, inter, 1, act=act), 16, 3, act=act)
    right = net.conv(net.conv(net.conv(x, inter, 1, act=act), 16, 3, act=act), 16, 3, act=act)
    return left, right


def two_way(
    net: Net, x: Tensor, layers: int, inter: int, *, act: str = "leaky", gate: Optional[Block] = None
) -> Tensor:
    """PeleeNet's two-way dense block (growth 32). With `gate` a layer's new channels pass it on their way."""
    for _ in range(layers):
        new = two_way_layer(net, x, inter, act)
        x = net.concat(x, gate(net.concat(*new))) if gate else net.concat(x, *new)
    return x


def squeeze_excite(net: Net, x: Tensor, inner: int, act: str) -> Tensor:
    """Squeeze and excitation as darknet's cfgs write it: x times what two 1x1 make of its mean, channel by channel."""
    y = net.conv(net.global_avgpool(x), inner, 1, bn=False, act=act)
    return net.mul(x, net.conv(y, x.c, 1, bn=False, act="logistic"))


# -- residual units ----------------------------------------------------------------------------------------


def residual(net: Net, x: Tensor, inner: int, units: int, act: str = "leaky") -> Tensor:
    """Darknet-53's units: x + 3x3(1x1(x)), the sum without an activation."""
    for _ in range(units):
        x = net.shortcut(net.conv(net.conv(x, inner, 1, act=act), x.c, 3, act=act), x)
    return x


def resnext(net: Net, x: Tensor, n: int, units: int) -> Tensor:
    """ResNeXt's units: 1x1, 3x3 in 32 groups, 1x1, then the sum and its activation.

    The first unit may widen: the sum takes place on the channels that both have.
    """
    for _ in range(units):
        y = net.conv(net.conv(x, n, 1), n, 3, groups=32)
        x = net.shortcut(net.conv(y, n, 1, act="linear"), x, "leaky")
    return x


def inverted(
    net: Net, x: Tensor, wide: int, out: int, stride: int = 1, *, size: int = 3, act: str = "leaky", gate: int = 0
) -> Tensor:
    """MobileNetV2's unit: 1x1 to `wide`, depthwise, linear 1x1 to `out`; plus x where the shape stays.

    `gate` is the inner width of a squeeze and excitation behind the depthwise convolution.
    """
    y = project(net, net.conv(x, wide, 1, act=act), out, stride, size=size, act=act, gate=gate)
    return net.shortcut(y, x) if y[1:] == x[1:] else y


def project(
    net: Net, x: Tensor, out: int, stride: int = 1, *, size: int = 3, act: str = "leaky", gate: int = 0
) -> Tensor:
    """The second half of `inverted`: depthwise, linear 1x1 to `out`."""
    y = net.conv(x, x.c, size, stride=stride, groups=x.c, act=act)
    return net.conv(squeeze_excite(net, y, gate, act) if gate else y, out, 1, act="linear")


# -- cross stage partial (CSPNet, Figure 2) ----------------------------------------------------------------


def csp(
    net: Net,
    x: Tensor,
    block: Block,
    *,
    part_width: int,
    through: int,
    out: int,
    act: str = "leaky",
    split_act: str = "",
    part_first: bool = False,
) -> Tensor:
    """A cross stage partial stage with its split written as two 1x1 convolutions, as the published cfgs have it.

    `part_width` channels stay as they are, the others go `through` the block and its partial transition (a 1x1 of
    the block's own width); both are joined (the block's part first, unless `part_first`) and mixed to `out`.
    """
    aside = net.conv(x, part_width, 1, act=split_act or act)
    y = block(net.conv(x, through, 1, act=split_act or act))
    y = net.conv(y, y.c, 1, act=act)
    return net.conv(net.concat(aside, y) if part_first else net.concat(y, aside), out, 1, act=act)


def csp_slice(
    net: Net, x: Tensor, block: Block, *, gamma: float = 0.5, act: str = "leaky", transition: bool = True
) -> Tensor:
    """The same with the split as the paper draws it: the share `gamma` of the channels is kept, the others go
    through the block and its `transition`; the join is left to the caller's second transition.
    """
    bypass = int(x.c * gamma)
    y = block(net.slice(x, bypass, x.c))
    return net.concat(net.slice(x, 0, bypass), net.conv(y, y.c, 1, act=act) if transition else y)


# -- whole backbones ---------------------------------------------------------------------------------------

_DARKNET53 = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


def darknet53(net: Net) -> Taps:
    """Darknet-53 (YOLOv3 paper, Table 1)."""
    taps = []
    x = net.conv(net.input, 32, 3)
    for n, units in _DARKNET53:
        x = residual(net, net.conv(x, n, 3, stride=2), n // 2, units)
        taps.append(x)
    return taps[2], taps[3], taps[4]


def cspdarknet53(net: Net, act: str, *, partial_first: bool = True) -> Taps:
    """CSPDarknet53 (published cfg). Scaled-YOLOv4 makes the first stage plain again: `partial_first` False."""
    taps = []
    x = net.conv(net.input, 32, 3, act=act)
    for n, units in _DARKNET53:
        x = net.conv(x, n, 3, stride=2, act=act)
        first = n == 64
        if first and not partial_first:
            x = residual(net, x, n // 2, units, act)
        else:
            # The first stage keeps its full width in both parts, the others split it.
            part = n if first else n // 2
            x = csp(net, x, _units(net, n // 2, units, act), part_width=part, through=part, out=n, act=act)
        taps.append(x)
    return taps[2], taps[3], taps[4]


def _units(net: Net, inner: int, units: int, act: str) -> Block:
    return lambda y: residual(net, y, inner, units, act)


def cspresnext50(net: Net) -> Taps:
    """CSPResNeXt-50 (published cfg). Its split is linear in the two middle stages, as that cfg has it."""
    taps = []
    x = pool(net, net.conv(net.input, 64, 7, stride=2))
    for n, units in ((128, 3), (256, 3), (512, 5), (1024, 2)):
        if n > 128:
            x = net.conv(x, n, 3, stride=2, groups=32)
        split_act = "linear" if n in (256, 512) else "leaky"
        through = 64 if n == 128 else n
        x = csp(net, x, _grouped(net, n, units), part_width=n, through=through, out=2 * n, split_act=split_act)
        taps.append(x)
    return taps[1], taps[2], taps[3]


def _grouped(net: Net, n: int, units: int) -> Block:
    return lambda y: resnext(net, y, n, units)
