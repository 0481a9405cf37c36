"""Accept or reject faster precisions: AP on labelled images against the graph's own precision on the same engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import CalibrationError, EdgecspError
from ..graph import precision
from ..media import sources
from ..processing import preprocess
from ..system.progress import NoProgress, Progress
from ..types import Array, Model
from . import accuracy
from .cases import Case
from .process import open_isolated

SCORED = 128  # images at most: enough to notice a bad int8 graph, few enough to wait for
EngineDevice = Tuple[str, str]  # an engine and one of its devices


class _Checked(NoProgress):
    """Shows nothing, but asks after each image whether to stop: `check` raises what ends the work."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def advance(self, amount: float = 1) -> None:
        """Ask."""
        self._check()


@dataclass(frozen=True)
class Verdict:
    """A precision on an engine: its AP in 0..1, `own` (the graph's own precision there), or why it is refused."""

    engine: str
    device: str
    precision: str
    own: Optional[float] = None
    ap: Optional[float] = None
    refused: Optional[str] = None


def split(data: accuracy.Data) -> Tuple[accuracy.Data, Tuple[accuracy.LabelledImage, ...]]:
    """Split into images to score and images to calibrate int8 on; with too few images, all are used for both."""
    every = data.images
    picked = {int(place) for place in np.linspace(0, len(every) - 1, min(SCORED, len(every)))}
    scored = tuple(each for place, each in enumerate(every) if place in picked)
    others = tuple(each for place, each in enumerate(every) if place not in picked)
    return replace(data, images=scored), others if len(others) >= precision.MIN_IMAGES else every


def measure_ranges(
    model: Model, images: Sequence[accuracy.LabelledImage], threads: int, tick: Callable[[], None]
) -> precision.Ranges:
    """Measure int8's ranges on images, and on their mirror images where there are few. Raises `CalibrationError`."""
    count = min(len(images), SCORED)
    chosen = [images[int(place)].path for place in np.linspace(0, len(images) - 1, count)]
    if 2 * count < precision.MIN_IMAGES:
        raise CalibrationError(
            f"{count} images are too few to measure int8's ranges on ({precision.MIN_IMAGES // 2} at least, with their "
            "mirror images); ranges or other images: --calib"
        )

    def batches() -> Iterator[Array]:
        with sources.ImageFiles(chosen, forgive=True) as source:
            for frame in source:
                tick()
                yield preprocess.prepare(frame.image, model.input)[0]
                if count < precision.MIN_IMAGES:
                    yield preprocess.prepare(np.ascontiguousarray(frame.image[:, ::-1]), model.input)[0]

    return precision.choose_ranges(model, batches(), threads=threads)


def judge_precisions(
    model: Model,
    int8: Optional[Model],
    requested: Dict[EngineDevice, List[str]],
    data: accuracy.Data,
    max_drop: float,
    progress: Progress,
    tick: Callable[[], None],
) -> List[Verdict]:
    """Judge each engine's other precisions. Raises what `accuracy.predict` raises for the data."""
    own = precision.detect_precision(model)
    verdicts = []
    for (engine, device), names in requested.items():
        reference: Any = None
        for name in names:
            verdict = Verdict(engine, device, name)
            graph = int8 if name == "int8" else model
            try:
                if graph is None:
                    raise CalibrationError("there is no int8 graph of this model")
                if reference is None:
                    reference = _ap(model, verdict, own, data, progress, tick)
                ap = _ap(graph, verdict, name, data, progress, tick)
            except EdgecspError as error:
                verdicts.append(replace(verdict, refused=" ".join(str(error).split())))
                continue
            verdicts.append(apply_limit(replace(verdict, own=reference, ap=ap), max_drop))
    return verdicts


def apply_limit(verdict: Verdict, max_drop: float) -> Verdict:
    """Return the verdict, with a refusal if AP falls by more than `max_drop`."""
    if verdict.own is None or verdict.ap is None:
        return replace(verdict, refused="the data has no object to find")
    drop = verdict.own - verdict.ap
    if drop <= max_drop:
        return verdict
    why = f"AP falls by {drop:.4f}, from {verdict.own:.4f} to {verdict.ap:.4f}: more than --max-ap-drop {max_drop:g}"
    return replace(verdict, refused=why)


def _ap(
    model: Model, verdict: Verdict, name: str, data: accuracy.Data, progress: Progress, tick: Callable[[], None]
) -> Optional[float]:
    what = f"boxes of {verdict.engine} on {verdict.device} in {name}, {len(data.images)} images"
    progress.update(description=what)
    case = Case(model, verdict.engine, verdict.device, name)
    with open_isolated(case, tick) as detector:
        return accuracy.score(accuracy.predict(detector, data, progress=_Checked(tick))).averages["AP"]


def read_data(data: Path, model: Model) -> accuracy.Data:
    """Read the labelled images and check them before anything is timed. Raises `UsageError`, `SourceError`."""
    from .accuracy.predictions import map_classes

    accuracy.require()
    labelled = accuracy.read(data, labels=model.labels)
    map_classes(model, labelled)
    return labelled
