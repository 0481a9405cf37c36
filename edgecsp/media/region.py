"""A region of an image, and which boxes are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..errors import UsageError
from ..track import polygon
from ..types import Array, Result

_FORM = "x1,y1,x2,y2 of a rectangle or x1,y1,x2,y2,x3,y3,... of a polygon, in pixels of the image"


@dataclass(frozen=True)
class Region:
    """A polygon in pixels of the image, by its corners."""

    corners: Tuple[Tuple[float, float], ...]

    def contains(self, points: Array) -> Array:
        """Whether points (N, 2) are inside: (N,) bool. Lines at the top and left belong to it.

        >>> Region(((0, 0), (10, 0), (0, 10))).contains(np.array([(2, 2), (8, 8), (-1, 5)])).tolist()
        [True, False, False]
        """
        return polygon.contains(self.corners, points)

    def keep(self, result: Result) -> Result:
        """Return the boxes whose centre is inside. Raises `UsageError` for a classifier."""
        boxes = result.require_boxes("a region needs boxes; a classifier's result speaks of the whole image")
        return boxes[self.contains(boxes.xywh[:, :2])]


def parse(text: str) -> Region:
    """Read a region as it is typed: four numbers are a rectangle, more a polygon. Raises `UsageError`.

    >>> parse("10,20,30,40").corners
    ((10.0, 20.0), (30.0, 20.0), (30.0, 40.0), (10.0, 40.0))
    """
    try:
        numbers = [float(word) for word in text.replace(";", ",").split(",")]
    except ValueError:
        raise UsageError(f"region {text!r}: {_FORM}") from None
    if len(numbers) == 4:
        x0, y0, x1, y1 = numbers
        if not (x0 < x1 and y0 < y1):
            raise UsageError(f"region {text!r}: the second corner must be below and to the right of the first")
        numbers = [x0, y0, x1, y0, x1, y1, x0, y1]
    if len(numbers) < 6 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise UsageError(f"region {text!r}: {_FORM}")
    return Region(tuple(zip(numbers[::2], numbers[1::2])))
