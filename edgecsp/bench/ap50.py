"""AP50 beside the speed: the boxes of each row's engine and precision on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from .. import pipeline
from ..errors import EdgecspError, UsageError
from ..system.progress import Progress
from . import accuracy
from ._rounds import Measured
from .settings import BenchSettings
from .ways import BenchmarkModel


def able(subject: BenchmarkModel) -> bool:
    """Whether a model's boxes mean anything."""
    return subject.weights != "random" and subject.model.task == "detect"


def check(subjects: Sequence[BenchmarkModel], data: Path) -> Dict[str, Any]:
    """The data as each model's labels read it, by the model's name, before anything is timed.

    Raises what `accuracy.read` raises, and `UsageError` when no model has anything to be measured by.
    """
    accuracy.require()
    found = {each.name: accuracy.read(data, labels=each.model.labels) for each in subjects if able(each)}
    if not found:
        raise UsageError(
            f"--data {data}: none of the models has learned anything; to see which have: edgecsp models list"
        )
    return found


def measure(
    rows: Sequence[Measured],
    data: Dict[str, Any],
    settings: BenchSettings,
    progress: Progress,
    tick: Callable[[], None],
) -> None:
    """Fill in `ap50`, in percent. An int8 graph made for timing alone has none."""
    for number, row in enumerate(rows):
        way = row.way
        if not row.ms or way.subject.name not in data or way.drawn_ranges:
            continue
        tick()
        progress.update(description=f"AP50 of {way}", completed=number, total=len(rows))
        try:
            with pipeline.load(
                way.subject.model, way.engine, device=settings.on, threads=settings.threads, precision=way.precision
            ) as detector:
                found = accuracy.ap50(detector, data[way.subject.name])
        except EdgecspError as error:
            row.died = f"its AP50 was not measured: {' '.join(str(error).split())}"
            continue
        row.ap50 = None if found is None else 100 * found
