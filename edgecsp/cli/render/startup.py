"""What is told of a detector before it is asked anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .. import _options
from .._print import print

if TYPE_CHECKING:
    from ...pipeline import Detector
    from ...types import Model

MORE_CLASSES = "For COCO's 80 classes: edgecsp models pull yolov3-tiny, then --model yolov3-tiny"


def print_engine(detector: Detector) -> None:
    """What computes, and why that."""
    chosen = detector.chosen
    assert chosen is not None
    print(f"edgecsp: engine {chosen.shown}: {chosen.why}", file=sys.stderr)


def warn_if_meaningless(detector: Detector, name: str, *, timed: bool) -> None:
    """That what it finds means nothing, if so; `timed`: that its speed does."""
    chosen = detector.chosen
    assert chosen is not None
    warn_model_if_meaningless(chosen.engine, detector.model, name, timed=timed)


def warn_model_if_meaningless(engine: str, model: Model, name: str, *, timed: bool) -> None:
    """The same of a model that is not opened yet."""
    from ... import backends

    if not backends.is_real(engine):
        rest = "; it times all the rest" if timed else ""
        print(f"edgecsp: engine {engine} computes nothing and finds nothing, by design{rest}", file=sys.stderr)
    if model.origin.get("weights") == "random":
        speed = "; only its speed does" if timed else ""
        print(f"edgecsp: RANDOM WEIGHTS: {name} has learned nothing. Its boxes mean nothing{speed}.", file=sys.stderr)


def print_default_model(detector: Detector, name: str) -> None:
    """What the model finds that was taken because none was named."""
    finds = _options.join_names(detector.model.labels)
    print(f"edgecsp: no --model: {name}, which finds {finds}. {MORE_CLASSES}", file=sys.stderr)
