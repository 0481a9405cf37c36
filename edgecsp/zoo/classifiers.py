"""The ImageNet classifiers of the paper's Table 3: the backbones under a global average and a 1x1 to 1000."""

from __future__ import annotations

from typing import Callable

from ..graph.layers import Net
from ._blocks import Taps, cspresnext50, plain
from ._heads import Output
from ._record import PUBLIC_DOMAIN, Build, Entry, PublicWeights, PublishedRow, reconstructed
from .csp_ref import STAGES, TOP, Stage, backbone, densenet, pelee
from .peleenet import DARKNETS, LAYERS, csppeleenet, peleenet
from .peleenet import STAGES as HALVES


def over(taps: Callable[[Net], Taps]) -> Build:
    """A classifier on a backbone's coarsest map."""
    return lambda net, head: head(taps(net)[2])


def darknet_ref(net: Net, head: Output) -> None:
    """Darknet Reference."""
    _, x = plain(net, net.input, (16, 32, 64, 128, 256, 512))
    head(net.conv(x, 1024, 3))


def reference(stages: Stage, top: int) -> Build:
    """A classifier on the stages of a reference backbone, whose last convolution is `top` wide and high."""
    return over(lambda net: backbone(net, stages, top))


_AUTHORS = "authors' repository"
_MISPRINT = "a misprint of 0.836: the b row and the detectors' rows allow nothing else"
_DENSENET = PublishedRow("Table 3", 224, 0.886, 3.48, top1=65.7, miss=_MISPRINT)

MODELS = (
    Entry(
        "darknet-ref",
        "Darknet Reference",
        darknet_ref,
        256,
        (PublishedRow("Table 3", 256, 0.96, 7.31, top1=61.1),),
        source="WongKinYiu/CrossStagePartialNetworks, cfg/darknet.cfg",
        resize="crop",
        weights=PublicWeights("https://pjreddie.com/media/files/darknet.weights", licence=PUBLIC_DOMAIN),
    ),
    *(
        reconstructed(name, title, reference(stages, top), row, forced=(TOP,), fitted=(STAGES,))
        for name, title, stages, top, row in (
            ("cspdensenet-ref", "CSPDenseNet Reference", densenet, 3, _DENSENET),
            ("cspdensenetb-ref", "CSPDenseNetb Ref.", densenet, 1, PublishedRow(_AUTHORS, 224, 0.631, 1.38, top1=64.2)),
            (
                "csppeleenet-ref",
                "CSPPeleeNet Reference",
                pelee,
                3,
                PublishedRow("Table 3", 224, 1.103, 4.10, top1=68.9),
            ),
            ("csppeleenetb-ref", "CSPPeleeNetb Ref.", pelee, 1, PublishedRow(_AUTHORS, 224, 0.897, 2.01, top1=67.8)),
        )
    ),
    reconstructed(
        "peleenet",
        "PeleeNet",
        over(peleenet),
        PublishedRow("Table 3", 224, 1.017, 2.79, top1=70.7),
        source="Robert-JunWang/Pelee",
        forced=(LAYERS,),
        fitted=(DARKNETS,),
    ),
    reconstructed(
        "csppeleenet",
        "CSPPeleeNet",
        over(csppeleenet),
        PublishedRow("Table 3", 224, 0.888, 2.83, top1=70.9),
        fitted=(HALVES,),
    ),
    Entry(
        "cspresnext50",
        "CSPResNeXt-50",
        over(cspresnext50),
        256,
        (PublishedRow("Table 3", 256, 7.93, 20.50, top1=77.9),),
        source="WongKinYiu/CrossStagePartialNetworks, cfg/csresnext50.cfg",
        resize="crop",
        weights=PublicWeights("https://drive.google.com/uc?export=download&id=1IxKu5lAYCo4UpzAl5pOBIDAvC843vjn1"),
    ),
)
