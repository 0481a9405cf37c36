"""Which class is taken for which, what is missed, and what is found where nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Tuple

import numpy as np

from ...processing.nms import overlap
from ...types import Array, Detections
from .found import Predictions
from .truth import Boxes

SAME = 0.5  # the IoU at which a box is on an object
NOTHING, IGNORED = -1, -2
BACKGROUND = "background"


class Matches(NamedTuple):
    """For each object the detection on it, and for each detection its object: row numbers.

    NOTHING where there is none; IGNORED for a region of many, and for what was found in one.
    """

    of_objects: Array
    of_found: Array


@dataclass(frozen=True)
class Confusion:
    """Counts by (class of the object, class found on it), the last of each being the background.

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


def confusion(found: Predictions, conf: float, iou: float = SAME) -> Confusion:
    """Count what was found with a score of `conf` or more."""
    count = len(found.data.names)
    matrix = np.zeros((count + 1, count + 1), np.int64)
    for picture, detections in zip(found.pictures, found.detections):
        shown = detections[detections.scores >= conf]
        match = matches(picture.boxes, shown, iou)
        objects = match.of_objects != IGNORED
        taken = match.of_objects[objects]
        as_ids = np.where(taken >= 0, np.append(shown.class_ids, count)[taken], count)
        np.add.at(matrix, (picture.boxes.class_ids[objects], as_ids), 1)
        np.add.at(matrix, (count, shown.class_ids[match.of_found == NOTHING]), 1)
    return Confusion(found.data.names, conf, iou, matrix)


def matches(boxes: Boxes, found: Detections, iou: float = SAME) -> Matches:
    """Put detections on objects: those of the right class first, best scores first, then what is left, by IoU.

    So a class is confused only where an object was not found as what it is.
    """
    of_objects = np.where(boxes.crowd, IGNORED, NOTHING)
    of_found = np.full(len(found), NOTHING)
    shared = overlap(boxes.xyxy, found.xyxy.astype(np.float64))
    shared[boxes.crowd] = 0
    right = np.where(boxes.class_ids[:, None] == found.class_ids[None], shared, 0.0)
    for j in np.argsort(-found.scores, kind="stable"):
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
    of_found[(of_found == NOTHING) & _in_crowd(boxes, found, iou)] = IGNORED
    return Matches(of_objects, of_found)


def _in_crowd(boxes: Boxes, found: Detections, share: float) -> Array:
    """Which detections lie, by that share of themselves, in a region of many of their class."""
    crowd = boxes.xyxy[boxes.crowd]
    low, high = (
        np.maximum(crowd[:, None, :2], found.xyxy[None, :, :2]),
        np.minimum(crowd[:, None, 2:], found.xyxy[:, 2:]),
    )
    inside = np.prod(np.maximum(0, high - low), 2)
    areas = np.prod(found.xyxy[:, 2:] - found.xyxy[:, :2], 1)
    same = boxes.class_ids[boxes.crowd][:, None] == found.class_ids[None]
    within: Array = (same & (inside >= share * np.maximum(areas, 1e-9))).any(0)
    return within
