"""Necks and heads: what turns a backbone's maps into YOLO heads. Call order is `.weights` order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, ClassVar, Protocol, Sequence, Tuple

from ..errors import UsageError
from ..graph.layers import Net, Tensor
from ..processing.heads.ssd import Ssd
from ..types import Classes, Detections
from ._blocks import Taps, alternate

Wh = Tuple[float, float]


class Output(Protocol):
    """The function that a `build` calls with the map that a head is to read; `classes` is how many."""

    classes: int

    def __call__(self, x: Tensor) -> None:
        """Lay the next head on a map."""
        ...


@dataclass
class Detect:
    """Ends a branch with a raw YOLO head: a 1x1 convolution with bias. Called once a head, in the masks' order.

    `anchors` is the whole list in pixels of the input, `masks` which of them each head has, `scale_xy` one
    value a head. With `new_coords` (Scaled-YOLOv4) the sigmoid belongs to the graph.
    """

    net: Net
    classes: int
    anchors: Sequence[Wh]
    masks: Sequence[Sequence[int]]
    scale_xy: Sequence[float] = ()
    new_coords: bool = False
    result: ClassVar = Detections
    published_classes: ClassVar = 80  # COCO's

    def __post_init__(self) -> None:
        if any(not 0 <= i < len(self.anchors) for mask in self.masks for i in mask):
            raise UsageError(
                f"the masks {list(self.masks)} name anchors that are not there: {len(self.anchors)} were given"
            )

    def __call__(self, x: Tensor) -> None:
        net, place = self.net, len(self.net.heads)
        mask = self.masks[place]
        act = "logistic" if self.new_coords else "linear"
        net.yolo(
            net.conv(x, len(mask) * (5 + self.classes), 1, bn=False, act=act),
            classes=self.classes,
            anchors_wh=[self.anchors[i] for i in mask],
            scale_xy=self.scale_xy[place] if self.scale_xy else 1.0,
            new_coords=self.new_coords,
            mask=mask,
        )


@dataclass
class MultiBox:
    """Ends a branch with a raw head of SSD: a 1x1 convolution with bias. Called once a head.

    `priors` are the default boxes of each head in pixels of a square input of `size`; they grow with the input.
    """

    net: Net
    classes: int
    priors: Sequence[Sequence[Wh]]
    size: int
    result: ClassVar = Detections
    published_classes: ClassVar = 80  # COCO's

    def __call__(self, x: Tensor) -> None:
        net, place = self.net, len(self.net.heads)
        across, down = net.input.w / self.size, net.input.h / self.size
        priors = tuple((w * across, h * down) for w, h in self.priors[place])
        x = net.conv(x, len(priors) * (5 + self.classes), 1, bn=False, act="linear")
        net.head(x, Ssd(f"head{place}", self.classes, max(1, round(net.input.w / x.w)), priors))


@dataclass
class Classify:
    """Ends a classifier: global average, then a 1x1 convolution with bias to logits."""

    net: Net
    classes: int
    result: ClassVar = Classes
    published_classes: ClassVar = 1000  # ImageNet's

    def __call__(self, x: Tensor) -> None:
        net = self.net
        net.scores(net.conv(net.global_avgpool(x), self.classes, 1, bn=False, act="linear"))


# -- attention, pooling ------------------------------------------------------------------------------------


def sam(net: Net, x: Tensor) -> Tensor:
    """Spatial attention: x times the sigmoid of a 1x1 convolution of x, place by place."""
    return net.mul(x, net.conv(x, x.c, 1, act="logistic"))


def spp(net: Net, x: Tensor, sizes: Sequence[int] = (5, 9, 13)) -> Tensor:
    """Spatial pyramid pooling: x beside its maxima over 13, 9 and 5 places, the widest first."""
    pools = [net.maxpool(x, size, 1) for size in sizes]
    return net.concat(*reversed(pools), x)


# -- YOLOv3 and PANet --------------------------------------------------------------------------------------


def spp_neck(net: Net, x: Tensor, n: int) -> Tensor:
    """YOLOv3's stack around a spatial pyramid pooling."""
    return alternate(net, spp(net, alternate(net, x, n, 3)), n, 3)


def fpn(net: Net, taps: Taps, head: Output, *, pyramid: bool = False) -> None:
    """YOLOv3's neck: heads at 32, 16 and 8, each level passed down to the next finer one."""
    c3, c4, x = taps
    for n, finer in ((512, c4), (256, c3), (128, None)):
        x = spp_neck(net, x, n) if pyramid and n == 512 else alternate(net, x, n, 5)
        head(net.conv(x, 2 * n, 3))
        if finer is not None:
            x = net.concat(net.upsample(net.conv(x, n // 2, 1), 2), finer)


def csp_neck(net: Net, x: Tensor, n: int) -> Tensor:
    """Scaled-YOLOv4's partial stack: half of it passes beside two 1x1-3x3 pairs."""
    x = net.conv(x, n, 1, act="mish")
    aside = net.conv(x, n, 1, act="mish")
    y = alternate(net, x, n, 4, wide=n, act="mish")
    return net.conv(net.concat(y, aside), n, 1, act="mish")


def csp_spp_neck(net: Net, x: Tensor, n: int) -> Tensor:
    """Scaled-YOLOv4's partial stack around a spatial pyramid pooling."""
    aside = net.conv(x, n, 1, act="mish")
    y = spp(net, alternate(net, x, n, 3, wide=n, act="mish"))
    y = alternate(net, y, n, 2, wide=n, act="mish")
    return net.conv(net.concat(y, aside), n, 1, act="mish")


def panet(net: Net, taps: Taps, head: Output, *, partial: bool = False) -> None:
    """PANet: a pyramid downwards, then one back up; heads at 8, 16 and 32.

    `partial` takes Scaled-YOLOv4's stacks (mish) in place of YOLOv3's (leaky).
    """
    act = "mish" if partial else "leaky"

    def stack(x: Tensor, n: int) -> Tensor:
        return csp_neck(net, x, n) if partial else alternate(net, x, n, 5)

    def from_coarser(fine: Tensor, coarse: Tensor, n: int) -> Tensor:
        up = net.upsample(net.conv(coarse, n, 1, act=act), 2)
        return stack(net.concat(net.conv(fine, n, 1, act=act), up), n)

    def from_finer(fine: Tensor, coarse: Tensor, n: int) -> Tensor:
        return stack(net.concat(net.conv(fine, n, 3, stride=2, act=act), coarse), n)

    c3, c4, c5 = taps
    p5 = csp_spp_neck(net, c5, 512) if partial else spp_neck(net, c5, 512)
    p4 = from_coarser(c4, p5, 256)
    p3 = from_coarser(c3, p4, 128)
    head(net.conv(p3, 256, 3, act=act))
    n4 = from_finer(p3, p4, 256)
    head(net.conv(n4, 512, 3, act=act))
    n5 = from_finer(n4, p5, 512)
    head(net.conv(n5, 1024, 3, act=act))


# -- PRN and EFM -------------------------------------------------------------------------------------------


def prn(net: Net, coarse: Tensor, *finer: Tensor, head: Output, act: str = "leaky") -> None:
    """Partial residual network (published cfg of YOLOv3-tiny-PRN): heads at 32, then at each finer map.

    A sum takes place on the first 128 channels of the finer map. The branch to the next level leaves before
    the shortcut, which the cfg says for the second level and PRN-3l's cost confirms for the third.
    """
    a = net.conv(coarse, 256, 1, act=act)
    x = net.conv(a, 256, 3, act=act)
    head(net.shortcut(x, a, act))
    for fine in finer:
        up = net.upsample(net.conv(x, 128, 1, act=act), 2)
        x = net.conv(net.shortcut(up, fine, act), 128, 3, act=act)
        head(net.shortcut(net.shortcut(x, up, act), fine, act))


def with_prn(backbone: Callable[[Net], Taps], levels: int = 2, *, act: str = "leaky") -> Callable[[Net, Output], None]:
    """A backbone under a PRN head of 2 or 3 levels."""

    def build(net: Net, head: Output) -> None:
        c3, c4, c5 = backbone(net)
        prn(net, c5, *(c4, c3)[: levels - 1], head=head, act=act)

    return build


def efm(net: Net, taps: Taps, head: Output, *, attention: bool = False, pyramid: bool = False) -> None:
    """Exact fusion model: heads at 32, 16 and 8, of 256, 128 and 64 channels. Reconstructed, see README.

    Every map is squeezed by Maxout before it is joined to others; `attention` puts a SAM behind each of the
    nine convolutions that follow, `pyramid` an SPP in front of the coarsest level.
    """

    def attend(x: Tensor) -> Tensor:
        return sam(net, x) if attention else x

    c3, c4, c5 = taps
    l5 = spp(net, net.conv(c5, 128, 1)) if pyramid else net.conv(c5, 256, 1)
    l5 = net.conv(l5, 256, 1)
    l4 = net.conv(net.maxout(c4, 128), 128, 1)
    l3 = net.maxout(c3, 64)
    down4 = net.conv(l3, 128, 3, stride=2)
    down5 = net.conv(l4, 256, 3, stride=2)
    up4 = net.upsample(net.maxout(l5, 128), 2)
    up3 = net.upsample(net.maxout(l4, 64), 2)
    f5 = attend(net.conv(net.concat(l5, down5), 256, 1))
    f4 = attend(net.conv(net.concat(l4, down4, up4), 128, 1))
    f3 = attend(net.conv(net.concat(l3, up3), 64, 1))
    for x, convolutions in ((f5, 1), (f4, 2), (f3, 3)):
        for _ in range(convolutions):
            x = attend(net.conv(x, x.c, 3))
        head(x)


def gfm(net: Net, taps: Taps, head: Output) -> None:
    """Global fusion model: EFM's heads, but every level joins all three maps. Reconstructed, see README.

    Each map is squeezed by Maxout to the width of the level that it is joined at.
    """
    c3, c4, c5 = taps
    levels = (net.maxout(c3, 64), net.maxout(c4, 128), net.conv(c5, 256, 1))
    for place, convolutions in ((2, 1), (1, 2), (0, 3)):
        n = levels[place].c
        maps = [_resized(net, net.maxout(x, n) if x.c > n else x, place - i) for i, x in enumerate(levels)]
        x = net.conv(net.concat(*maps), n, 1)
        for _ in range(convolutions):
            x = net.conv(x, n, 3)
        head(x)


def cem(net: Net, taps: Taps, head: Output, *, attention: bool = False) -> None:
    """ThunderNet's context enhancement for three YOLO heads of 128 channels. Reconstructed, see README.

    Every level joins all three maps, each brought to 128 channels; `attention` puts a SAM in front of the heads.
    """
    levels = [net.conv(x, 128, 1) for x in taps]
    for place in (2, 1, 0):
        x = net.conv(net.concat(*(_resized(net, x, place - i) for i, x in enumerate(levels))), 128, 1)
        x = net.conv(x, 128, 1)
        head(sam(net, x) if attention else x)


def _resized(net: Net, x: Tensor, down: int) -> Tensor:
    """A map pooled `down` times to half its size, or upsampled as often where that is negative."""
    for _ in range(down):
        x = net.maxpool(x, 2, 2)
    return net.upsample(x, 2 ** max(0, -down))
