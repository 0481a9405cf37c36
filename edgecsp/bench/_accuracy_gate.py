"""Whether a faster precision is good enough: AP on labelled pictures against the graph's own, on the same engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .. import pipeline
from ..errors import CalibrationError, EdgecspError
from ..graph import precision
from ..media import sources
from ..processing import preprocess
from ..system.progress import NoProgress, Progress
from ..types import Array, Model
from . import accuracy

SCORED = 128  # pictures, at most: enough to see int8 gone wrong, few enough to wait for
Place = Tuple[str, str]  # an engine and one of its devices


class _Checked(NoProgress):
    """Shows nothing, but asks after each picture whether to stop: `check` raises what ends the work."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def advance(self, amount: float = 1) -> None:
        """Ask."""
        self._check()


@dataclass(frozen=True)
class Verdict:
    """A precision on an engine: its AP in 0..1 beside `own`, that of the graph as it is there, or why it is refused."""

    engine: str
    device: str
    precision: str
    own: Optional[float] = None
    ap: Optional[float] = None
    refused: Optional[str] = None


def split(data: accuracy.Data) -> Tuple[accuracy.Data, Tuple[accuracy.Picture, ...]]:
    """Pictures to score, and others to measure int8's ranges on: all of them where there are too few to part."""
    every = data.pictures
    picked = {int(place) for place in np.linspace(0, len(every) - 1, min(SCORED, len(every)))}
    scored = tuple(each for place, each in enumerate(every) if place in picked)
    others = tuple(each for place, each in enumerate(every) if place not in picked)
    return replace(data, pictures=scored), others if len(others) >= precision.LEAST else every


def ranges(
    model: Model, pictures: Sequence[accuracy.Picture], threads: int, tick: Callable[[], None]
) -> precision.Ranges:
    """int8's ranges on some pictures, and on their mirror images where they are few. Raises `CalibrationError`."""
    count = min(len(pictures), SCORED)
    chosen = [pictures[int(place)].path for place in np.linspace(0, len(pictures) - 1, count)]
    if 2 * count < precision.LEAST:
        raise CalibrationError(
            f"{count} pictures are too few to measure int8's ranges on ({precision.LEAST // 2} at least, with their "
            "mirror images); ranges or other pictures: --calib"
        )

    def batches() -> Iterator[Array]:
        with sources.ImageFiles(chosen, forgive=True) as source:
            for frame in source:
                tick()
                yield preprocess.prepare(frame.image, model.input)[0]
                if count < precision.LEAST:
                    yield preprocess.prepare(np.ascontiguousarray(frame.image[:, ::-1]), model.input)[0]

    return precision.best(model, batches(), threads=threads)


def verdicts(
    model: Model,
    int8: Optional[Model],
    wanted: Dict[Place, List[str]],
    data: accuracy.Data,
    most_drop: float,
    progress: Progress,
    tick: Callable[[], None],
) -> List[Verdict]:
    """What becomes of each engine's other precisions. Raises what `accuracy.find` raises of the data."""
    own = precision.detect_precision(model)
    found = []
    for (engine, device), names in wanted.items():
        reference: Any = None
        for name in names:
            verdict = Verdict(engine, device, name)
            graph = int8 if name == "int8" else model
            try:
                if graph is None:
                    raise CalibrationError("there is no int8 graph of it")
                if reference is None:
                    reference = _ap(model, verdict, own, data, progress, tick)
                ap = _ap(graph, verdict, name, data, progress, tick)
            except EdgecspError as error:
                found.append(replace(verdict, refused=" ".join(str(error).split())))
                continue
            found.append(judged(replace(verdict, own=reference, ap=ap), most_drop))
    return found


def judged(verdict: Verdict, most_drop: float) -> Verdict:
    """The same, refused if it costs more of AP than `most_drop`."""
    if verdict.own is None or verdict.ap is None:
        return replace(verdict, refused="the data has no object to find")
    drop = verdict.own - verdict.ap
    if drop <= most_drop:
        return verdict
    why = f"AP falls by {drop:.4f}, from {verdict.own:.4f} to {verdict.ap:.4f}: more than --max-ap-drop {most_drop:g}"
    return replace(verdict, refused=why)


def _ap(
    model: Model, verdict: Verdict, name: str, data: accuracy.Data, progress: Progress, tick: Callable[[], None]
) -> Optional[float]:
    what = f"boxes of {verdict.engine} on {verdict.device} in {name}, {len(data.pictures)} pictures"
    progress.update(description=what)
    with pipeline.load(model, verdict.engine, device=verdict.device, precision=name) as detector:
        return accuracy.score(accuracy.find(detector, data, progress=_Checked(tick))).averages["AP"]


def read(data: Path, model: Model) -> accuracy.Data:
    """The labelled pictures, checked before anything is timed. Raises `UsageError`, `SourceError`."""
    from .accuracy.found import classes

    accuracy.require()
    held = accuracy.read(data, labels=model.labels)
    classes(model, held)
    return held
