"""Comparison of a case with the reference: errors of the heads and boxes that match."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Sequence

import numpy as np

from ..processing import nms
from ..types import Array, Result

STRICT, LOOSE = 0.99, 0.5  # IoU at which a box is the same one, and at which it is of the same object


@dataclass
class Comparison:
    """Errors of the heads as a share of the head's largest value, and how many of the reference's boxes match.

    `errors` has the mean of each head of each image, `largest` is the largest of all; NaN counts as infinite.
    `boxes` counts the reference's boxes, `strict` and `loose` those that match with their class (a classifier's best
    class counts as a box).
    """

    images: int = 0
    largest: float = 0.0
    errors: List[float] = field(default_factory=list)
    boxes: int = 0
    strict: int = 0
    loose: int = 0

    @property
    def mean(self) -> float:
        """The mean error of the heads."""
        return float(np.mean(self.errors)) if self.errors else 0.0

    def add_heads(self, expected: Sequence[Array], actual: Sequence[Array]) -> None:
        """Add the heads of an image; rows behind an NMS, as many as there are boxes, only where their number agrees."""
        self.images += 1
        for reference, head in zip(expected, actual):
            varies = head.ndim == reference.ndim == 3 and head.shape[::2] == reference.shape[::2]
            if varies and (head.shape != reference.shape or not head.size):
                continue
            # Sorted proposals of a two-stage detector may come in another number or order: shapes are the model's.
            off = np.abs(head.astype(np.float64) - reference) / max(1e-12, float(np.abs(reference).max()))
            self.largest = max(self.largest, float(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max()))
            self.errors.append(float(off.mean()))

    def add_boxes(self, expected: Result, actual: Result) -> None:
        """Add the boxes of an image."""
        self.boxes += len(expected.counted())
        self.strict += count_matches(expected, actual, STRICT)
        self.loose += count_matches(expected, actual, LOOSE)


def count_matches(expected: Result, actual: Result, iou: float) -> int:
    """Count the expected boxes that have a match, one to one: same class, and at least that IoU.

    For classifiers: 1 when the best class is the same, else 0.
    """
    return len(nms.match(*expected.regions(), *actual.regions(), iou))
