"""PeleeNet and CSPPeleeNet under the heads of the paper's Table 2.

PeleeNet's layers are its authors' (Robert-JunWang/Pelee, in darknet's leaky ReLU and max-pools). CSPPeleeNet
has no cfg; this form has no free number in it and comes within 0.7% of every detector row.
"""

from __future__ import annotations

from typing import Callable, List

from ..graph.anchors import A6, A9
from ..graph.layers import Net, Tensor
from ._blocks import Taps, csp_half, pool, two_way
from ._heads import Output, efm, prn
from ._record import COARSE_FIRST, TINY, Entry, PublishedRow

_LAYERS, _INTER = (3, 4, 8, 6), (16, 32, 64, 64)


def stem(net: Net) -> Tensor:
    """Stride 4, 32 channels: a pooled and a convolved branch (PeleeNet paper, Figure 2)."""
    x = net.conv(net.input, 32, 3, stride=2)
    branch = net.conv(net.conv(x, 16, 1), 32, 3, stride=2)
    return net.conv(net.concat(pool(net, x), branch), 32, 1)


def peleenet(net: Net) -> Taps:
    """PeleeNet; the first three stages are pooled. Maps of 256, 512 and 704 channels."""
    x = stem(net)
    taps: List[Tensor] = []
    for layers, inter in zip(_LAYERS, _INTER):
        if taps:
            x = pool(net, x)
        x = two_way(net, x, layers, inter)
        x = net.conv(x, x.c, 1)
        taps.append(x)
    return taps[1], taps[2], taps[3]


def csppeleenet(net: Net) -> Taps:
    """CSPPeleeNet, gamma 0.5; the second transition comes after the pool, or the cost would exceed PeleeNet's."""
    x = stem(net)
    taps: List[Tensor] = []
    for layers, inter in zip(_LAYERS, _INTER):
        if taps:
            x = pool(net, x)
            x = net.conv(x, x.c, 1)
        x = csp_half(net, x, _block(net, layers, inter))
        taps.append(x)
    return taps[1], taps[2], net.conv(x, x.c, 1)


def _block(net: Net, layers: int, inter: int) -> Callable[[Tensor], Tensor]:
    return lambda y: two_way(net, y, layers, inter)


def with_prn(backbone: Callable[[Net], Taps], levels: int = 2) -> Callable[[Net, Output], None]:
    """A backbone under a PRN head of 2 or 3 levels."""

    def build(net: Net, head: Output) -> None:
        c3, c4, c5 = backbone(net)
        prn(net, c5, *(c4, c3)[: levels - 1], head=head)

    return build


def with_efm(*, attention: bool = False, pyramid: bool = False) -> Callable[[Net, Output], None]:
    """CSPPeleeNet under an EFM head."""
    return lambda net, head: efm(net, csppeleenet(net), head, attention=attention, pyramid=pyramid)


LAYERS = "PeleeNet's layers as its authors published them"
DARKNETS = "leaky ReLU, and max-pools between the stages: darknet had no local average-pool then"
PRN = "the PRN head unchanged"
THIRD = "the third level's wiring, by analogy with the second; its cost is exact"
STAGES = "CSPPeleeNet's stages: the order of split, pool and transitions"
EFM = "EFM: its budget, three heads and Maxout are given, its wiring is not"
_FLOATS = "the printed number is met when every stored float is counted (4.303M)"

MODELS = (
    Entry(
        "peleenet-prn",
        "PeleeNet-PRN",
        with_prn(peleenet),
        416,
        (PublishedRow("Table 4", 416, 4.04, 3.16, "floats", (23.3, 45.0, 22.0), fps={"gpu": 145}),),
        provenance="reconstructed",
        forced=(PRN, LAYERS),
        fitted=(DARKNETS,),
        anchors=A6,
        masks=TINY,
    ),
    Entry(
        "peleenet-prn-3l",
        "PeleeNet-PRN (3l)",
        with_prn(peleenet, 3),
        416,
        (PublishedRow("Table 4", 416, 5.03, 3.36, "floats"),),
        provenance="reconstructed",
        forced=(PRN, LAYERS),
        fitted=(DARKNETS, THIRD),
        anchors=A9,
        masks=COARSE_FIRST,
    ),
    Entry(
        "csppeleenet-efm-sam",
        "CSPPeleeNet-EFM (SAM)",
        with_efm(attention=True),
        416,
        (
            PublishedRow("Table 4", 512, 7.68, 4.31, ap=(27.6, 50.4, 27.7), fps={"gpu": 109}, miss=_FLOATS),
            PublishedRow("Tables 2, 4", 416, 5.068, 4.31, ap=(26.8, 49.0, 26.7), fps={"gpu": 129}, miss=_FLOATS),
        ),
        provenance="reconstructed",
        forced=("EFM's and SAM's cost, the same in every row",),
        fitted=(STAGES, EFM),
        anchors=A9,
        masks=COARSE_FIRST,
    ),
    Entry(
        "csppeleenet-efm",
        "CSPPeleeNet-EFM",
        with_efm(),
        416,
        (PublishedRow("Table 2", 416, 4.868, ap=(None, 48.6, None), fps={"gpu": 132}),),
        provenance="reconstructed",
        forced=("EFM's cost, the same in every row",),
        fitted=(STAGES, EFM),
        anchors=A9,
        masks=COARSE_FIRST,
    ),
    Entry(
        "csppeleenet-efm-spp",
        "CSPPeleeNet-EFM (SPP)",
        with_efm(pyramid=True),
        416,
        (PublishedRow("Table 2", 416, 4.863, ap=(None, 48.5, None), fps={"gpu": 128}),),
        provenance="reconstructed",
        forced=("EFM's cost, the same in every row",),
        fitted=(STAGES, EFM, "where the SPP stands"),
        anchors=A9,
        masks=COARSE_FIRST,
    ),
    Entry(
        "csppeleenet-prn",
        "CSPPeleeNet-PRN",
        with_prn(csppeleenet),
        416,
        (PublishedRow("Table 2", 416, 3.590, ap=(None, 44.5, None), fps={"gpu": 169}),),
        provenance="reconstructed",
        forced=(PRN,),
        fitted=(STAGES,),
        anchors=A6,
        masks=TINY,
    ),
    Entry(
        "csppeleenet-prn-3l",
        "CSPPeleeNet-PRN-3l",
        with_prn(csppeleenet, 3),
        416,
        (PublishedRow("Table 2", 416, 4.586, ap=(None, 46.0, None), fps={"gpu": 151}),),
        provenance="reconstructed",
        forced=(PRN,),
        fitted=(STAGES, THIRD),
        anchors=A9,
        masks=COARSE_FIRST,
    ),
)
