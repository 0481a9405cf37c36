"""The paper's own small detectors: CSPPeleeNet Reference, CSPDenseNet Reference and the "b" variants.

No cfg was ever published. What is here meets the parameters and BFLOPs of all nine printed rows at once;
README.md in this folder says which parts the tables force and which are one choice among several.
"""

from __future__ import annotations

from typing import Callable, Dict

from ..graph.layers import Net, Tensor
from . import _heads
from ._blocks import Taps, csp, dense, plain, pool, two_way
from ._heads import efm
from ._record import Build, Entry, PublishedRow, reconstructed

Stage = Callable[[Net, Tensor, int], Tensor]


def pelee(net: Net, x: Tensor, stage: int) -> Tensor:
    """CSPPeleeNet Ref.: two-way layers, 8, 16, 32 and 64 channels between."""
    return two_way(net, x, (4, 4, 8, 6)[stage], x.c // 2)


def densenet(net: Net, x: Tensor, stage: int) -> Tensor:
    """CSPDenseNet Ref.: one 3x3 a layer, growth 16."""
    return dense(net, x, (4, 5, 4, 4)[stage], 16)


def backbone(net: Net, layers: Stage, top: int) -> Taps:
    """Darknet Reference's stem, four partial dense stages, and the 512 to 512 convolution of size `top`."""
    _, x = plain(net, net.input, (16, 32))
    taps = []
    for stage in range(4):
        if stage:
            x = pool(net, x)
        half = x.c // 2
        x = csp(net, x, _block(net, layers, stage), part_width=half, through=half, out=2 * x.c, part_first=True)
        taps.append(x)
    last = net.conv(net.maxpool(x, 2, 1), 512, top)
    return taps[1], taps[2], net.shortcut(last, x, "leaky")


def _block(net: Net, layers: Stage, stage: int) -> Callable[[Tensor], Tensor]:
    return lambda y: layers(net, y, stage)


def with_prn(layers: Stage, top: int = 3, levels: int = 2) -> Build:
    """The backbone under a PRN head of 2 or 3 levels."""
    return _heads.with_prn(lambda net: backbone(net, layers, top), levels)


def with_efm(layers: Stage) -> Build:
    """The backbone under an EFM head with SAM."""
    return lambda net, head: efm(net, backbone(net, layers, 3), head, attention=True)


TOP = "the 512 to 512 convolution before the head: 3x3, in the b variants 1x1"
HEAD = "the PRN heads unchanged"
STAGES = "stem and stages: widths, layer counts and wiring, chosen to meet the remaining budget"
FUSION = "EFM: its cost is forced, its wiring is not"

_START: Dict[Stage, str] = {densenet: "everyday"}  # has these stages, and weights trained on photographs
_EFM = "EFM: its cost, three heads, Maxout before every join"


def _with_prn(name: str, title: str, layers: Stage, row: PublishedRow, *, top: int = 3) -> Entry:
    facts = {"forced": (TOP, HEAD), "fitted": (STAGES,), "start": _START.get(layers, "")}
    return reconstructed(name, title, with_prn(layers, top), row, levels=2, **facts)


def _with_efm(name: str, title: str, layers: Stage, row: PublishedRow) -> Entry:
    facts = {"forced": (TOP, _EFM), "fitted": (STAGES, FUSION), "start": _START.get(layers, "")}
    return reconstructed(name, title, with_efm(layers), row, levels=3, **facts)


MODELS = (
    _with_efm(
        "csppeleenet-ref-efm-sam",
        "CSPPeleeNet Ref.-EFM (SAM)",
        pelee,
        PublishedRow("Tables 4, 5", 320, 3.43, 5.67, ap=(23.5, 44.6, 22.7), fps={"gpu": 205, "mgpu": 41}),
    ),
    _with_efm(
        "cspdensenet-ref-efm-sam",
        "CSPDenseNet Ref.-EFM (SAM)",
        densenet,
        PublishedRow("Tables 4, 5", 320, 2.89, 5.05, ap=(21.7, 42.2, 20.6), fps={"gpu": 235, "mgpu": 49}),
    ),
    reconstructed(
        "csppeleenet-ref-prn-3l",
        "CSPPeleeNet Ref.-PRN (3l)",
        with_prn(pelee, levels=3),
        PublishedRow("Tables 4, 5", 320, 3.15, 4.79, ap=(19.4, 40.0, 17.0), fps={"gpu": 267, "cpu": 52, "mgpu": 38}),
        levels=3,
        forced=(TOP, HEAD, "the third level's cost"),
        fitted=(STAGES, "the third level's wiring, by analogy with the second"),
    ),
    _with_prn(
        "csppeleenet-ref-prn",
        "CSPPeleeNet Ref.-PRN",
        pelee,
        PublishedRow("Tables 4, 5", 320, 2.56, 4.59, ap=(18.8, 38.5, 16.6), fps={"gpu": 306, "cpu": 75, "mgpu": 52}),
    ),
    _with_prn(
        "cspdensenet-ref-prn",
        "CSPDenseNet Ref.-PRN",
        densenet,
        PublishedRow("Tables 4, 5", 320, 2.01, 3.97, ap=(16.8, 35.4, 14.3), fps={"gpu": 387, "cpu": 95, "mgpu": 64}),
    ),
    _with_prn(
        "cspdensenetb-ref-prn",
        "CSPDenseNetb Ref.-PRN",
        densenet,
        PublishedRow("Tables 4, 5", 320, 1.59, 1.87, ap=(15.3, 34.2, 12.0), fps={"gpu": 400, "cpu": 102, "mgpu": 73}),
        top=1,
    ),
)
