"""The steps between and behind the two graphs of a ThunderNet, in numpy, so that no engine needs a plugin.

    features, objectness, deltas = first.run(image)
    rois = proposals(model.heads, (objectness, deltas), input_hw, count)
    samples = ps_roi_align(features, rois, stride=16)
    logits, deltas = second.run(samples)
    found = boxes(model.heads, (rois, logits, deltas), input_hw, conf)
    rows, scores = soft_nms(found, iou, max_det)

Boxes are xyxy in network pixels. Sources: ThunderNet (arXiv 1903.11752), Faster R-CNN (1506.01497) for the
deltas, Soft-NMS (1704.04503); ThunderNet's own sampling keeps the largest of a bin's four samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from ...errors import BadModel
from ...options import Thresholds
from ...types import Array, Head, Model
from .. import nms
from ..decode import BoxHead, Candidates

BINS = 7
BEFORE_NMS = 2000
NMS_IOU = 0.7
CLASS_STD = np.array((0.1, 0.1, 0.2, 0.2), np.float32)
_LARGEST = math.log(1000 / 16)  # no delta makes a box more than 62.5 times its anchor


@dataclass(frozen=True)
class Raw(BoxHead):
    """An output `name` that a later step reads and that is no box yet: a detector's of two stages.

    `stride` is input pixels per place of a map (0: not a map), `anchors_wh` the boxes tried at each place, in
    input pixels.
    """

    kind = "raw"
    stride: int = 0
    anchors_wh: Tuple[Tuple[float, float], ...] = ()

    def candidates(self, model: Model, outputs: Sequence[Array], conf: float) -> Candidates:
        """Decode what a session of two stages gives."""
        if model.second is None:
            raise BadModel(f"output {self.name} of {model.name} is for a second stage, and the model has none")
        return boxes(model.heads, outputs, model.input.hw, conf)

    def suppress(self, model: Model, candidates: Candidates, conf: float, options: Thresholds) -> Tuple[Array, Array]:
        """Soft-NMS, which lowers scores instead of dropping boxes; what falls below the threshold goes."""
        if options.plain_nms:
            return super().suppress(model, candidates, conf, options)
        return soft_nms(candidates, model.iou if options.iou is None else options.iou, options.max_det, floor=conf)

    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Raise `BadModel`: one output alone is no box."""
        raise BadModel(f"output {self.name} is for a second stage, and stands beside heads of boxes")


def find(heads: Sequence[Head], name: str) -> Raw:
    """The raw output of a name. Raises `BadModel`."""
    for head in heads:
        if isinstance(head, Raw) and head.name == name:
            return head
    raise BadModel(f"a detector of two stages has an output {name!r}; found {[head.name for head in heads]}")


# -- from the first graph to proposals ---------------------------------------------------------------------


def anchors(head: Raw, grid_hw: Tuple[int, int]) -> Array:
    """(H * W * A, 4) xyxy: the boxes tried, centred on the places of a (H, W) grid, row by row."""
    height, width = grid_hw
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = (np.stack((x, y), -1).reshape(-1, 1, 2) + np.float32(0.5)) * head.stride
    half = np.array(head.anchors_wh, np.float32) / 2
    return np.concatenate((centre - half, centre + half), -1).reshape(-1, 4)


def proposals(heads: Sequence[Head], outputs: Sequence[Array], input_hw: Tuple[int, int], count: int) -> Array:
    """The `count` best boxes of one image after NMS, (count, 4) xyxy; boxes of no size fill up.

    `outputs` are the first graph's objectness (1, A, H, W), sigmoid applied, and deltas (1, 4A, H, W),
    anchor-major.
    """
    head = find(heads, "objectness")
    objectness, deltas = outputs
    n, height, width = objectness.shape[1:]
    scores = objectness[0].transpose(1, 2, 0).reshape(-1)
    shifts = deltas[0].reshape(n, 4, height, width).transpose(2, 3, 0, 1).reshape(-1, 4)
    best = np.argsort(-scores, kind="stable")[:BEFORE_NMS]
    xyxy = clip(apply_deltas(anchors(head, (height, width))[best], shifts[best]), input_hw)
    area = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])  # what lay outside the image has none left
    xyxy, best = xyxy[area], best[area]
    candidates = Candidates(xyxy, scores[best].astype(np.float32), np.zeros(len(best), np.int32))
    rows = xyxy[nms.keep(candidates, NMS_IOU, max_det=count)]
    return np.concatenate((rows, np.zeros((count - len(rows), 4), np.float32)))


def apply_deltas(xyxy: Array, deltas: Array) -> Array:
    """Apply deltas (N, 4) [dx, dy, dw, dh] to boxes (N, 4): centres relative to the size, sizes by exp."""
    wh = xyxy[:, 2:] - xyxy[:, :2]
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2 + deltas[:, :2] * wh
    half = wh * np.exp(np.minimum(deltas[:, 2:], np.float32(_LARGEST))) / 2
    return np.concatenate((centre - half, centre + half), 1).astype(np.float32)


def clip(xyxy: Array, hw: Tuple[int, int]) -> Array:
    """Clip boxes to an image of (height, width)."""
    return np.asarray(np.clip(xyxy, 0, np.array((hw[1], hw[0], hw[1], hw[0]), np.float32)))


# -- from proposals to the second graph --------------------------------------------------------------------


def ps_roi_align(features: Array, rois: Array, stride: int) -> Array:
    """Position-sensitive RoI align: (C * 49, H, W) and (N, 4) -> (N, C, 7, 7), the largest of 2 x 2 samples a bin.

    Bin (ph, pw) of channel c reads feature channel (c * 7 + ph) * 7 + pw alone, bilinearly.
    """
    channels, height, width = features.shape
    maps = features.reshape(channels // BINS**2, BINS, BINS, height * width)
    y = _samples(rois[:, 1], rois[:, 3], stride, height)
    x = _samples(rois[:, 0], rois[:, 2], stride, width)
    ph, pw = np.arange(BINS)[:, None], np.arange(BINS)[None, :]
    best = np.full((maps.shape[0], len(rois), BINS, BINS), -np.inf, np.float32)
    for i in range(2):
        for j in range(2):
            value = np.zeros_like(best)
            for row, row_share in ((y.low, 1 - y.share), (y.high, y.share)):
                for column, column_share in ((x.low, 1 - x.share), (x.high, x.share)):
                    place = row[:, :, None, i] * width + column[:, None, :, j]
                    value += maps[:, ph, pw, place] * (row_share[:, :, None, i] * column_share[:, None, :, j])
            best = np.maximum(best, value)
    return np.ascontiguousarray(best.transpose(1, 0, 2, 3))


class _Line:
    """Sample positions along one axis, (N, 7, 2) each: the places on both sides and the second one's share."""

    def __init__(self, at: Array, size: int) -> None:
        at = np.clip(at, 0, size - 1)
        self.low = np.floor(at).astype(np.int64)
        self.high = np.minimum(self.low + 1, size - 1)
        self.share = (at - self.low).astype(np.float32)


def _samples(start: Array, stop: Array, stride: int, size: int) -> _Line:
    # A box narrower than one place of the map is read as one place wide, as RoIAlign does.
    begin = start / stride
    step = np.maximum(stop / stride - begin, np.float32(1)) / BINS
    within = (np.arange(BINS)[:, None] + np.array((0.25, 0.75))).astype(np.float32)
    return _Line(begin[:, None, None] + within * step[:, None, None], size)


# -- from the second graph to boxes ------------------------------------------------------------------------


def boxes(heads: Sequence[object], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float) -> Candidates:
    """All candidates of one image with a score > `conf`, as `decode.boxes` gives them for one stage.

    `outputs` are what a two-stage session's `run` gives for it; the heads are the first graph's and say nothing here.
    """
    rois, logits, deltas = (out.reshape(-1, out.shape[-1]) for out in outputs)
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    # Rows that only fill up the second graph's batch are no proposals.
    real = (rois[:, 2] > rois[:, 0]) & (rois[:, 3] > rois[:, 1])
    row, class_id = np.nonzero((chances[:, 1:] > conf) & real[:, None])
    xyxy = clip(apply_deltas(rois, deltas * CLASS_STD), input_hw)[row]
    return Candidates(xyxy, chances[row, class_id + 1].astype(np.float32), class_id.astype(np.int32))


def soft_nms(candidates: Candidates, iou: float, max_det: int = 100, floor: float = 0.001) -> Tuple[Array, Array]:
    """Linear Soft-NMS, class by class: rows that stay, best first, at most `max_det`, and their lowered scores.

    A box that overlaps a better one by IoU > `iou` keeps (1 - IoU) of its score; below `floor` it goes.
    """
    xyxy, scores = candidates.xyxy.astype(np.float64), candidates.scores.astype(np.float64)
    area = np.prod(np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0), 1)
    open_rows = scores > floor
    rows: List[int] = []
    while open_rows.any() and len(rows) < max_det:
        best = int(np.argmax(np.where(open_rows, scores, -1)))
        rows.append(best)
        open_rows[best] = False
        rest = np.nonzero(open_rows & (candidates.class_ids == candidates.class_ids[best]))[0]
        low = np.maximum(xyxy[rest, :2], xyxy[best, :2])
        high = np.minimum(xyxy[rest, 2:], xyxy[best, 2:])
        inside = np.prod(np.maximum(high - low, 0), 1)
        overlap = inside / np.maximum(area[rest] + area[best] - inside, 1e-12)
        scores[rest] *= np.where(overlap > iou, 1 - overlap, 1)
        open_rows &= scores > floor
    chosen = np.array(rows, np.int64)
    return chosen, scores[chosen].astype(np.float32)
