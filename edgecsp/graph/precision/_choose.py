"""Choose the best calibration method for a model, by its agreement with fp32 on held-out images."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Iterable, List, Sequence, Tuple

import numpy as np

from ...errors import BadModel
from ...options import Thresholds
from ...processing import decode, nms
from ...system import cpu
from ...types import Array, Model
from . import calibration
from .calibration import METHODS, Ranges, open_meter
from .int8 import check_quantizable, with_ranges
from .passes import quantize_biases, to_uint8_activations, to_zero_points

LOG = logging.getLogger(__name__)
EVERY = 8  # of so many images one is held out
MOST = 16  # held out: every method's int8 graph and fp32 run on each, and all are in memory
# onnxruntime's agreement on so few images does not tell methods that are this close, and of those mse loses least on
# OpenVINO: of yolo-fastest-1.1-xl percentile agrees by 0.03 more, and loses 0.034 of AP50 there, mse 0.012.
PREFERRED, MARGIN = "mse", 0.05
MATCH_IOU = 0.5  # IoU from which a box is the same object's


_Reference = List[Tuple[Array, decode.Candidates, List[Array]]]  # an image, and fp32's boxes and heads of it


def choose_ranges(
    model: Model, batches: Iterable[Array], *, keep_heads: bool = True, threads: int = 0, equalized: bool = True
) -> Ranges:
    """Measure ranges by the method whose int8 graph agrees best with fp32 on held-out images; `tried` has the scores.

    Of methods that differ by less than `MARGIN` it is `PREFERRED`. Agreement is 2 x the sum of the IoU of matching
    boxes (same class, IoU 0.5 or more) / the boxes of both; where fp32 has none, and for a classifier, 1 - the mean
    distance of heads as a share of their largest value. The ranges returned are of all images. `equalized`, and what
    is raised: as `measure_ranges` has it.
    """
    check_quantizable(model)
    meter, batches = open_meter(model, batches, threads, equalized=equalized)
    held_out: List[Array] = []
    for i, batch in enumerate(batches):
        meter.count(batch)
        if i % EVERY == EVERY - 1 and len(held_out) < MOST:
            held_out.append(np.array(batch))
        else:
            meter.add(batch)
    meter.check(calibration.MIN_IMAGES)
    references: _Reference = []
    for batch in held_out:
        heads = meter.heads(batch)
        references.append((batch, _boxes(model, heads), heads))
    tried = {}
    for method in METHODS:
        LOG.debug("trying %s on %d images", method, len(held_out))
        tried[method] = _agreement(
            model, with_ranges(model, meter.ranges(method), keep_heads=keep_heads), references, threads
        )
    for batch in held_out:
        meter.add(batch)
    chosen = max(METHODS, key=lambda method: tried[method] + MARGIN * (method == PREFERRED))
    return replace(meter.ranges(chosen), tried=tried)


def _agreement(model: Model, small: Model, references: _Reference, threads: int) -> float:
    session = open_int8(small, threads)
    source, names = session.get_inputs()[0].name, [head.name for head in model.heads]
    shared = boxes = 0.0
    off: List[float] = []
    for batch, expected, heads in references:
        got = session.run(names, {source: batch})
        again = _boxes(model, got)
        shared += sum(nms.match(expected.xyxy, expected.class_ids, again.xyxy, again.class_ids, MATCH_IOU))
        boxes += len(expected.scores) + len(again.scores)
        off += [float(np.abs(a - b).mean() / max(1e-12, float(np.abs(b).max()))) for a, b in zip(got, heads)]
    box_count = sum(len(expected.scores) for _, expected, _ in references)
    return 2 * shared / boxes if box_count else 1 - float(np.mean(off))


def open_int8(model: Model, threads: int) -> Any:
    """An onnxruntime session of an int8 model, in the form that its engine takes. Raises `BadModel`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # As the engine does it.
    model = quantize_biases(to_uint8_activations(model)) if cpu.is_x86() else to_zero_points(model)
    try:
        return ort.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BadModel(f"onnxruntime {ort.__version__} cannot run {model.name} in int8: {error}") from error


def _boxes(model: Model, heads: Sequence[Array]) -> decode.Candidates:
    """What a detector keeps of its heads, best first; nothing of a classifier's."""
    boxes: decode.Candidates = model.heads[0].detect(model, heads, Thresholds())
    return boxes
