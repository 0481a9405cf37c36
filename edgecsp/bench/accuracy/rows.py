"""A model, or the same one in several precisions, on every engine that is asked for: one row of figures each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from ... import backends, pipeline
from ...errors import BuildFailed, EdgecspError, EngineUnavailable, UnknownName, UsageError
from ...graph import precision
from ...system.progress import NO_PROGRESS, Progress
from ...types import Model
from .confusion import Confusion, confusion
from .found import Predictions, classes, find
from .score import Score, score
from .truth import Data


class EngineOption(NamedTuple):
    """A graph, the engine and device it runs on, and the precision it computes in there."""

    model: Model
    engine: str
    device: str
    precision: str


@dataclass
class AccuracyRow:
    """What came of one way. `why` says why it was not measured, and then the rest is None or 0.

    `pictures` and `detections` are counts, `problems` what was survived (as `Predictions.problems`). `found` may be put
    to None once it is no longer needed: it is as large as the data.
    """

    way: EngineOption
    why: str = ""
    pictures: int = 0
    detections: int = 0
    problems: Dict[str, int] = field(default_factory=dict)
    score: Optional[Score] = None
    confusion: Optional[Confusion] = None
    found: Optional[Predictions] = None

    def fill(self, found: Predictions, shown: float) -> None:
        """Count what was found; confusions from a score of `shown` on."""
        self.found, self.problems = found, found.problems
        self.pictures, self.detections = len(found.pictures), sum(map(len, found.detections))
        self.score, self.confusion = score(found), confusion(found, shown)

    def as_json(self) -> Dict[str, Any]:
        """The row as plain values; averages in 0..1, null where there is nothing to find."""
        model, engine, device, computed = self.way
        said: Dict[str, Any] = {"model": model.name, "engine": engine, "device": device, "precision": computed}
        said["reason"] = self.why or None
        if self.score is None or self.confusion is None:
            return said
        classes = [
            {"name": each.name, "objects": each.objects, "pictures": each.pictures, "AP": each.ap, "AP50": each.ap50}
            for each in self.score.classes
        ]
        counted = self.confusion
        return {
            **said,
            "pictures": self.pictures,
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


def ways(
    models: Sequence[Model],
    engines: Sequence[str] = ("auto",),
    *,
    device: str = "auto",
    precisions: Optional[Sequence[str]] = None,
) -> List[EngineOption]:
    """Every way that is asked for. `engines`: names, "auto", or "all" for what runs here; `precisions`: each graph's.

    Raises `UnknownName`, `UsageError`, and `EngineUnavailable` for an engine that was named and does not run here.
    """
    for name in precisions or ():
        if name not in backends.PRECISIONS:
            raise UnknownName("precision", name, backends.PRECISIONS)
    found = []
    for model in models:
        for wanted in precisions or (precision.detect_precision(model),):
            for name in _named(engines, device):
                engine, place, _ = backends.choose(name, device, wanted)
                if not backends.is_real(engine):
                    raise UsageError(f"engine {engine} computes nothing and finds nothing, by design; take another")
                backends.require(engine, place)
                found.append(EngineOption(model, engine, place, wanted))
    return [way for i, way in enumerate(found) if way not in found[:i]]


def _named(engines: Sequence[str], device: str) -> List[str]:
    if "all" not in engines:
        return list(engines)
    real = [name for name in backends.names() if backends.is_real(name)]
    here = [name for name in real if backends.why_not(name, device) is None]
    if not here:
        raise EngineUnavailable(f"no engine runs on device {device!r} here; see: edgecsp doctor")
    return here


def measured(
    asked: Sequence[EngineOption],
    data: Data,
    *,
    shown: Optional[float] = None,
    conf: float,
    max_det: int,
    threads: Optional[int] = None,
    progress: Progress = NO_PROGRESS,
    **options: Any,
) -> Iterator[AccuracyRow]:
    """A row for each way; `options` go to `pipeline.load`. `shown`: the score that confusions count from (the model's).

    `progress` counts each picture of each way.

    Of several ways, one whose engine does not take it is a row that says so; when there is one alone, or no way
    works, its error is raised: an `EdgecspError`.
    """
    for way in asked:
        classes(way.model, data)
    refused: List[EdgecspError] = []
    for way in asked:
        row = AccuracyRow(way)
        try:
            detector = pipeline.load(
                way.model, way.engine, device=way.device, threads=threads, precision=way.precision, **options
            )
        except (BuildFailed, EngineUnavailable, UsageError) as error:
            refused.append(error)
            if len(refused) == len(asked):
                raise
            row.why = " ".join(str(error).split())
        else:
            with detector:
                found = find(detector, data, conf=conf, max_det=max_det, progress=progress)
            row.fill(found, way.model.conf if shown is None else shown)
        yield row
