"""What is told of a detector before it is asked anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _options
from .._logging import inform, warn

if TYPE_CHECKING:
    from ...pipeline import Detector
    from ...types import Model

MORE_CLASSES = "For COCO's 80 classes: edgecsp models pull yolov3-tiny, then --model yolov3-tiny"


def engine(detector: Detector) -> None:
    """What computes, and why that."""
    chosen = detector.chosen
    assert chosen is not None
    inform(f"engine {chosen.summary}: {chosen.why}")


def in_vain(detector: Detector, name: str, *, timed: bool) -> None:
    """That what it finds means nothing, if so; `timed`: that its speed does."""
    chosen = detector.chosen
    assert chosen is not None
    vain(chosen.engine, detector.model, name, timed=timed)


def vain(engine: str, model: Model, name: str, *, timed: bool) -> None:
    """The same of a model that is not opened yet."""
    from ... import backends

    if not backends.is_real(engine):
        rest = "; it times all the rest" if timed else ""
        warn(f"engine {engine} computes nothing and finds nothing, by design{rest}")
    if model.origin.get("weights") == "random":
        speed = "; only its speed does" if timed else ""
        warn(f"RANDOM WEIGHTS: {name} has learned nothing. Its boxes mean nothing{speed}.")


def unnamed(detector: Detector, name: str) -> None:
    """What the model finds that was taken because none was named."""
    finds = _options.listed(detector.model.labels)
    inform(f"no --model: {name}, which finds {finds}. {MORE_CLASSES}")
