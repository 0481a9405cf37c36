"""PeleeNet and CSPPeleeNet under the heads of the paper's Table 2.

PeleeNet's layers are its authors' (Robert-JunWang/Pelee, in darknet's leaky ReLU and max-pools). CSPPeleeNet
has no cfg; this form has no free number in it and comes within 0.7% of every detector row.
"""

from __future__ import annotations

from typing import Callable, List, Optional

from ..graph.layers import Net, Tensor
from ._blocks import Block, Taps, csp_slice, pool, squeeze_excite, two_way
from ._heads import Output, cem, efm, gfm, with_prn
from ._record import Build, PublishedRow, reconstructed

LAYER_COUNTS, INTER = (3, 4, 8, 6), (16, 32, 64, 64)


def stem(net: Net, act: str = "leaky") -> Tensor:
    """Stride 4, 32 channels: a pooled and a convolved branch (PeleeNet paper, Figure 2)."""
    x = net.conv(net.input, 32, 3, stride=2, act=act)
    branch = net.conv(net.conv(x, 16, 1, act=act), 32, 3, stride=2, act=act)
    return net.conv(net.concat(pool(net, x), branch), 32, 1, act=act)


def peleenet(net: Net, act: str = "leaky", *, squeeze: int = 0, average: bool = False) -> Taps:
    """PeleeNet; the first three stages are pooled. Maps of 256, 512 and 704 channels.

    `squeeze` is the inner width of a squeeze and excitation on what each layer adds, 0 for none; with `average` the
    pools between the stages are the authors' own.
    """
    x = stem(net, act)
    taps: List[Tensor] = []
    for layers, inter in zip(LAYER_COUNTS, INTER):
        if taps:
            x = net.avgpool(x, 2, 2) if average else pool(net, x)
        x = two_way(net, x, layers, inter, act=act, gate=_gate(net, squeeze, act))
        x = net.conv(x, x.c, 1, act=act)
        taps.append(x)
    return taps[1], taps[2], taps[3]


def csppeleenet(net: Net, act: str = "leaky", *, gamma: float = 0.5, squeeze: int = 0, fusion: str = "both") -> Taps:
    """CSPPeleeNet: the share `gamma` of each stage's channels goes past its dense layers.

    The second transition comes after the pool, or the cost would exceed PeleeNet's. `fusion` "first" has this one
    alone, "last" the one before the join alone (the paper's Figure 3), but for the last 1x1, which PeleeNet has too.
    """
    x = stem(net, act)
    taps: List[Tensor] = []
    for layers, inter in zip(LAYER_COUNTS, INTER):
        if taps:
            x = pool(net, x)
            x = x if fusion == "last" else net.conv(x, x.c, 1, act=act)
        block = _block(net, layers, inter, act, _gate(net, squeeze, act))
        transition = fusion == "both" or (fusion == "last" and len(taps) < 3)
        x = csp_slice(net, x, block, gamma=gamma, act=act, transition=transition)
        taps.append(x)
    return taps[1], taps[2], net.conv(x, x.c, 1, act=act)


def _block(net: Net, layers: int, inter: int, act: str, gate: Optional[Block]) -> Block:
    return lambda y: two_way(net, y, layers, inter, act=act, gate=gate)


def _gate(net: Net, squeeze: int, act: str) -> Optional[Block]:
    return (lambda new: squeeze_excite(net, new, squeeze, act)) if squeeze else None


def with_efm(*, attention: bool = False, pyramid: bool = False) -> Build:
    """CSPPeleeNet under an EFM head."""
    return lambda net, head: efm(net, csppeleenet(net), head, attention=attention, pyramid=pyramid)


def _on_taps(neck: Callable[[Net, Taps, Output], None]) -> Build:
    return lambda net, head: neck(net, csppeleenet(net), head)


def _cem(attention: bool) -> Callable[[Net, Taps, Output], None]:
    return lambda net, taps, head: cem(net, taps, head, attention=attention)


def _swish(net: Net) -> Taps:
    return csppeleenet(net, "swish")


LAYERS = "PeleeNet's layers as its authors published them"
DARKNETS = "leaky ReLU, and max-pools between the stages: darknet had no local average-pool then"
PRN = "the PRN head unchanged"
THIRD = "the third level's wiring, by analogy with the second; its cost is exact"
STAGES = "CSPPeleeNet's stages: the order of split, pool and transitions"
EFM = "EFM: its budget, three heads and Maxout are given, its wiring is not"
EFM_COST = "EFM's cost, the same in every row"
SPP = "where the SPP stands"
GFM = "GFM: three heads and that every level joins all maps are given (Figure 6); widths and squeezing are not"
CEM_COST = "SAM's cost, 0.116 BFLOPs, is that of 1x1 convolutions of 128 channels at the strides 32, 16 and 8"
CEM = "CEM: joined maps and one more 1x1 a level, which meet the budget; ThunderNet's global context is left out"
SWISH = "the activation, by its name"
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
    reconstructed(
        "csppeleenet-prn-swish",
        "CSPPeleeNet-PRN (swish)",
        with_prn(_swish, act="swish"),
        PublishedRow("authors' repository", 416, ap=(24.1, 45.8, 23.3)),
        levels=2,
        forced=(PRN, SWISH),
        fitted=(STAGES,),
    ),
    *(
        reconstructed(name, title, _on_taps(neck), row, levels=3, forced=forced, fitted=(STAGES, fitted))
        for name, title, neck, row, forced, fitted in (
            ("csppeleenet-gfm", "CSPPeleeNet-GFM", gfm, _in_table_2(4.605, 46.2, 134), (), GFM),
            ("csppeleenet-cem", "CSPPeleeNet-CEM", _cem(False), _in_table_2(4.049, 45.4, 148), (), CEM),
            (
                "csppeleenet-cem-sam",
                "CSPPeleeNet-CEM (SAM)",
                _cem(True),
                _in_table_2(4.165, 46.1, 144),
                (CEM_COST,),
                CEM,
            ),
        )
    ),
)
