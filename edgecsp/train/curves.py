"""Precision, recall and F1 of detections on labelled images, against confidence and against each other, by class."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from ..bench.accuracy import Predictions
from ..bench.accuracy.confusion import IGNORED, match_boxes
from ..types import Array

GRID = np.linspace(0, 1, 101)
LEAST = 0.01  # scores below are of no use to anybody


class Judged(NamedTuple):
    """All detections, best first: `scores` (K,), whether each is `right` (K,) bool and its class `ids` (K,).

    `objects` (classes,) counts the boxes of the truth. Regions of many, and what was found in them, count nowhere.
    """

    scores: Array
    right: Array
    ids: Array
    objects: Array


def judge(predictions: Predictions) -> Judged:
    """Match detections with boxes of their class at an IoU of 0.5, image by image."""
    scores, right, ids = [np.zeros(0, np.float32)], [np.zeros(0, bool)], [np.zeros(0, np.int64)]
    objects = np.zeros(len(predictions.data.names), np.int64)
    for image, detections in zip(predictions.images, predictions.detections):
        boxes = image.boxes
        able = detections[detections.scores >= LEAST]
        of = match_boxes(boxes, able).of_detections
        is_right = of >= 0
        is_right[is_right] = boxes.class_ids[of[is_right]] == able.class_ids[is_right]
        counted = of != IGNORED
        scores.append(able.scores[counted])
        right.append(is_right[counted])
        ids.append(able.class_ids[counted])
        objects += np.bincount(boxes.class_ids[~boxes.crowd], minlength=len(objects))
    every = np.concatenate(scores)
    order = np.argsort(-every, kind="stable")
    return Judged(every[order], np.concatenate(right)[order], np.concatenate(ids)[order], objects)


def best_threshold(judged: Judged) -> Tuple[float, float]:
    """The confidence threshold of the best F1 at an IoU of 0.5, all classes together, and that F1."""
    scores, right, _, objects = judged
    if not objects.sum() or not len(scores):
        return 0.25, 0.0
    hits = np.cumsum(right)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + objects.sum())
    at = int(f1.argmax())
    # Between this detection and the next: the threshold must let this one through.
    low = float(scores[at + 1]) if at + 1 < len(scores) else 0.0
    return round((float(scores[at]) + low) / 2, 3), float(f1[at])


def curves(judged: Judged) -> Dict[str, Any]:
    """The curves as JSON has them: `classes`, one a class (None without a box), and `all`, of all boxes together.

    A curve has 101 values of `pr` (the best precision at a recall of 0, 0.01, ... 1 or more) and of `precision`,
    `recall` and `f1` (at a confidence of 0, 0.01, ... 1; precision is None where nothing is left).
    """
    each: List[Any] = []
    for class_id, count in enumerate(judged.objects.tolist()):
        mine = judged.ids == class_id
        each.append(_curve(judged.scores[mine], judged.right[mine], count) if count else None)
    total = int(judged.objects.sum())
    return {"classes": each, "all": _curve(judged.scores, judged.right, total) if total else None}


def at(curve: Dict[str, Any], confidence: float) -> Tuple[Any, float]:
    """Precision (None where nothing is left) and recall at a confidence, to a hundredth of it."""
    place = min(100, max(0, round(confidence * 100)))
    return curve["precision"][place], curve["recall"][place]


def _curve(scores: Array, right: Array, objects: int) -> Dict[str, Any]:
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / objects
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    where = np.searchsorted(recall, GRID, side="left")
    best = np.where(where < len(hits), np.append(envelope, 0.0)[np.minimum(where, len(hits))], 0.0)
    left = np.searchsorted(-scores, -GRID, side="right")  # how many have that confidence or more
    taken = np.append(0, hits)[left]
    at_least = taken / np.maximum(left, 1)
    f1 = 2 * taken / (left + objects)
    return {
        "pr": _rounded(best),
        "precision": [value if some else None for value, some in zip(_rounded(at_least), left.tolist())],
        "recall": _rounded(taken / objects),
        "f1": _rounded(f1),
    }


def _rounded(values: Array) -> List[float]:
    return [round(float(value), 4) for value in values]
