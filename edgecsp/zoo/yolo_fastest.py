"""Yolo-Fastest: small detectors with public weights. Every layer is from its author's cfgs (dog-qiuqiu/Yolo-Fastest).

A URL names the commit that holds the cfg and its weights, so what it gives cannot change.
"""

from __future__ import annotations

from typing import Sequence, Tuple

from ..graph.layers import Net, Tensor
from ._blocks import inverted, project
from ._heads import Output, Wh, spp
from ._record import PUBLIC_DOMAIN, TWO_COARSE_FIRST, Build, Entry, PublicWeights, PublishedRow

Units = Sequence[Tuple[int, int, int]]
"""Of each unit: the width between, the width after, the stride."""
_FINE: Units = (
    (8, 4, 1), (8, 4, 1), (24, 8, 2), (32, 8, 1), (32, 8, 1), (32, 8, 2), (48, 8, 1), (48, 8, 1), (48, 16, 1),
    *[(96, 16, 1)] * 4, (96, 24, 2), *[(136, 24, 1)] * 4,
)  # fmt: skip
_COARSE: Units = ((224, 48, 1),) * 5


def backbone(net: Net, times: int) -> Tuple[Tensor, Tensor, Tensor]:
    """The map at 16, the same with 136 channels, and the map at 32; all widths `times` those."""
    fine = units(net, net.conv(net.input, 8 * times, 3, stride=2), _FINE, times)
    wide = net.conv(fine, 136 * times, 1)
    return fine, wide, units(net, project(net, wide, 48 * times, 2), _COARSE, times)


def units(net: Net, x: Tensor, widths: Units, times: int = 1, act: str = "leaky") -> Tensor:
    """MobileNetV2's units, one after the other."""
    for wide, out, stride in widths:
        x = inverted(net, x, wide * times, out * times, stride, act=act)
    return x


def separable(net: Net, x: Tensor, width: int) -> Tensor:
    """Two pairs of a depthwise 5x5 and a linear 1x1 to `width`."""
    for _ in range(2):
        x = net.conv(net.conv(x, x.c, 5, groups=x.c), width, 1, act="linear")
    return x


def fastest(times: int) -> Build:
    """Yolo-Fastest 1.1, with `times` 2 the xl model."""

    def build(net: Net, head: Output) -> None:
        fine, _, x = backbone(net, times)
        x = net.conv(spp(net, x, (3, 5, 9)), 96, 1)
        head(separable(net, x, 96))
        x = net.concat(net.upsample(x, 2), fine)
        head(separable(net, x, x.c))

    return build


def first_xl(net: Net, head: Output) -> None:
    """Yolo-Fastest 1.0-xl."""
    _, wide, x = backbone(net, 2)
    x = net.conv(x, 96, 1)
    head(separable(net, x, 128))
    x = net.conv(net.concat(net.upsample(x, 2), wide), 96, 1)
    head(separable(net, x, 96))


_REPOSITORY = "dog-qiuqiu/Yolo-Fastest"
_RAW = f"https://raw.githubusercontent.com/{_REPOSITORY}/"
_README = f"{_REPOSITORY}, README"
_ANCHORS = ((12, 18), (37, 49), (52, 132), (115, 73), (119, 199), (242, 238))
_ANCHORS_1_0 = ((26, 48), (67, 84), (72, 175), (189, 126), (137, 236), (265, 259))
_ANCHORS_BODY = ((7, 17), (20, 50), (45, 99), (64, 187), (123, 211), (227, 264))
_TWO_DIGITS = "printed with two digits"
_VOC = "the author's cost is that of the same layers with VOC's 20 classes: 0.701 and 0.872M"


def _entry(
    name: str,
    build: Build,
    cfg: str,
    anchors: Tuple[Wh, ...],
    weights: PublicWeights,
    *rows: PublishedRow,
    **facts: object,
) -> Entry:
    return Entry(
        name.lower(), name, build, 320, rows, source=f"{_REPOSITORY}, {cfg}", anchors=anchors, masks=TWO_COARSE_FIRST,
        nms_beta=0.6, weights=weights, **facts,  # type: ignore[arg-type]
    )  # fmt: skip


MODELS = (
    _entry(
        "Yolo-Fastest-1.1",
        fastest(1),
        "ModelZoo/yolo-fastest-1.1_coco/yolo-fastest-1.1.cfg",
        _ANCHORS,
        PublicWeights(
            _RAW + "99d03d0f26e2555275bdb30f43479d47cc19311f/ModelZoo/yolo-fastest-1.1_coco/yolo-fastest-1.1.weights",
            licence=PUBLIC_DOMAIN,
        ),
        PublishedRow(_README, 320, 0.252, 0.35, "floats", (None, 24.40, None), fps={"a76": 118.3}, miss=_TWO_DIGITS),
    ),
    _entry(
        "Yolo-Fastest-1.1-xl",
        fastest(2),
        "ModelZoo/yolo-fastest-1.1_coco/yolo-fastest-1.1-xl.cfg",
        _ANCHORS,
        PublicWeights(
            _RAW
            + "9c62b1c50e024fb73d29a651133b1d63548e63a1/ModelZoo/yolo-fastest-1.1_coco/yolo-fastest-1.1-xl.weights",
            3_693_964,
            sha256="fac5fb41786c1f38f04972a658443b189f48720d7d117f9a044100e98a35b0c5",
            licence=PUBLIC_DOMAIN,
        ),
        PublishedRow(_README, 320, 0.725, 0.925, "floats", (None, 34.33, None)),
    ),
    _entry(
        "Yolo-Fastest-1.0-xl",
        first_xl,
        "Yolo-Fastest/COCO/yolo-fastest-xl.cfg",
        _ANCHORS_1_0,
        PublicWeights(
            _RAW + "13021a519bd61f0467fcffc575da507a07c1e826/Yolo-Fastest/COCO/yolo-fastest-xl.weights",
            licence=PUBLIC_DOMAIN,
        ),
        PublishedRow(_README, 320, 0.70, 0.875, "floats", (None, 32.45, None), miss=_VOC),
    ),
    _entry(
        "Yolo-Fastest-1.1-body",
        fastest(1),
        "ModelZoo/yolo-fastest-1.1_body/yolo-fastest-1.1_body.cfg",
        _ANCHORS_BODY,
        PublicWeights(
            _RAW
            + "9c62b1c50e024fb73d29a651133b1d63548e63a1/ModelZoo/yolo-fastest-1.1_body/yolo-fastest-1.1_body.weights",
            licence=PUBLIC_DOMAIN,
        ),
        labels=("body",),
    ),
)
