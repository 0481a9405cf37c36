"""The hint for COCO's classes offers the best of the zoo that one command brings."""

from __future__ import annotations

from typing import Dict, Tuple

from edgecsp import zoo
from edgecsp.cli import _grammar
from edgecsp.cli.render.startup import MORE_CLASSES

SMALL_BFLOPS = 10


def measured() -> Dict[str, Tuple[float, float]]:
    """AP50 and BFLOPs at its own size of each detector of COCO with public weights."""
    found: Dict[str, Tuple[float, float]] = {}
    for name in zoo.names():
        entry = zoo.get(name)
        rows = [row for row in entry.rows if row.size == entry.size and row.ap[1] is not None]
        if entry.weights is not None and rows and not entry.labels:
            found[name] = rows[0].ap[1] or 0.0, entry.cost((entry.size, entry.size)).bflops
    return found


def test_the_hint_names_the_best_small_model_and_the_most_accurate() -> None:
    models = measured()
    assert len(models) > 5
    small = max((name for name in models if models[name][1] <= SMALL_BFLOPS), key=lambda name: models[name][0])
    best = max(models, key=lambda name: models[name][0])
    assert (
        f"models pull {small}, then --model {small} (AP50 {models[small][0]:.1f}, {models[small][1]:.1f}"
        in MORE_CLASSES
    )
    assert f"{best}: {models[best][0]:.1f}, {models[best][1]:.1f})" in MORE_CLASSES
    assert any(f"models pull {small}" in line for line, _ in _grammar.EXAMPLES)
