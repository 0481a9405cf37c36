"""Engines and precisions against fp32 on onnxruntime: how far heads are off, which boxes are found again, how fast.

for row in verify.rows(model, verify.drawn(), others=[int8_model]):
    print(row)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .. import backends, pipeline
from ..errors import BuildFailed, EngineUnavailable, UsageError
from ..graph import precision
from ..processing import nms
from ..types import Array, Detections, Geometry, Model, Result

STRICT, LOOSE = 0.99, 0.5  # IoU at which a box is the same one, and at which it is of the same object
WARM = 2
DRAWN = 4


@dataclass
class VerifyRow:
    """One engine, device and precision. `why` says why it did not run, and then the rest means nothing.

    `largest` and `mean` are the difference of heads as a share of the head's largest value; `boxes` are the
    reference's, `strict` and `loose` how many of them are found again with their class (a classifier's best class
    counts as a box), `ms` the median milliseconds of inference.
    """

    engine: str
    device: str
    precision: str
    model: str
    why: str = ""
    largest: float = 0.0
    mean: float = 0.0
    boxes: int = 0
    strict: int = 0
    loose: int = 0
    ms: float = 0.0


@dataclass
class _Reference:
    """A picture prepared, and what the reference made of it."""

    batch: Array
    geometry: Geometry
    heads: List[Array]
    result: Result


def rows(
    model: Model,
    pictures: Sequence[Array],
    *,
    others: Sequence[Model] = (),
    engines: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
) -> Iterator[VerifyRow]:
    """A row an engine, device and precision, the reference first. `pictures` are (H, W, 3) uint8 BGR.

    `others` are the same network in other precisions (`edgecsp quantize` makes int8). `engines`: None for every one.
    Raises `UsageError` when `model` is not fp32 or another has other heads.
    """
    given = precision.detect_precision(model)
    if given != "fp32":
        raise UsageError(
            f"{model.name} is a graph in {given}, and the measure is fp32; type: edgecsp verify FP32.onnx THIS.onnx"
        )
    for other in others:
        if other.heads != model.heads or other.input.hw != model.input.hw:
            raise UsageError(f"{other.name} has other heads or another input size than {model.name}")
    for name in engines or ():
        backends.module(name)
    with pipeline.load(model, "ort", device="cpu", threads=threads, precision="fp32", pixels=False) as reference:
        seen = [_reference(reference, picture) for picture in pictures]
    for engine, device, wanted, graph in _ways(model, others, engines):
        row = VerifyRow(engine, device, wanted, graph.name)
        row.why = backends.why_not(engine, device) or ""
        if not row.why:
            try:
                with pipeline.load(
                    graph, engine, device=device, threads=threads, precision=wanted, pixels=False
                ) as detector:
                    _compare(row, detector, seen)
            except (BuildFailed, EngineUnavailable) as error:
                row.why = " ".join(str(error).split())
        yield row


def _ways(
    model: Model, others: Sequence[Model], engines: Optional[Sequence[str]]
) -> Iterator[Tuple[str, str, str, Model]]:
    """Engine, device, precision and the graph for it; onnxruntime on the CPU in fp32 first."""
    names = engines or [name for name in backends.names() if backends.is_real(name)]
    graphs = [(precision.detect_precision(other), other) for other in others]
    found = []
    for name in names:
        module = backends.module(name)
        for device in module.DEVICES:
            found += [(name, device, each, model) for each in ("fp32", "fp16") if each in module.PRECISIONS]
            found += [(name, device, each, graph) for each, graph in graphs if each in module.PRECISIONS]
    found.sort(key=lambda way: (backends.PRECISIONS.index(way[2]), way[0] != "ort"))
    yield from found


def _reference(detector: pipeline.Detector, picture: Array) -> _Reference:
    batch, geometry = detector.prepare(picture)
    heads = detector.infer(batch)
    return _Reference(batch, geometry, heads, detector.finish(heads, geometry))


def _compare(row: VerifyRow, detector: pipeline.Detector, seen: Sequence[_Reference]) -> None:
    for _ in range(WARM):
        detector.infer(seen[0].batch)
    seconds, means = [], []
    for one in seen:
        begun = time.perf_counter()
        heads = detector.infer(one.batch)
        seconds.append(time.perf_counter() - begun)
        for got, wanted in zip(heads, one.heads):
            # Sorted proposals of a two-stage detector may come in another number or order: shapes are the model's.
            off = np.abs(got.astype(np.float64) - wanted) / max(1e-12, float(np.abs(wanted).max()))
            # What is no number is as far off as can be.
            row.largest = max(row.largest, float(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max()))
            means.append(float(off.mean()))
        again = detector.finish(heads, one.geometry)
        row.boxes += count(one.result)
        row.strict += matched(one.result, again, STRICT)
        row.loose += matched(one.result, again, LOOSE)
    row.mean, row.ms = float(np.mean(means)), float(np.median(seconds)) * 1e3


def count(result: Result) -> int:
    """How many boxes a result has; a classifier's best class counts as one."""
    return len(result) if isinstance(result, Detections) else min(1, len(result))


def matched(wanted: Result, got: Result, iou: float) -> int:
    """How many of the wanted boxes are there again, each found box answering for one: same class, and that IoU.

    Of classifiers: 1 when the best class is the same, else 0.
    """
    if not isinstance(wanted, Detections) or not isinstance(got, Detections):
        return int(len(wanted) > 0 and bool((wanted.class_ids[:1] == got.class_ids[:1]).all()))
    shared = nms.overlap(wanted.xyxy, got.xyxy)
    shared[wanted.class_ids[:, None] != got.class_ids[None]] = 0
    again = 0
    for row in shared:  # best scores first, as they come
        if row.size and row.max() >= iou:
            shared[:, int(row.argmax())] = 0
            again += 1
    return again


def drawn(pictures: int = DRAWN) -> List[Array]:
    """Coloured clouds of every size, (480, 640, 3) uint8: nobody's photograph, the same ones every time."""
    import cv2

    made = []
    for seed in range(pictures):
        random = np.random.default_rng(seed)
        layers: List[Array] = [
            cv2.resize(random.random((side, side + 1, 3), np.float32), (640, 480), interpolation=cv2.INTER_CUBIC)
            for side in (3, 9, 27, 81)
        ]
        made.append(np.clip(64 * sum(layers, np.zeros_like(layers[0])), 0, 255).astype(np.uint8))
    return made
