"""Candidates -> the boxes that stay: greedy non-maximum suppression, per class, as darknet does it."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from .core import Array
from .decode import Candidates


def keep(
    candidates: Candidates,
    iou: float,
    *,
    max_det: int = 300,
    agnostic: bool = False,
    beta: float = 0.0,
    input_hw: Tuple[int, int] = (1, 1),
) -> Array:
    """Row numbers of the boxes that stay, highest score first, at most `max_det`.

    A box goes when its overlap with a better one of its class (of any class with `agnostic`) is above `iou`.
    Overlap is IoU, or with `beta` > 0 darknet's IoU - (d / c)^beta: d the squared distance of the centres, c
    the squared diagonal of the box around both, in units of the input's sides `input_hw` (darknet box.c,
    box_diounms; nms_kind=greedynms in a cfg).
    """
    ids = np.zeros_like(candidates.class_ids) if agnostic else candidates.class_ids
    if not len(ids):
        return np.zeros(0, np.int64)
    if beta > 0:
        sides = np.array((input_hw[1], input_hw[0]) * 2, np.float64)
        return _by_distance(candidates.xyxy / sides, candidates.scores, ids, iou, beta, max_det)
    return _by_overlap(candidates.xyxy, candidates.scores, ids, iou, max_det)


def best(candidates: Candidates, max_det: int = 300) -> Array:
    """Row numbers of the `max_det` best boxes, highest score first, none suppressed: for boxes without duplicates."""
    return np.argsort(-candidates.scores, kind="stable")[:max_det]


def _by_overlap(xyxy: Array, scores: Array, ids: Array, iou: float, max_det: int) -> Array:
    import cv2

    xywh = np.concatenate((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1, dtype=np.float64)
    kept = []
    # One call a class. NMSBoxesBatched moves the classes apart instead, by the largest coordinate: boxes that
    # begin left of the picture then meet those of the class before, and one absurd box drowns all others.
    for class_id in np.unique(ids):
        rows = np.nonzero(ids == class_id)[0]
        stay = cv2.dnn.NMSBoxes(xywh[rows], scores[rows], 0.0, float(iou))  # type: ignore[arg-type]
        kept.append(rows[np.asarray(stay, np.int64).reshape(-1)])
    rows = np.sort(np.concatenate(kept))
    return rows[np.argsort(-scores[rows], kind="stable")[:max_det]]


def _by_distance(xyxy: Array, scores: Array, ids: Array, iou: float, beta: float, max_det: int) -> Array:
    order = np.argsort(-scores, kind="stable")
    xyxy, ids = xyxy[order], ids[order]
    area = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    alive = np.ones(len(order), bool)
    kept = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(order[i])
        if len(kept) == max_det:
            break
        rest = i + 1 + np.nonzero(alive[i + 1 :] & (ids[i + 1 :] == ids[i]))[0]
        low, high = np.maximum(xyxy[i, :2], xyxy[rest, :2]), np.minimum(xyxy[i, 2:], xyxy[rest, 2:])
        inside = np.prod(np.clip(high - low, 0, None), 1)
        around = np.maximum(xyxy[i, 2:], xyxy[rest, 2:]) - np.minimum(xyxy[i, :2], xyxy[rest, :2])
        apart = ((centre[i] - centre[rest]) ** 2).sum(1) / np.maximum((around**2).sum(1), 1e-300)
        overlap = inside / np.maximum(area[i] + area[rest] - inside, 1e-300) - apart**beta
        alive[rest[overlap > iou]] = False
    return np.array(kept, np.int64)
