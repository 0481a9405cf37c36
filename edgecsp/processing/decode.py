"""Decode raw heads to boxes, in the same numpy code for every engine: what kinds of box heads share."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Optional, Sequence, Set, Tuple

import numpy as np

from ..errors import BadModel, UnknownName
from ..options import Thresholds
from ..types import Array, Detections, Geometry, Head, Model
from . import nms
from .nms import EMPTY, Candidates

__all__ = [
    "EMPTY", "BoxHead", "Candidates", "boxes", "check_layout", "corners", "drop_invalid",
    "in_pixels", "logit", "read_rows", "select", "sigmoid",
]  # fmt: skip

LOG = logging.getLogger(__name__)
_warned: Set[str] = set()  # models whose heads were no numbers


@dataclass(frozen=True)
class BoxHead(Head):
    """A head of boxes. A kind of it has `decode`, or `decode_alike` for several heads at once."""

    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Decode all candidates of one image with a score > `conf`. Raises `BadModel` for another shape."""
        raise NotImplementedError

    @property
    def group(self) -> Any:
        """The key of heads that are decoded together: neighbours of an equal key."""
        return id(self)

    @classmethod
    def decode_alike(
        cls, heads: Sequence[Any], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float
    ) -> Candidates:
        """Decode heads of one group."""
        (head,), (out,) = heads, outputs
        decoded: Candidates = head.decode(out, input_hw, conf)
        return decoded

    def candidates(self, model: Model, outputs: Sequence[Array], conf: float) -> Candidates:
        """Decode all candidates of one image with a score > `conf`, of all heads of the model."""
        return boxes(model.heads, outputs, model.input.hw, conf)

    def suppress(self, model: Model, candidates: Candidates, conf: float, options: Thresholds) -> Tuple[Array, Array]:
        """Row numbers of the boxes that stay, best first, and their scores."""
        if model.nms_free:
            stay = nms.best(candidates, options.max_det)
        else:
            stay = nms.keep(
                candidates,
                model.iou if options.iou is None else options.iou,
                max_det=options.max_det,
                agnostic=options.agnostic,
                beta=0.0 if options.plain_nms else model.nms_beta,
                input_hw=model.input.hw,
            )
        return stay, candidates.scores[stay]

    def detect(self, model: Model, outputs: Sequence[Array], options: Thresholds) -> Candidates:
        """Decode and select the boxes of one image, in network pixels, best first."""
        conf = model.conf if options.conf is None else options.conf
        candidates = self.candidates(model, outputs, conf)
        if not len(candidates.scores):
            _warn_of_no_numbers(model, outputs)
        if options.classes is not None:
            selected = np.isin(candidates.class_ids, np.array(options.classes, np.int32))
            candidates = Candidates(*(column[selected] for column in candidates))
        stay, scores = self.suppress(model, candidates, conf, options)
        return Candidates(candidates.xyxy[stay], scores, candidates.class_ids[stay])

    def finish(self, model: Model, outputs: Sequence[Array], geometry: Geometry, options: Thresholds) -> Detections:
        """Decode and select the boxes of one image, in image pixels, best first."""
        selected = self.detect(model, outputs, options)
        return Detections(geometry.to_image(selected.xyxy), selected.scores, selected.class_ids, model.labels)


def boxes(heads: Sequence[Head], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float) -> Candidates:
    """Decode all candidates of one image with score > `conf`.

    `outputs` are the heads' arrays of one image, each of the shape its head says, in the heads' order.
    """
    read = [head for head in heads if isinstance(head, BoxHead)]
    if len(read) != len(outputs):
        raise BadModel(f"the graph gave {len(outputs)} outputs for {len(read)} box heads")
    parts = []
    for _, group in groupby(zip(read, outputs), lambda pair: pair[0].group):
        alike, arrays = zip(*group)
        parts.append(alike[0].decode_alike(alike, arrays, input_hw, conf))
    return parts[0] if len(parts) == 1 else Candidates(*(np.concatenate(columns) for columns in zip(*parts)))


def _warn_of_no_numbers(model: Model, outputs: Sequence[Array]) -> None:
    """Warn once of a model that finds nothing because its heads are no numbers, as where fp16 overflows."""
    if model.name in _warned:
        return
    # A sum is not finite where a value is not, and costs a tenth of looking at each. A score of -inf is meant.
    with np.errstate(all="ignore"):
        strange = [out for out in outputs if not math.isfinite(float(out.sum(dtype=np.float32)))]
    if any(bool((np.isnan(out) | np.isposinf(out)).any()) for out in strange):
        _warned.add(model.name)
        text = "%s gave heads that are no numbers, so it finds nothing: its weights or its precision are at fault"
        LOG.warning(f"{text}; try --precision fp32", model.name)


# -- what decoders share -------------------------------------------------------------------------------------------


def check_layout(box: str) -> None:
    """Raise `UnknownName` for a box layout that `in_pixels` does not know."""
    if box not in ("xywh", "xyxy"):
        raise UnknownName("box layout", box, ("xywh", "xyxy"))


def in_pixels(box: Array, layout: str, relative: bool, input_hw: Tuple[int, int]) -> Array:
    """Boxes of a `layout`, "xywh" or "xyxy", in pixels or relative to the input's sides -> xyxy network pixels."""
    if relative:
        box = box * np.array((input_hw[1], input_hw[0]) * 2, np.float32)
    return corners(box) if layout == "xywh" else box


def read_rows(head: Head, out: Array, fields: int, places: Optional[int] = None) -> Array:
    """Convert one image's (1, N, fields) to (N, fields), checked against the head."""
    if out.ndim != 3 or out.shape[0] != 1 or out.shape[2] != fields or (places is not None and out.shape[1] != places):
        shape = "x".join(str(side) for side in out.shape)
        raise BadModel(
            f"head {head.name} gave {shape}; {head.classes} classes make rows of {fields}"
            + (f", {places} of them" if places is not None else "")
        )
    rows: Array = out[0]
    return rows


def select(classes: Array, objectness: Optional[Array], conf: float, multi_label: bool) -> Tuple[Array, Array, Array]:
    """Scores in 0..1 -> row numbers, class ids and scores of the pairs above `conf`, or of each row's best pair."""
    # Most rows hold nothing, and a score is no more than any factor of it.
    near = np.nonzero((classes.max(1) if objectness is None else objectness) > conf)[0]
    factor = np.float32(1) if objectness is None else objectness[near, None]
    scores = classes[near] * factor
    if multi_label:
        row, class_id = np.nonzero(scores > np.float32(conf))
        return near[row], class_id, scores[row, class_id]
    class_id = scores.argmax(1)
    best = scores[np.arange(len(near)), class_id]
    passes = best > np.float32(conf)
    return near[passes], class_id[passes], best[passes]


def corners(xywh: Array) -> Array:
    """Convert centre and size to corners."""
    half = xywh[:, 2:] / 2
    return np.concatenate((xywh[:, :2] - half, xywh[:, :2] + half), 1)


def drop_invalid(xyxy: Array, scores: Array, class_ids: Array) -> Candidates:
    """Drop invalid boxes: values that are not finite (fp16 overflow), or crossed corners."""
    real = np.isfinite(xyxy).all(1) & np.isfinite(scores) & (xyxy[:, 2:] >= xyxy[:, :2]).all(1)
    return Candidates(xyxy[real].astype(np.float32), scores[real].astype(np.float32), class_ids[real].astype(np.int32))


def sigmoid(x: Array) -> Array:
    """The logistic function, without overflow."""
    bounded = np.minimum(np.maximum(x, np.float32(-80)), np.float32(80))
    y: Array = np.float32(1) / (np.float32(1) + np.exp(-bounded))
    return y


def logit(p: float) -> float:
    """The inverse of `sigmoid`, infinite at 0 and 1."""
    return -math.inf if p <= 0 else math.inf if p >= 1 else math.log(p / (1 - p))
