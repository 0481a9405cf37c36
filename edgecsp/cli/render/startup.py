"""Startup messages about a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _options
from .._logging import inform, warn

if TYPE_CHECKING:
    from ...pipeline import Detector
    from ...types import Model

# The best of the zoo with public weights: of at most 10 BFLOPs, and of all (tests/zoo/test_first_coco.py).
MORE_CLASSES = (
    "For COCO's 80 classes: edgecsp models pull yolov4-tiny, then --model yolov4-tiny (AP50 40.2, 6.9 BFLOPs; "
    "the most accurate is yolov4-csp: 67.4, 120.3)"
)


def print_engine(detector: Detector) -> None:
    """Print the chosen engine and why."""
    chosen = detector.chosen
    assert chosen is not None
    inform(f"engine {chosen.summary}: {chosen.why}")


def warn_if_meaningless(detector: Detector, name: str, *, timed: bool) -> None:
    """Warn if detections are meaningless; `timed`: add that the speed is still valid."""
    chosen = detector.chosen
    assert chosen is not None
    warn_model_if_meaningless(chosen.engine, detector.model, name, timed=timed)


def warn_model_if_meaningless(engine: str, model: Model, name: str, *, timed: bool) -> None:
    """Warn if detections are meaningless, for a model that is not open yet."""
    from ... import backends

    if backends.info(engine).is_dummy:
        rest = "; use it to time the rest of the pipeline" if timed else ""
        warn(f"engine {engine} is a dummy that computes nothing{rest}")
    if model.origin.get("weights") == "random":
        speed = "; only its speed is valid" if timed else ""
        warn(f"RANDOM WEIGHTS: {name} is untrained, so its detections are meaningless{speed}.")


def print_default_model(detector: Detector, name: str) -> None:
    """Log the classes of the default model when none was given, and those of the other bundled models."""
    from ... import zoo

    finds = _options.join_names(detector.model.labels)
    others = [
        f"--model {other} detects {_options.join_names(zoo.get(other).labels)}. "
        for other in zoo.bundled_names()
        if other != name
    ]
    inform(f"no --model given: using {name}, which detects {finds}. {''.join(others)}{MORE_CLASSES}")
