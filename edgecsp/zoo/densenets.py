"""The large DenseNets of the paper's Table 3, in darknet's order: convolution, batch-norm, activation.

DenseNet itself has batch-norm and activation in front of each convolution; darknet's public densenet201.cfg does not,
and the cost is the same. DenseNet-201-Elastic's layers are its authors' (allenai/elastic, models/densenet.py).
"""

from __future__ import annotations

from typing import Callable, Sequence

from ..graph.layers import Net, Tensor
from ._record import Build, PublishedRow, reconstructed

Layer = Callable[[Net, Tensor], Tensor]
GROWTH = 32


def bottleneck(net: Net, x: Tensor) -> Tensor:
    """DenseNet-B's layer: 1x1 to four times the growth, 3x3 to the growth."""
    return net.conv(net.conv(x, 4 * GROWTH, 1, act="relu"), GROWTH, 3, act="relu")


def elastic(net: Net, x: Tensor) -> Tensor:
    """ELASTIC's layer: half of it at the map's own resolution, half at half of that, and their sum.

    A map of odd sides stays as it is in both halves.
    """
    can_halve = x.h % 2 == 0 and x.w % 2 == 0
    small = net.conv(net.avgpool(x, 2, 2) if can_halve else x, 2 * GROWTH, 1, act="relu")
    small = net.conv(small, GROWTH, 3, act="linear")
    own = net.conv(net.conv(x, 2 * GROWTH, 1, act="relu"), GROWTH, 3, act="linear")
    return net.shortcut(own, net.upsample(small, 2) if can_halve else small, "relu")


def densenet(layer: Layer, counts: Sequence[int]) -> Build:
    """A classifier of four dense blocks, halved in width and size between them."""

    def build(net: Net, head: Callable[[Tensor], None]) -> None:
        x = net.maxpool(net.conv(net.input, 64, 7, stride=2, act="relu"), 3, 2, padding=2)
        for block, count in enumerate(counts):
            if block:
                x = net.avgpool(net.conv(x, x.c // 2, 1, act="relu"), 2, 2)
            for _ in range(count):
                x = net.concat(x, layer(net, x))
        head(x)

    return build


ORDER = "convolution, batch-norm, activation in this order, as darknet has them"
_ELASTIC = (
    "its authors' layers cost 8.53 by the rule of all other rows; parameters are printed with two batch-norm vectors"
)
_SHORTER = "the printed cost is that of blocks of 6, 12, 64 and 32 layers; 64 and 48, as DenseNet-264 has, cost 32.9M"

MODELS = (
    reconstructed(
        "densenet201-elastic",
        "DenseNet-201-Elastic",
        densenet(elastic, (10, 20, 40, 30)),
        PublishedRow("Table 3", 224, 8.77, 19.48, "floats", top1=77.9, miss=_ELASTIC),
        source="allenai/elastic, models/densenet.py",
        forced=("the layers as their authors published them",),
        fitted=(ORDER, "upsampling to the nearest place, where theirs is bilinear"),
    ),
    reconstructed(
        "densenet264-32",
        "DenseNet-264-32",
        densenet(bottleneck, (6, 12, 64, 32)),
        PublishedRow("Table 3", 224, 11.03, 27.21, "floats", top1=77.8, miss=_SHORTER),
        source="arXiv 1608.06993",
        forced=("growth 32, layers and transitions of DenseNet-BC",),
        fitted=(ORDER, "the last block's 32 layers, which meet the printed cost"),
    ),
)
