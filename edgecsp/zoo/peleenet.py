"""PeleeNet and CSPPeleeNet under the heads of the paper's Table 2.

PeleeNet's layers are its authors' (Robert-JunWang/Pelee, in darknet's leaky ReLU and max-pools). CSPPeleeNet
has no cfg; this form has no free number in it and comes within 0.7% of every detector row.
"""

from __future__ import annotations

from typing import Callable, List

from ..graph.layers import Net, Tensor
from ._blocks import Taps, csp_half, pool, two_way
from ._heads import efm, with_prn
from ._record import Build, PublishedRow, reconstructed

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


def with_efm(*, attention: bool = False, pyramid: bool = False) -> Build:
    """CSPPeleeNet under an EFM head."""
    return lambda net, head: efm(net, csppeleenet(net), head, attention=attention, pyramid=pyramid)


LAYERS = "PeleeNet's layers as its authors published them"
DARKNETS = "leaky ReLU, and max-pools between the stages: darknet had no local average-pool then"
PRN = "the PRN head unchanged"
THIRD = "the third level's wiring, by analogy with the second; its cost is exact"
STAGES = "CSPPeleeNet's stages: the order of split, pool and transitions"
EFM = "EFM: its budget, three heads and Maxout are given, its wiring is not"
EFM_COST = "EFM's cost, the same in every row"
SPP = "where the SPP stands"
_FLOATS = "the printed number is met when every stored float is counted (4.303M)"


def _in_table_2(bflops: float, ap50: float, fps: float) -> PublishedRow:
    return PublishedRow("Table 2", 416, bflops, ap=(None, ap50, None), fps={"gpu": fps})


MODELS = (
    reconstructed(
        "peleenet-prn",
        "PeleeNet-PRN",
        with_prn(peleenet),
        PublishedRow("Table 4", 416, 4.04, 3.16, "floats", (23.3, 45.0, 22.0), fps={"gpu": 145}),
        levels=2,
        forced=(PRN, LAYERS),
        fitted=(DARKNETS,),
    ),
    reconstructed(
        "peleenet-prn-3l",
        "PeleeNet-PRN (3l)",
        with_prn(peleenet, 3),
        PublishedRow("Table 4", 416, 5.03, 3.36, "floats"),
        levels=3,
        forced=(PRN, LAYERS),
        fitted=(DARKNETS, THIRD),
    ),
    reconstructed(
        "csppeleenet-efm-sam",
        "CSPPeleeNet-EFM (SAM)",
        with_efm(attention=True),
        PublishedRow("Table 4", 512, 7.68, 4.31, ap=(27.6, 50.4, 27.7), fps={"gpu": 109}, miss=_FLOATS),
        PublishedRow("Tables 2, 4", 416, 5.068, 4.31, ap=(26.8, 49.0, 26.7), fps={"gpu": 129}, miss=_FLOATS),
        levels=3,
        forced=("EFM's and SAM's cost, the same in every row",),
        fitted=(STAGES, EFM),
    ),
    *(
        reconstructed(name, title, build, row, levels=3, forced=(EFM_COST,), fitted=(STAGES, EFM, *more))
        for name, title, build, row, more in (
            ("csppeleenet-efm", "CSPPeleeNet-EFM", with_efm(), _in_table_2(4.868, 48.6, 132), ()),
            (
                "csppeleenet-efm-spp",
                "CSPPeleeNet-EFM (SPP)",
                with_efm(pyramid=True),
                _in_table_2(4.863, 48.5, 128),
                (SPP,),
            ),
        )
    ),
    *(
        reconstructed(name, title, with_prn(csppeleenet, levels), row, levels=levels, forced=(PRN,), fitted=fitted)
        for name, title, levels, row, fitted in (
            ("csppeleenet-prn", "CSPPeleeNet-PRN", 2, _in_table_2(3.590, 44.5, 169), (STAGES,)),
            ("csppeleenet-prn-3l", "CSPPeleeNet-PRN-3l", 3, _in_table_2(4.586, 46.0, 151), (STAGES, THIRD)),
        )
    ),
)
