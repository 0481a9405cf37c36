"""AP50 beside the speed: each row's engine and precision scored on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from .. import pipeline
from ..errors import EdgecspError, UsageError
from ..system.progress import Progress
from . import accuracy
from ._rounds import CaseSamples
from .cases import BenchmarkModel
from .settings import BenchSettings


def can_score(subject: BenchmarkModel) -> bool:
    """Whether a model is a detector with trained weights."""
    return subject.weights != "random" and subject.model.has_boxes


def read_data(subjects: Sequence[BenchmarkModel], data: Path) -> Dict[str, Any]:
    """Read the data with each model's labels, by the model's name, before anything is timed.

    Raises what `accuracy.read` raises, and `UsageError` when no model can be scored.
    """
    accuracy.require()
    data_by_model = {each.name: accuracy.read(data, labels=each.model.labels) for each in subjects if can_score(each)}
    if not data_by_model:
        raise UsageError(f"--data {data}: none of the models has trained weights; to see which do: edgecsp models list")
    return data_by_model


def measure(
    rows: Sequence[CaseSamples],
    data: Dict[str, Any],
    settings: BenchSettings,
    progress: Progress,
    tick: Callable[[], None],
) -> None:
    """Set `ap50` of each row, in percent. An int8 graph made for timing alone has none."""
    for number, row in enumerate(rows):
        case = row.case
        if not row.ms or case.subject.name not in data or case.synthetic_ranges:
            continue
        tick()
        progress.update(description=f"AP50 of {case}", completed=number, total=len(rows))
        try:
            with pipeline.load(
                case.subject.model,
                case.engine,
                device=settings.engine_device,
                threads=settings.threads,
                precision=case.precision,
            ) as detector:
                ap50 = accuracy.ap50(detector, data[case.subject.name])
        except EdgecspError as error:
            row.failure = f"its AP50 was not measured: {' '.join(str(error).split())}"
            continue
        row.ap50 = None if ap50 is None else 100 * ap50
