"""Compare engines and precisions with fp32 on onnxruntime: error of the heads, matching boxes, speed.

for row in verify.measure_rows(model, verify.synthetic_images(), others=[int8_model]):
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
from . import stats

STRICT, LOOSE = 0.99, 0.5  # IoU at which a box is the same one, and at which it is of the same object
WARM = 2
SYNTHETIC_IMAGES = 4


@dataclass
class VerifyRow:
    """One engine, device and precision. `reason` is why it did not run; the other fields are then meaningless.

    `largest` and `mean` are the error of the heads as a share of the head's largest value; `boxes` counts the
    reference's boxes, `strict` and `loose` those that match with their class (a classifier's best class counts as a
    box), `ms` is the median time of inference.
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
    """A prepared image and the reference's outputs for it."""

    batch: Array
    geometry: Geometry
    heads: List[Array]
    result: Result


def measure_rows(
    model: Model,
    images: Sequence[Array],
    *,
    others: Sequence[Model] = (),
    engines: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
) -> Iterator[VerifyRow]:
    """Yield a row per engine, device and precision, the reference first. `images` are (H, W, 3) uint8 BGR.

    `others` are the same network in other precisions (`edgecsp quantize` makes int8). `engines`: None for all.
    Raises `UsageError` when `model` is not fp32 or another has other heads.
    """
    own = precision.detect_precision(model)
    if own != "fp32":
        raise UsageError(
            f"{model.name} is a graph in {own}, and the measure is fp32; type: edgecsp verify FP32.onnx THIS.onnx"
        )
    for other in others:
        if other.heads != model.heads or other.input.hw != model.input.hw:
            raise UsageError(f"{other.name} has other heads or another input size than {model.name}")
    for name in engines or ():
        backends.info(name)
    with pipeline.load(
        model, backends.REFERENCE, device="cpu", threads=threads, precision="fp32", pixels=False
    ) as reference:
        references = [_reference(reference, image) for image in images]
    for engine, device, requested, graph in _list_cases(model, others, engines):
        row = VerifyRow(engine, device, requested, graph.name)
        row.why = backends.unavailable_reason(engine, device) or ""
        if not row.why:
            try:
                with pipeline.load(
                    graph, engine, device=device, threads=threads, precision=requested, pixels=False
                ) as detector:
                    _compare(row, detector, references)
            except (BuildFailed, EngineUnavailable) as error:
                row.why = " ".join(str(error).split())
        yield row


def _list_cases(
    model: Model, others: Sequence[Model], engines: Optional[Sequence[str]]
) -> Iterator[Tuple[str, str, str, Model]]:
    """Yield engine, device, precision and the graph for it; onnxruntime on the CPU in fp32 first."""
    names = engines or list(backends.names(with_dummies=False))
    graphs = [(precision.detect_precision(other), other) for other in others]
    cases: List[Tuple[str, str, str, Model]] = []
    for name in names:
        info = backends.info(name)
        for device in info.devices:
            cases += [(name, device, each, model) for each in ("fp32", "fp16") if each in info.precisions]
            cases += [(name, device, each, graph) for each, graph in graphs if each in info.precisions]
    cases.sort(key=lambda case: (backends.PRECISIONS.index(case[2]), case[0] != backends.REFERENCE))
    yield from cases


def _reference(detector: pipeline.Detector, image: Array) -> _Reference:
    batch, geometry = detector.prepare(image)
    heads = detector.infer(batch)
    return _Reference(batch, geometry, heads, detector.finish(heads, geometry))


def _compare(row: VerifyRow, detector: pipeline.Detector, references: Sequence[_Reference]) -> None:
    for _ in range(WARM):
        detector.infer(references[0].batch)
    seconds, means = [], []
    for reference in references:
        begun = time.perf_counter()
        heads = detector.infer(reference.batch)
        seconds.append(time.perf_counter() - begun)
        for got, expected in zip(heads, reference.heads):
            # Sorted proposals of a two-stage detector may come in another number or order: shapes are the model's.
            off = np.abs(got.astype(np.float64) - expected) / max(1e-12, float(np.abs(expected).max()))
            # NaN counts as an infinite error.
            row.largest = max(row.largest, float(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max()))
            means.append(float(off.mean()))
        again = detector.finish(heads, reference.geometry)
        row.boxes += count_boxes(reference.result)
        row.strict += count_matches(reference.result, again, STRICT)
        row.loose += count_matches(reference.result, again, LOOSE)
    row.mean, row.ms = float(np.mean(means)), stats.median(seconds) * 1e3


def count_boxes(result: Result) -> int:
    """Count a result's boxes; a classifier's best class counts as one."""
    return len(result) if isinstance(result, Detections) else min(1, len(result))


def count_matches(expected: Result, actual: Result, iou: float) -> int:
    """Count the expected boxes that have a match, one to one: same class, and at least that IoU.

    For classifiers: 1 when the best class is the same, else 0.
    """
    if not isinstance(expected, Detections) or not isinstance(actual, Detections):
        return int(len(expected) > 0 and bool((expected.class_ids[:1] == actual.class_ids[:1]).all()))
    shared = nms.overlap(expected.xyxy, actual.xyxy)
    shared[expected.class_ids[:, None] != actual.class_ids[None]] = 0
    again = 0
    for row in shared:  # best scores first, as they come
        if row.size and row.max() >= iou:
            shared[:, int(row.argmax())] = 0
            again += 1
    return again


def synthetic_images(count: int = SYNTHETIC_IMAGES) -> List[Array]:
    """Make images of coloured noise at several scales, (480, 640, 3) uint8; deterministic."""
    import cv2

    images = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        layers: List[Array] = [
            cv2.resize(random.random((side, side + 1, 3), np.float32), (640, 480), interpolation=cv2.INTER_CUBIC)
            for side in (3, 9, 27, 81)
        ]
        images.append(np.clip(64 * sum(layers, np.zeros_like(layers[0])), 0, 255).astype(np.uint8))
    return images
