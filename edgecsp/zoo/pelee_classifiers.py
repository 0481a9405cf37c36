"""PeleeNet's relatives in the paper's Tables 1 and 3: other activations, squeeze and excitation, other fusions.

None of their cfgs was published; README.md in this folder says how far each row is met.
"""

from __future__ import annotations

from typing import Any, Callable, List

from ..graph.layers import Net, Tensor
from ._blocks import Taps, pool, two_way_layer
from ._record import PublishedRow, reconstructed
from .classifiers import over
from .peleenet import DARKNETS, INTER, LAYER_COUNTS, LAYERS, STAGES, SWISH, csppeleenet, peleenet, stem

SQUEEZE = 16
"""Inner width of a squeeze and excitation on the 32 channels that a layer adds."""


def sparse(net: Net) -> Taps:
    """SparsePeleeNet: a layer reads not all earlier maps but those 1, 2, 4 and 8 steps before it (arXiv 1801.05895)."""
    x = stem(net)
    taps: List[Tensor] = []
    for layers, inter in zip(LAYER_COUNTS, INTER):
        maps = [pool(net, x) if taps else x]
        for _ in range(layers):
            read = [maps[-step] for step in (1, 2, 4, 8) if step <= len(maps)]
            maps.append(net.concat(*two_way_layer(net, net.concat(*read), inter)))
        x = net.concat(*maps)
        x = net.conv(x, x.c, 1)
        taps.append(x)
    return taps[1], taps[2], taps[3]


def _csp(**form: Any) -> Callable[[Net], Taps]:
    return lambda net: csppeleenet(net, **form)


def _plain(**form: Any) -> Callable[[Net], Taps]:
    return lambda net: peleenet(net, **form)


SE = "where the squeeze and excitation stands (on what each layer adds) and its width, which meet the 0.02M it costs"
SPARSE = (
    "which maps a layer reads, those 1, 2, 4 and 8 steps before, and that a transition reads all: both costs are exact"
)
GAMMA = "the share of a stage's channels that passes by"
FUSION = "which of the two transitions there is (Figure 3)"
DIGITS = "the table's digits were not available; its text says the change in computation alone"
_OVER = "0.48% are CSPPeleeNet's, see there; the squeeze and excitation alone costs the 0.02M that it should"
_GAMMA_25 = DIGITS + ", 3% less than PeleeNet, which this form does not meet"
_SPARSE_ROW = PublishedRow("Tables 1, 3", 224, 0.904, 2.39, top1=69.6)

MODELS = (
    reconstructed(
        "sparsepeleenet", "SparsePeleeNet", over(sparse), _SPARSE_ROW, forced=(LAYERS,), fitted=(SPARSE, DARKNETS)
    ),
    *(
        reconstructed(name, title, over(taps), row, forced=forced, fitted=fitted)
        for name, title, taps, row, forced, fitted in (
            (
                "peleenet-swish",
                "PeleeNet-swish",
                _plain(act="swish"),
                PublishedRow("Table 3", 224, 1.017, 2.79, top1=71.5),
                (LAYERS, SWISH),
                (DARKNETS,),
            ),
            (
                "sepeleenet-swish",
                "SEPeleeNet-swish",
                _plain(act="swish", squeeze=SQUEEZE),
                PublishedRow("Table 3", 224, 1.017, 2.81, top1=72.1),
                (LAYERS, SWISH),
                (SE, DARKNETS),
            ),
            (
                "csppeleenet-swish",
                "CSPPeleeNet-swish",
                _csp(act="swish"),
                PublishedRow("Table 3", 224, 0.888, 2.83, top1=71.7),
                (SWISH,),
                (STAGES,),
            ),
            (
                "secsppeleenet-swish",
                "SECSPPeleeNet-swish",
                _csp(act="swish", squeeze=SQUEEZE),
                PublishedRow("Table 3", 224, 0.888, 2.85, top1=72.4, miss=_OVER),
                (SWISH,),
                (STAGES, SE),
            ),
        )
    ),
    *(
        reconstructed(
            name, title, over(_csp(**form)), PublishedRow("Table 1", 224, miss=miss), forced=forced, fitted=(STAGES,)
        )
        for name, title, form, forced, miss in (
            ("csppeleenet-g75", "CSPPeleeNet, gamma 0.75", {"gamma": 0.75}, (GAMMA,), DIGITS),
            ("csppeleenet-g25", "CSPPeleeNet, gamma 0.25", {"gamma": 0.25}, (GAMMA,), _GAMMA_25),
            ("csppeleenet-first", "CSP (fusion first)", {"fusion": "first"}, (FUSION,), DIGITS),
            ("csppeleenet-last", "CSP (fusion last)", {"fusion": "last"}, (FUSION,), DIGITS),
            (
                "csppeleenet-last-g25",
                "CSP (fusion last), gamma 0.25",
                {"fusion": "last", "gamma": 0.25},
                (FUSION, GAMMA),
                DIGITS,
            ),
        )
    ),
)
