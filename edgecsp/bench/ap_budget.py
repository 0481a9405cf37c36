"""int8 under a budget of AP: keep in float the fewest layers with which AP falls by no more than that."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .. import backends, pipeline
from ..backends import REFERENCE
from ..errors import UsageError
from ..graph import precision
from ..media import sources
from ..processing import preprocess
from ..system.progress import NO_PROGRESS, Progress
from ..types import Array, Model
from . import _accuracy_gate, accuracy, stats
from .cases import Case

SENSITIVITY_IMAGES = 4  # each layer is measured on
MOST = 0.5  # of the layers: with more in float, a graph in fp16 or bf16 is the better one
RUNS = 15  # of a point, for its speed


@dataclass(frozen=True)
class Point:
    """int8 with so many layers in float: by engine COCO's AP and AP50, and milliseconds per inference.

    `drop` is the largest fall of either on any engine from fp32's.
    """

    float_layers: Tuple[str, ...]
    ap: Dict[str, float]
    ap50: Dict[str, float]
    ms: Dict[str, float]
    drop: float

    def to_dict(self) -> Dict[str, Any]:
        """Convert to plain values."""
        return {"layers_in_float": len(self.float_layers), **asdict(self)}


@dataclass
class Search:
    """A finished search: `fp32`, the points by their number of layers in float, and `best`, the one to take.

    `best` is None where no point keeps within the budget. `layers` are those that int8 is computed in.
    """

    layers: List[precision.QuantizedLayer]
    fp32: Point
    points: List[Point]
    budget: float
    data: str

    @property
    def best(self) -> Optional[Point]:
        """The point of the fewest layers in float that keeps within the budget; None when there is none."""
        return next((point for point in self.points if point.drop <= self.budget), None)


def label_images(model: Model, paths: Sequence[str], threads: int, progress: Progress = NO_PROGRESS) -> accuracy.Data:
    """Label images with the fp32 model's own boxes, from its own threshold on. Raises `UsageError`."""
    empty = accuracy.Boxes.from_rows([])
    chosen = np.linspace(0, len(paths) - 1, min(_accuracy_gate.SCORED, len(paths))).astype(int)
    paths = [paths[place] for place in chosen]
    images = tuple(accuracy.LabelledImage(path, i, empty) for i, path in enumerate(dict.fromkeys(paths), 1))
    names = tuple(model.labels)
    data = accuracy.Data("the fp32 model's boxes", "own", names, tuple(range(1, len(names) + 1)), images)
    with pipeline.load(model, REFERENCE, device="cpu", threads=threads) as detector:
        predictions = accuracy.predict(detector, data, conf=model.conf, progress=progress)
    labelled = []
    for image, detections in zip(predictions.images, predictions.detections):
        sizes = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
        rows = np.column_stack([detections.class_ids, detections.xyxy[:, :2], sizes]).tolist()
        labelled.append(replace(image, boxes=accuracy.Boxes.from_rows(rows)))
    if not any(len(image.boxes) for image in labelled):
        raise UsageError(
            f"{model.name} finds nothing on the {len(images)} images of --calib, so that they are no measure of AP; "
            "give labelled images: --data"
        )
    return replace(data, images=tuple(labelled))


def read_data(path: Path, model: Model) -> accuracy.Data:
    """Read labelled images, at most as many as `tune` scores on. Raises `UsageError`, `SourceError`."""
    return _accuracy_gate.split(_accuracy_gate.read_data(path, model))[0]


def check_budget(budget: float) -> None:
    """Raise `UsageError` for a budget that is none."""
    if not 0 <= budget <= 1:
        raise UsageError(f"--max-ap-drop {budget:g}: AP is in 0..1, so 0.01 is one point of a hundred")


def find_engines() -> List[str]:
    """The engines that compute int8 on this CPU."""
    known = {name: backends.info(name) for name in backends.names(with_dummies=False)}
    fit = [name for name, info in known.items() if "cpu" in info.devices and "int8" in info.precisions]
    return [name for name in fit if backends.unavailable_reason(name, "cpu") is None]


def search(
    model: Model,
    ranges: precision.Ranges,
    data: accuracy.Data,
    budget: float,
    *,
    keep_heads: bool = True,
    threads: int = 0,
    progress: Progress = NO_PROGRESS,
) -> Search:
    """Find the fewest layers in float, of the most useful ones, with which AP and AP50 fall by no more than `budget`.

    Numbers of layers are doubled until it holds, then halved. Each is measured on every engine of `find_engines`,
    and the worst counts. Raises `UsageError` for a budget that is none, and what `accuracy.predict` raises.
    """
    check_budget(budget)
    fp32 = _measure(model, (), [REFERENCE], "fp32", data, threads, progress)
    if not fp32.ap50[REFERENCE]:
        raise UsageError(f"AP of {model.name} in fp32 is 0 on {data.name}, so that there is nothing to lose")
    engines = find_engines()
    layers: List[precision.QuantizedLayer] = []
    known: Dict[int, Point] = {}

    def measure(count: int) -> bool:
        if count and not layers:
            layers.extend(_sort_layers(model, ranges, data, keep_heads, threads, progress))
        chosen = tuple(layer.name for layer in layers[:count])
        small = precision.with_float_layers(model, ranges, chosen, keep_heads=keep_heads)
        point = _measure(small, chosen, engines, "int8", data, threads, progress)
        falls = [fp32.ap[REFERENCE] - each for each in point.ap.values()]
        falls += [fp32.ap50[REFERENCE] - each for each in point.ap50.values()]
        known[count] = replace(point, drop=max(falls))
        return known[count].drop <= budget

    total = len(precision.list_layers(model, keep_heads=keep_heads))
    _bisect(measure, int(total * MOST))
    return Search(
        layers or precision.list_layers(model, keep_heads=keep_heads), fp32, [known[count] for count in sorted(known)],
        budget, f"{data.name}, {len(data.images)} images",
    )  # fmt: skip


def _bisect(holds: Callable[[int], bool], most: int) -> None:
    """Ask for 0, 1, 2, 4 ... until it holds, then between the last two."""
    counts = [0, *itertools.takewhile(lambda count: count < most, (1 << i for i in range(16))), most]
    low = -1
    for count in dict.fromkeys(counts):
        if holds(count):
            high = count
            break
        low = count
    else:
        return
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle


def _sort_layers(
    model: Model, ranges: precision.Ranges, data: accuracy.Data, keep_heads: bool, threads: int, progress: Progress
) -> List[precision.QuantizedLayer]:
    count = len(precision.list_layers(model, keep_heads=keep_heads))
    places = np.linspace(0, len(data.images) - 1, min(SENSITIVITY_IMAGES, len(data.images))).astype(int)
    with sources.ImageFiles([data.images[place].path for place in places], forgive=True) as source:
        batches: List[Array] = [preprocess.prepare(frame.image, model.input)[0] for frame in source]
    progress.update(description="layer by layer", total=count, completed=0)
    return precision.measure_gains(
        model, ranges, batches, keep_heads=keep_heads, threads=threads, tick=progress.advance
    )


def _measure(
    model: Model, float_layers: Tuple[str, ...], engines: Sequence[str], kind: str, data: accuracy.Data, threads: int,
    progress: Progress,
) -> Point:  # fmt: skip
    """AP and speed of a model on each engine."""
    ap, ap50, ms = {}, {}, {}
    for engine in engines:
        what = f"AP of {kind} on {engine}" + (f", {len(float_layers)} layers in float" if float_layers else "")
        progress.update(description=what, total=len(data.images), completed=0)
        with Case(model, engine, "cpu", kind, threads).open() as detector:
            averages = accuracy.score(accuracy.predict(detector, data, progress=progress)).averages
            ms[engine] = _time(detector.session, model)
        ap[engine], ap50[engine] = averages["AP"] or 0.0, averages["AP50"] or 0.0
    return Point(float_layers, ap, ap50, ms, 0.0)


def _time(session: backends.Session, model: Model) -> float:
    """Median milliseconds of one inference."""
    batch = np.full((1, model.input.channels, *model.input.hw), 0.5, np.float32)
    samples = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session.run(batch)
        samples.append(1e3 * (time.perf_counter() - start))
    return stats.median(samples)
