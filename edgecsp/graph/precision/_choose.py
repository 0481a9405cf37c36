"""Which way of setting ranges is best for a model: all are tried on pictures that they were not measured on."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Iterable, List, Sequence, Tuple

import numpy as np

from ...errors import BadModel
from ...processing import decode, nms
from ...system import cpu
from ...types import Array, Model
from . import calibration
from .calibration import METHODS, RangeMeter, Ranges
from .int8 import quantizable, with_ranges
from .passes import quantize_biases, to_uint8_activations

LOG = logging.getLogger(__name__)
EVERY = 8  # of so many pictures one is held out
MOST = 16  # held out: three int8 graphs and fp32 run on each, and all are in memory
FOUND = 0.5  # IoU from which a box is the same object's
MAX_DET = 300

_Reference = List[Tuple[Array, decode.Candidates, List[Array]]]  # a picture, and fp32's boxes and heads of it


def best(model: Model, batches: Iterable[Array], *, keep_heads: bool = True, threads: int = 0) -> Ranges:
    """`measured` by the method whose int8 graph agrees best with fp32 on pictures held out; `tried` says how well.

    Agreement is 2 x the sum of the IoU of boxes found again (same class, IoU 0.5 or more) / the boxes of both; where
    fp32 has none, and for a classifier, 1 - the mean distance of heads as a share of their largest value. The ranges
    returned are of all pictures. Raises as `measured` does.
    """
    quantizable(model)
    meter = RangeMeter(model, threads)
    held: List[Array] = []
    for i, batch in enumerate(batches):
        meter.note(batch)
        if i % EVERY == EVERY - 1 and len(held) < MOST:
            held.append(np.array(batch))
        else:
            meter.add(batch)
    meter.check(calibration.LEAST)
    seen: _Reference = []
    for batch in held:
        heads = meter.heads(batch)
        seen.append((batch, _boxes(model, heads), heads))
    tried = {}
    for method in METHODS:
        LOG.debug("trying %s on %d pictures", method, len(held))
        tried[method] = _agreement(
            model, with_ranges(model, meter.ranges(method), keep_heads=keep_heads), seen, threads
        )
    for batch in held:
        meter.add(batch)
    chosen = max(METHODS, key=lambda method: tried[method])
    return replace(meter.ranges(chosen), tried=tried)


def _agreement(model: Model, small: Model, seen: _Reference, threads: int) -> float:
    session = _session(small, threads)
    source, names = session.get_inputs()[0].name, [head.name for head in model.heads]
    shared = boxes = 0.0
    off: List[float] = []
    for batch, wanted, heads in seen:
        got = session.run(names, {source: batch})
        again = _boxes(model, got)
        shared += _shared_iou(wanted, again)
        boxes += len(wanted.scores) + len(again.scores)
        off += [float(np.abs(a - b).mean() / max(1e-12, float(np.abs(b).max()))) for a, b in zip(got, heads)]
    found = sum(len(wanted.scores) for _, wanted, _ in seen)
    return 2 * shared / boxes if found else 1 - float(np.mean(off))


def _session(model: Model, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if cpu.is_x86():  # as the engine does it
        model = quantize_biases(to_uint8_activations(model))
    try:
        return ort.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BadModel(f"onnxruntime {ort.__version__} cannot run {model.name} in int8: {error}") from error


def _boxes(model: Model, heads: Sequence[Array]) -> decode.Candidates:
    """What a detector keeps of its heads, best first; nothing of a classifier's."""
    if model.task != "detect":
        return decode.NOTHING
    found = decode.boxes(model.heads, heads, model.input.hw, model.conf)
    if model.nms_free:
        rows = nms.best(found, MAX_DET)
    else:
        rows = nms.keep(found, model.iou, max_det=MAX_DET, beta=model.nms_beta, input_hw=model.input.hw)
    return decode.Candidates(*(column[rows] for column in found))


def _shared_iou(wanted: decode.Candidates, got: decode.Candidates) -> float:
    """The sum of the IoU of boxes that are found again, each answering for one."""
    shared = nms.overlap(wanted.xyxy, got.xyxy)
    shared[wanted.class_ids[:, None] != got.class_ids[None]] = 0
    total = 0.0
    for row in shared:  # best scores first, as they come
        if row.size and row.max() >= FOUND:
            total += float(row.max())
            shared[:, int(row.argmax())] = 0
    return total
