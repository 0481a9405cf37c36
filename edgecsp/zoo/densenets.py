"""The large DenseNets of the paper's Table 3, in darknet's order: convolution, batch-norm, activation.

DenseNet itself has batch-norm and activation in front of each convolution; darknet's public densenet201.cfg does not,
and the cost is the same. DenseNet-201-Elastic's layers are its authors' (allenai/elastic, models/densenet.py). The two
Elastic rows are printed as twice what their counter (utils.py) finds, which adds two operations for each value of a
batch-norm and one for each of a ReLU and of a pool's input to the multiplications: 4.386 billion are printed as 8.77.
"""

from __future__ import annotations

from typing import Callable, Sequence

from ..graph.layers import Net, Tensor
from ._blocks import Block, csp_slice
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


def densenet(layer: Layer, counts: Sequence[int], gamma: float = 0.0) -> Build:
    """A classifier of four dense blocks, halved in width and size between them.

    With `gamma` each is a cross stage partial one: that share of its channels goes past its layers.
    """

    def build(net: Net, head: Callable[[Tensor], None]) -> None:
        x = net.maxpool(net.conv(net.input, 64, 7, stride=2, act="relu"), 3, 2, padding=2)
        for block, count in enumerate(counts):
            if block:
                x = net.avgpool(net.conv(x, x.c // 2, 1, act="relu"), 2, 2)
            dense = _dense(net, layer, count)
            x = csp_slice(net, x, dense, gamma=gamma, act="relu") if gamma else dense(x)
        head(x)

    return build


def _dense(net: Net, layer: Layer, count: int) -> Block:
    def block(x: Tensor) -> Tensor:
        for _ in range(count):
            x = net.concat(x, layer(net, x))
        return x

    return block


ORDER = "convolution, batch-norm, activation in this order, as darknet has them"
_ELASTIC = (
    "printed by ELASTIC's own counter, which adds batch-norms, ReLUs and pools and gives 8.77 and 19.48M; these layers "
    "cost 8.53 by the rule of all other rows"
)
_CSP_ELASTIC = "printed as DenseNet-201-Elastic's, by ELASTIC's counter, which gives 7.09 and 20.17M for these layers"
_FORM = "gamma 0.75, DenseNet-201's counts, a transition in every block: the ordinary form that meets both figures"
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
        "cspdensenet201-elastic",
        "CSPDenseNet-201-Elastic",
        densenet(elastic, (6, 12, 48, 32), gamma=0.75),
        PublishedRow("Table 3", 224, 7.13, 20.17, "floats", top1=77.9, miss=_CSP_ELASTIC),
        forced=("ELASTIC's layers, growth 32",),
        fitted=(ORDER, _FORM),
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
