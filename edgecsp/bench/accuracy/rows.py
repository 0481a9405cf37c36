"""Accuracy of a model, or of its versions in several precisions, on each requested engine: one row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from ... import backends, pipeline
from ...errors import BuildFailed, EdgecspError, EngineUnavailable, UnknownName, UsageError
from ...graph import precision
from ...system.progress import NO_PROGRESS, Progress
from ...types import Model
from .confusion import Confusion, count_confusions
from .predictions import Predictions, map_classes, predict
from .score import Score, score
from .truth import Data


class EngineOption(NamedTuple):
    """A graph, the engine and device it runs on, and the precision it computes in."""

    model: Model
    engine: str
    device: str
    precision: str


@dataclass
class AccuracyRow:
    """The accuracy of one case. `why` says why it was not measured, and then the rest is None or 0.

    `pictures` and `detections` are counts, `problems` what was survived (as `Predictions.problems`). `found` may be put
    to None once it is no longer needed: it is as large as the data.
    """

    case: EngineOption
    reason: str = ""
    images: int = 0
    detections: int = 0
    problems: Dict[str, int] = field(default_factory=dict)
    score: Optional[Score] = None
    confusion: Optional[Confusion] = None
    predictions: Optional[Predictions] = None

    def fill(self, predictions: Predictions, confusion_conf: float) -> None:
        """Count what was found; confusions from a score of `shown` on."""
        self.predictions, self.problems = predictions, predictions.problems
        self.images, self.detections = len(predictions.images), sum(map(len, predictions.detections))
        self.score, self.confusion = score(predictions), count_confusions(predictions, confusion_conf)

    def to_dict(self) -> Dict[str, Any]:
        """The row as plain values; averages in 0..1, null where there is no object."""
        model, engine, device, computed = self.case
        row: Dict[str, Any] = {"model": model.name, "engine": engine, "device": device, "precision": computed}
        row["reason"] = self.reason or None
        if self.score is None or self.confusion is None:
            return row
        classes = [
            {"name": each.name, "objects": each.objects, "pictures": each.images, "AP": each.ap, "AP50": each.ap50}
            for each in self.score.classes
        ]
        counted = self.confusion
        return {
            **row,
            "pictures": self.images,
            "detections": self.detections,
            **self.score.averages,
            "classes": classes,
            "confusion": {
                "conf": counted.conf,
                "iou": counted.iou,
                "labels": list(counted.labels),
                "matrix": counted.matrix.tolist(),
            },
        }


def list_cases(
    models: Sequence[Model],
    engines: Sequence[str] = ("auto",),
    *,
    device: str = "auto",
    precisions: Optional[Sequence[str]] = None,
) -> List[EngineOption]:
    """List the requested cases. `engines`: names, "auto", or "all" for what runs here; `precisions`: each graph's.

    Raises `UnknownName`, `UsageError`, and `EngineUnavailable` for an engine that was named and does not run here.
    """
    for name in precisions or ():
        if name not in backends.PRECISIONS:
            raise UnknownName("precision", name, backends.PRECISIONS)
    cases = []
    for model in models:
        for requested in precisions or (precision.detect_precision(model),):
            for name in _resolve_engines(engines, device):
                engine, place, _ = backends.choose(name, device, requested)
                if backends.info(engine).is_dummy:
                    raise UsageError(f"engine {engine} is a dummy and finds nothing; use another")
                backends.require(engine, place)
                cases.append(EngineOption(model, engine, place, requested))
    return [case for i, case in enumerate(cases) if case not in cases[:i]]


def _resolve_engines(engines: Sequence[str], device: str) -> List[str]:
    if "all" not in engines:
        return list(engines)
    real = list(backends.names(with_dummies=False))
    here = [name for name in real if backends.unavailable_reason(name, device) is None]
    if not here:
        raise EngineUnavailable(f"no engine runs on device {device!r} here; see: edgecsp doctor")
    return here


def measure_rows(
    cases: Sequence[EngineOption],
    data: Data,
    *,
    confusion_conf: Optional[float] = None,
    conf: float,
    max_det: int,
    threads: Optional[int] = None,
    progress: Progress = NO_PROGRESS,
    **options: Any,
) -> Iterator[AccuracyRow]:
    """A row for each way; `options` go to `pipeline.load`. `shown`: the score that confusions count from (the model's).

    `progress` counts each image of each case.

    Of several ways, one whose engine does not take it is a row that says so; when there is one alone, or no way
    works, its error is raised: an `EdgecspError`.
    """
    for case in cases:
        map_classes(case.model, data)
    refused: List[EdgecspError] = []
    for case in cases:
        row = AccuracyRow(case)
        try:
            detector = pipeline.load(
                case.model, case.engine, device=case.device, threads=threads, precision=case.precision, **options
            )
        except (BuildFailed, EngineUnavailable, UsageError) as error:
            refused.append(error)
            if len(refused) == len(cases):
                raise
            row.reason = " ".join(str(error).split())
        else:
            with detector:
                predictions = predict(detector, data, conf=conf, max_det=max_det, progress=progress)
            row.fill(predictions, case.model.conf if confusion_conf is None else confusion_conf)
        yield row
