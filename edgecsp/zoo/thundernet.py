"""ThunderNet, the paper's two-stage rivals: a graph down to proposals, and one that judges each of them.

SNet146's layers are in its authors' code, SNet49's and SNet535's in their paper's tables (arXiv 1903.11752).
What lies between the graphs is `processing.heads.two_stage`. No weights were ever published; the order of layers
here is our own, not that of a `.weights` file.
"""

from __future__ import annotations

from typing import List, Sequence

from ..graph.layers import Net, Tensor
from ._heads import Output
from ._record import Build, Entry, PublishedRow

_MAP = 245
"""Channels that the second stage samples: 5 for each of 7 x 7 bins."""
ANCHORS = tuple(
    (size * ratio**-0.5, size * ratio**0.5) for size in (32, 64, 128, 256, 512) for ratio in (1 / 2, 3 / 4, 1, 4 / 3, 2)
)
"""25 boxes a place: five sizes by five ratios of height to width."""


def dw(net: Net, x: Tensor, stride: int = 1, act: str = "linear") -> Tensor:
    """A depthwise 5x5."""
    return net.conv(x, x.c, 5, stride=stride, groups=x.c, act=act)


def down(net: Net, x: Tensor, out: int) -> Tensor:
    """ShuffleNetV2's unit at a stage's start: both branches halve the map."""
    left = net.conv(dw(net, x, 2), x.c, 1, act="relu")
    right = net.conv(x, out // 2, 1, act="relu")
    return net.concat(left, net.conv(dw(net, right, 2), out - x.c, 1, act="relu"))


def unit(net: Net, x: Tensor) -> Tensor:
    """ShuffleNetV2's unit: every other channel passes, the rest goes through; so the channels are shuffled."""
    right = net.conv(net.slice(x, 1, x.c, 2), x.c // 2, 1, act="relu")
    right = net.conv(dw(net, right), x.c // 2, 1, act="relu")
    return net.concat(net.slice(x, 0, x.c, 2), right)


def snet(net: Net, stem: int, widths: Sequence[int], last: int) -> Sequence[Tensor]:
    """The backbone's maps at strides 16 and 32; `last` channels from one more 1x1, 0 for none."""
    x = net.conv(net.input, stem, 3, stride=2, act="relu")
    x = net.maxpool(x, 3, 2, padding=2)
    maps: List[Tensor] = []
    for width, units in zip(widths, (4, 8, 4)):
        x = down(net, x, width)
        for _ in range(units - 1):
            x = unit(net, x)
        maps.append(x)
    return maps[1], net.conv(x, last, 1, act="relu") if last else x


def first_stage(stem: int, widths: Sequence[int], last: int) -> Build:
    """Backbone, context enhancement, region proposals and spatial attention."""

    def build(net: Net, head: Output) -> None:
        def flat(x: Tensor, channels: int, act: str = "linear") -> Tensor:
            return net.conv(x, channels, 1, bn=False, act=act)

        c4, c5 = snet(net, stem, widths, last)
        context = net.add(flat(c4, _MAP), net.upsample(flat(c5, _MAP), 2))
        context = net.add(context, flat(net.global_avgpool(c5), _MAP))
        rpn = net.conv(dw(net, context, act="relu"), 256, 1, act="relu")
        attention = net.conv(rpn, _MAP, 1, act="logistic")
        classes = head.classes
        net.raw(net.mul(context, attention), "features", classes=classes, stride=16)
        objectness, deltas = flat(rpn, len(ANCHORS), "logistic"), flat(rpn, 4 * len(ANCHORS))
        net.raw(objectness, "objectness", classes=classes, stride=16, anchors_wh=ANCHORS)
        net.raw(deltas, "deltas", classes=classes, stride=16, anchors_wh=ANCHORS)

    return build


def second_stage(classes: int) -> Net:
    """The R-CNN subnet over one proposal's 245 samples: class logits, background first, and one box."""
    net = Net(_MAP, 1, 1)
    x = net.conv(net.input, 1024, 1, bn=False, act="relu")
    net.raw(net.conv(x, classes + 1, 1, bn=False, act="linear"), "class_logits", classes=classes)
    net.raw(net.conv(x, 4, 1, bn=False, act="linear"), "class_deltas", classes=classes)
    return net


def _entry(name: str, title: str, stem: int, widths: Sequence[int], last: int, source: str, row: PublishedRow) -> Entry:
    return Entry(
        name,
        title,
        first_stage(stem, widths, last),
        320,
        (row,),
        source=source,
        second=second_stage,
        rois=200,
        resize="stretch",
        scale=1.0,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        conf=0.05,
        iou=0.5,
    )


_PAPER = "arXiv 1903.11752, Tables 1 and 2"
_WIDTHS = "the published widths make the backbone dearer than the 146 MFLOPs it is called by"

# The fps are ThunderNet's own, on a GTX 1080 Ti and, in the paper's CPU column, a Xeon E5-2682 v4.
MODELS = (
    _entry(
        "snet49-thundernet",
        "SNet49-ThunderNet",
        24,
        (60, 120, 240),
        512,
        _PAPER,
        PublishedRow("Tables 4, 5", 320, 0.52, ap=(19.1, 33.7, 19.6), fps={"gpu": 267, "xeon": 47}),
    ),
    _entry(
        "snet146-thundernet",
        "SNet146-ThunderNet",
        24,
        (132, 264, 528),
        0,
        "the authors' public code",
        PublishedRow("Tables 4, 5", 320, 0.95, ap=(23.6, 40.2, 24.5), fps={"gpu": 248, "xeon": 32}, miss=_WIDTHS),
    ),
    _entry(
        "snet535-thundernet",
        "SNet535-ThunderNet",
        48,
        (248, 496, 992),
        0,
        _PAPER,
        PublishedRow("Table 4", 320, 2.60, ap=(28.0, 46.2, 29.5), fps={"gpu": 214}),
    ),
)
