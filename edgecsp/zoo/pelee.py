"""Pelee: PeleeNet under an SSD head, as its authors published it (Robert-JunWang/Pelee, arXiv 1804.06882).

Six heads on five maps of sides 19, 10, 5, 3 and 1, each behind a residual block; the finest map has two.
"""

from __future__ import annotations

import math
from typing import Tuple

from ..graph.layers import Net, Tensor
from ._heads import Output, Wh
from ._record import Entry, PublishedRow
from .peleenet import peleenet

_SIZE = 304
# The sides of the default boxes of each head, in percent of the input; the last closes the last head's range.
_PERCENT = (7, 15, 33, 51, 69, 87, 105)


def priors(size: int) -> Tuple[Tuple[Wh, ...], ...]:
    """The default boxes of each head: two squares, and boxes of 2:1, 1:2, 3:1 and 1:3 as large as the smaller one."""
    heads = []
    for small, large in zip(_PERCENT, _PERCENT[1:]):
        low, high = size * small / 100, size * large / 100
        between = math.sqrt(low * high)
        roots = [math.sqrt(ratio) for ratio in (2, 1 / 2, 3, 1 / 3)]
        heads.append(((low, low), (between, between), *((low * root, low / root) for root in roots)))
    return tuple(heads)


def pelee(net: Net, head: Output) -> None:
    """PeleeNet, three more maps, and a residual block in front of every head."""
    _, c4, c5 = peleenet(net, "relu", average=True)
    maps = [c4, c5]
    for width, stride, pad in ((256, 2, 1), (128, 1, 0), (128, 1, 0)):
        x = net.conv(maps[-1], width, 1, bn=False, act="relu")
        maps.append(net.conv(x, 256, 3, stride=stride, pad=pad, bn=False, act="relu"))
    blocks = [residual_block(net, x) for x in maps]
    for x in (blocks[0], *blocks):
        head(x)


def residual_block(net: Net, x: Tensor) -> Tensor:
    """Pelee's residual prediction block, of 256 channels."""
    aside = net.conv(x, 256, 1, act="linear")
    y = net.conv(net.conv(x, 128, 1, act="relu"), 128, 3, act="relu")
    return net.shortcut(net.conv(y, 256, 1, act="linear"), aside, "relu")


MODELS = (
    Entry(
        "pelee",
        "Pelee",
        pelee,
        _SIZE,
        (PublishedRow("arXiv 1804.06882", _SIZE, 2.58, 5.98, ap=(22.4, 38.3, 22.9)),),
        source="Robert-JunWang/Pelee, feature_extractor.py and train_coco.py",
        priors=priors(_SIZE),
        scale=1.0,
        mean=(123.68, 116.78, 103.94),
        std=(1 / 0.017,) * 3,
        stride=16,
        least=272,
    ),
)
