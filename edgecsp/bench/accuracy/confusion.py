"""The confusion matrix: classes predicted as other classes, missed objects, false detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Tuple

import numpy as np

from ...processing.nms import overlap
from ...types import Array, Detections
from .predictions import Predictions
from .truth import Boxes

MATCH_IOU = 0.5  # from which a box matches an object
NOTHING, IGNORED = -1, -2
BACKGROUND = "background"


class Matches(NamedTuple):
    """Pairs of objects and detections: for each object the row of its detection, and the other way round.

    NOTHING where there is none; IGNORED for a crowd region, and for detections in one.
    """

    of_objects: Array
    of_detections: Array


@dataclass(frozen=True)
class Confusion:
    """Counts by (class of the object, predicted class); the last row and column are the background.

    `matrix` (C + 1, C + 1): its last column is what was missed, its last row what was found where nothing is.
    Detections from `conf` on count; one is on an object from an IoU of `iou` on.
    """

    names: Tuple[str, ...]
    conf: float
    iou: float
    matrix: Array

    @property
    def labels(self) -> Tuple[str, ...]:
        """The names of rows and columns."""
        return (*self.names, BACKGROUND)

    def mistakes(self) -> List[Tuple[str, str, int]]:
        """(class of the object, class found, how often), the most frequent first."""
        off = self.matrix.copy()
        np.fill_diagonal(off, 0)
        order = np.argsort(-off, axis=None, kind="stable")[: int((off > 0).sum())]
        places = (np.unravel_index(int(i), off.shape) for i in order)
        return [(self.labels[a], self.labels[b], int(off[a, b])) for a, b in places]


def count_confusions(predictions: Predictions, conf: float, iou: float = MATCH_IOU) -> Confusion:
    """Count confusions among detections with a score of at least `conf`."""
    count = len(predictions.data.names)
    matrix = np.zeros((count + 1, count + 1), np.int64)
    for image, detections in zip(predictions.images, predictions.detections):
        confident = detections[detections.scores >= conf]
        match = match_boxes(image.boxes, confident, iou)
        objects = match.of_objects != IGNORED
        taken = match.of_objects[objects]
        as_ids = np.where(taken >= 0, np.append(confident.class_ids, count)[taken], count)
        np.add.at(matrix, (image.boxes.class_ids[objects], as_ids), 1)
        np.add.at(matrix, (count, confident.class_ids[match.of_detections == NOTHING]), 1)
    return Confusion(predictions.data.names, conf, iou, matrix)


def match_boxes(boxes: Boxes, detections: Detections, iou: float = MATCH_IOU) -> Matches:
    """Match detections with objects: first those of the right class by score, then the remaining ones by IoU.

    So a class is confused only where an object was not found as what it is.
    """
    of_objects = np.where(boxes.crowd, IGNORED, NOTHING)
    of_found = np.full(len(detections), NOTHING)
    shared = overlap(boxes.xyxy, detections.xyxy.astype(np.float64))
    shared[boxes.crowd] = 0
    right = np.where(boxes.class_ids[:, None] == detections.class_ids[None], shared, 0.0)
    for j in np.argsort(-detections.scores, kind="stable"):
        i = int(right[:, j].argmax()) if len(boxes) else 0
        if len(boxes) and right[i, j] >= iou:
            of_objects[i], of_found[j] = j, i
            right[i] = 0
    shared[of_objects != NOTHING] = 0
    shared[:, of_found != NOTHING] = 0
    while shared.size and shared.max() >= iou:
        i, j = (int(k) for k in np.unravel_index(int(shared.argmax()), shared.shape))
        of_objects[i], of_found[j] = j, i
        shared[i], shared[:, j] = 0, 0
    of_found[(of_found == NOTHING) & _in_crowd(boxes, detections, iou)] = IGNORED
    return Matches(of_objects, of_found)


def _in_crowd(boxes: Boxes, detections: Detections, share: float) -> Array:
    """Mask of the detections that lie, by that share of their area, in a crowd region of their class."""
    crowd = boxes.xyxy[boxes.crowd]
    low, high = (
        np.maximum(crowd[:, None, :2], detections.xyxy[None, :, :2]),
        np.minimum(crowd[:, None, 2:], detections.xyxy[:, 2:]),
    )
    inside = np.prod(np.maximum(0, high - low), 2)
    areas = np.prod(detections.xyxy[:, 2:] - detections.xyxy[:, :2], 1)
    same = boxes.class_ids[boxes.crowd][:, None] == detections.class_ids[None]
    within: Array = (same & (inside >= share * np.maximum(areas, 1e-9))).any(0)
    return within
