"""Accuracy and speed of a model, or of its versions in several precisions, on each requested engine.

Accuracy is measured in this process, case by case. Speed is measured as `edgecsp bench --pipeline` measures it: the
cases take turns, each in a process of its own, one image at a time from file to boxes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from .. import backends
from ..errors import BuildFailed, EdgecspError, EngineUnavailable, UsageError
from ..system import cpu
from ..system.progress import NO_PROGRESS, Progress
from ..types import Model
from . import stats
from ._rounds import Bench
from .accuracy import Data, predict
from .accuracy.predictions import CONF, MAX_DET, map_classes
from .cases import Case, GraphFiles, find_engines
from .results import Accuracy, CaseResult
from .settings import BenchSettings

SPEED_IMAGES = 64  # images that speed is measured on, at most: evenly spaced among those of the data
SPEED_ROUNDS = 4


def list_cases(
    models: Sequence[Model],
    engines: Sequence[str] = ("auto",),
    *,
    device: str = "auto",
    precisions: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
    options: Optional[Mapping[str, Any]] = None,
) -> List[Case]:
    """List the requested cases. `engines`: names, "auto", or "all" for what runs here; `precisions`: ["auto"].

    `options` are keywords of `pipeline.load`. Raises `UnknownName`, `UsageError`, and `EngineUnavailable` for an
    engine that was named and is not available.
    """
    if "all" in engines:
        engines = [name for name, why in find_engines(None, device).items() if why is None]
    cases = []
    for model in models:
        for requested in precisions or ("auto",):
            for name in engines:
                chosen = backends.choose_for(model, name, device, requested)
                if backends.info(chosen.engine).is_dummy:
                    raise UsageError(f"engine {chosen.engine} is a dummy and finds nothing; use another")
                backends.require(chosen.engine, chosen.device)
                place = (chosen.engine, chosen.device, chosen.precision or requested)
                cases.append(Case(model, *place, threads, options=options or {}))
    return [case for i, case in enumerate(cases) if case not in cases[:i]]


def measure_accuracy(
    case: Case,
    data: Data,
    *,
    confusion_conf: Optional[float] = None,
    conf: float = CONF,
    max_det: int = MAX_DET,
    progress: Progress = NO_PROGRESS,
) -> Accuracy:
    """Measure the accuracy of a case; `progress` counts the images. Raises an `EdgecspError`.

    Detections from `conf` on count, at most `max_det` an image; confusions from `confusion_conf` on [the model's].
    """
    with case.open() as detector:
        predictions = predict(detector, data, conf=conf, max_det=max_det, progress=progress)
    return Accuracy.from_predictions(predictions, case.model.conf if confusion_conf is None else confusion_conf)


def measure_results(cases: Sequence[Case], data: Data, **options: Any) -> Iterator[CaseResult]:
    """Yield the accuracy of each case; `options` are those of `measure_accuracy`.

    Of several cases, one that its engine refuses is a result that says so; when there is one alone, or none
    works, its error is raised: an `EdgecspError`.
    """
    for case in cases:
        map_classes(case.model, data)
    refused: List[EdgecspError] = []
    for case in cases:
        result = CaseResult(case)
        try:
            result.accuracy = measure_accuracy(case, data, **options)
        except (BuildFailed, EngineUnavailable, UsageError) as error:
            refused.append(error)
            if len(refused) == len(cases):
                raise
            result.failure = " ".join(str(error).split())
        yield result


def measure_speed(results: Sequence[CaseResult], duration_s: float, *, progress: Progress = NO_PROGRESS) -> None:
    """Time the cases whose accuracy was measured, `duration_s` seconds each, on images of the data, in place.

    Confidence thresholds are the models' own, as in `edgecsp run`, not those of AP. A case that cannot be timed says
    why.
    """
    measured = [result for result in results if result.accuracy]
    paths = next((result.accuracy.paths for result in measured if result.accuracy), ())
    count = min(SPEED_IMAGES, len(paths))
    chosen = tuple(paths[i * len(paths) // count] for i in range(count))
    settings = BenchSettings(mode="pipeline", duration_s=duration_s, rounds=SPEED_ROUNDS, sources=chosen)
    with tempfile.TemporaryDirectory() as scratch:
        Bench(settings, GraphFiles(Path(scratch)), progress, lambda: None).run(measured)
    for result in measured:
        if result.failure:
            result.failure = f"its speed was not measured: {result.failure}"


def speed_to_dict(result: CaseResult) -> Optional[Dict[str, Any]]:
    """Convert the speed of a case to plain values: milliseconds per image, their parts, causes of their spread."""
    timing = result.timing
    if not timing.rounds:
        return None
    figures = timing.summary()
    unstable, causes = timing.find_causes(cpu.governor())
    return {
        **figures, "fps": 1e3 / figures["median_ms"], "samples": len(timing.ms), "rounds": len(timing.rounds),
        "stages": {name: stats.median(samples) for name, samples in (timing.stages or {}).items()},
        "unstable": unstable, "causes": causes,
    }  # fmt: skip


def result_to_dict(result: CaseResult) -> Dict[str, Any]:
    """Convert a result to plain values; averages in 0..1, null where there is no object."""
    case, measured = result.case, result.accuracy
    row: Dict[str, Any] = {
        "model": case.model.name, "engine": case.engine, "device": case.device, "precision": case.precision,
        "reason": result.failure,
    }  # fmt: skip
    if measured is None:
        return row
    classes = [
        {"name": each.name, "objects": each.objects, "pictures": each.images, "AP": each.ap, "AP50": each.ap50}
        for each in measured.score.classes
    ]
    counted = measured.confusion
    return {
        **row,
        "pictures": measured.images,
        "detections": measured.detections,
        **measured.averages,
        "classes": classes,
        "confusion": {
            "conf": counted.conf,
            "iou": counted.iou,
            "labels": list(counted.labels),
            "matrix": counted.matrix.tolist(),
        },
        "speed": speed_to_dict(result),
    }
