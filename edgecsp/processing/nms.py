"""Greedy non-maximum suppression (NMS), per class, as in darknet."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import numpy as np

from ..types import Array

# OpenCV's NMS holds every box against all that stay and does not end at `max_det`: where boxes are in heaps it is
# faster than `_ours`, for 2000 that lie apart it takes 13 ms instead of 4.
_FEW = 1000
_AT_ONCE = 64  # how many of the best boxes are held against the rest in one go


class Candidates(NamedTuple):
    """Boxes before NMS: xyxy (N, 4) float32 in network pixels, scores (N,) float32, class_ids (N,) int32.

    As in darknet, a box stands once for every class whose score passes; of other families' heads without
    `multi_label`, once for its best class.
    """

    xyxy: Array
    scores: Array
    class_ids: Array


EMPTY = Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))


def keep(
    candidates: Candidates,
    iou: float,
    *,
    max_det: int = 300,
    agnostic: bool = False,
    beta: float = 0.0,
    input_hw: Tuple[int, int] = (1, 1),
) -> Array:
    """Select boxes by NMS: row numbers, highest score first, at most `max_det`.

    A box goes when its overlap with a better one of its class (of any class with `agnostic`) is above `iou`.
    Overlap is IoU, or with `beta` > 0 darknet's IoU - (d / c)^beta: d the squared distance of the centres, c
    the squared diagonal of the box around both, in units of the input's sides `input_hw` (darknet box.c,
    box_diounms; nms_kind=greedynms in a cfg).
    """
    order = np.argsort(-candidates.scores, kind="stable")
    xyxy, ids = candidates.xyxy[order], np.zeros_like(order) if agnostic else candidates.class_ids[order]
    if beta > 0:
        stay: Array = order[_suppress(xyxy, ids, iou, max_det, beta, (input_hw[1], input_hw[0]))]
        return stay
    stays = np.zeros(len(order), bool)
    # One call a class. OpenCV's NMSBoxesBatched moves the classes apart instead, by the largest coordinate: boxes that
    # begin left of the image then meet those of the class before, and one absurd box drowns all others.
    # No np.unique: right behind a network its code is in no cache any more, and it takes 35 us for three boxes.
    for class_id in set(ids.tolist()):
        rows = np.nonzero(ids == class_id)[0]
        if len(rows) <= _FEW:
            stays[rows[_opencv(xyxy[rows], iou)]] = True
        else:
            stays[rows[_suppress(xyxy[rows], ids[rows], iou, max_det)]] = True
    return order[stays][:max_det]


def best(candidates: Candidates, max_det: int = 300) -> Array:
    """Select the `max_det` best boxes without NMS, highest score first: for heads without duplicates."""
    return np.argsort(-candidates.scores, kind="stable")[:max_det]


def overlap(a: Array, b: Array) -> Array:
    """The IoU of every box of `a` (N, 4) with every one of `b` (M, 4), xyxy: (N, M)."""
    return paired_overlap(a[:, None], b[None])


def paired_overlap(a: Array, b: Array) -> Array:
    """The IoU of each box of `a` (..., 4) with the one of `b` (..., 4) in its place, xyxy: (...)."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    both = np.prod(np.maximum(0, high - low), axis=-1)
    areas = [np.prod(each[..., 2:] - each[..., :2], axis=-1) for each in (a, b)]
    shared: Array = both / np.maximum(1e-9, areas[0] + areas[1] - both)
    return shared


def match(expected: Array, ids: Array, others: Array, other_ids: Array, iou: float) -> List[float]:
    """The IoU of each expected box, the best one first, with the other of its class that it shares most with.

    One to one, and only what has at least `iou` in common.
    """
    shared = np.where(ids[:, None] == other_ids[None], overlap(expected, others), 0)
    matched = []
    for row in shared:
        if row.size and row.max() >= iou:
            matched.append(float(row.max()))
            shared[:, int(row.argmax())] = 0
    return matched


def _opencv(xyxy: Array, iou: float) -> Array:
    """Row numbers of the boxes of one class that stay; the best box comes first."""
    import cv2

    xywh = np.concatenate((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1, dtype=np.float64)
    falling = np.arange(len(xywh), 0, -1, dtype=np.float32)  # their order is all that OpenCV needs of the scores
    stay = cv2.dnn.NMSBoxes(xywh, falling, 0.0, float(iou))  # type: ignore[arg-type]
    return np.asarray(stay, np.int64).reshape(-1)


def _suppress(
    xyxy: Array, ids: Array, iou: float, max_det: int, beta: float = 0.0, sides: Tuple[int, int] = (1, 1)
) -> Array:
    """Row numbers of the boxes that stay; the best box comes first. `sides` are what boxes are measured in."""
    rows, boxes = np.arange(len(ids)), np.ascontiguousarray(xyxy.T)
    chosen = [rows[:0]]
    while len(rows) and max_det > 0:
        stays = _survivors(boxes, ids, iou, beta, sides)
        chosen.append(rows[:_AT_ONCE][stays[:_AT_ONCE]][:max_det])
        max_det -= len(chosen[-1])
        rest = _AT_ONCE + np.nonzero(stays[_AT_ONCE:])[0]
        rows, boxes, ids = rows[rest], boxes[:, rest], ids[rest]
    return np.concatenate(chosen)


def _survivors(boxes: Array, ids: Array, iou: float, beta: float, sides: Tuple[int, int]) -> Array:
    """Which boxes are left when those of the first `_AT_ONCE` that stay have dropped theirs; (4, N), the best first."""
    x0, y0, x1, y1 = boxes
    left, top, right, bottom = boxes[:, :_AT_ONCE, None]
    # Few pairs meet at all. To see that takes comparisons alone, and only what meets is worth arithmetic.
    meet = ids[:_AT_ONCE, None] == ids
    for met in (left < x1, x0 < right, top < y1, y0 < bottom):
        meet &= met
    better, worse = np.nonzero(meet)
    later = worse > better
    better, worse = better[later], worse[later]
    units = np.array(sides * 2, np.float64)[:, None]
    clash = _overlap(boxes[:, better] / units, boxes[:, worse] / units, beta) > iou
    better, worse = better[clash], worse[clash]
    stays = np.ones(len(ids), bool)
    ends = np.searchsorted(better, np.arange(1, len(left) + 1)).tolist()
    for i, (begin, end) in enumerate(zip([0, *ends], ends)):
        if begin < end and stays[i]:
            stays[worse[begin:end]] = False
    return stays


def _overlap(a: Array, b: Array, beta: float) -> Array:
    """The IoU of pairs of boxes (4, N) that meet, less (d / c)^beta when `beta` is above 0."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inside = sides[0] * sides[1]
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (a, b)]
    shared: Array = inside / (areas[0] + areas[1] - inside)
    if beta > 0:
        around = (np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])) ** 2
        apart = ((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2) ** 2
        shared -= ((apart[0] + apart[1]) / (around[0] + around[1])) ** beta
    return shared
