"""A region of an image, and which boxes are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..errors import UsageError
from ..types import Array, Detections, Result

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
        from ..track import polygon  # imports the trackers, which most runs do without

        return polygon.contains(self.corners, points)

    def keep(self, result: Result, hw: Tuple[int, int] = (0, 0)) -> Result:
        """Return the boxes whose centre is inside, in an image of any size. Raises `UsageError` for a classifier."""
        boxes = _require_boxes(result)
        return boxes[self.contains(boxes.xywh[:, :2])]


class Mask:
    """An image that is white where boxes are kept; it lies over the whole image, of whatever size that is.

    >>> half = Mask(np.uint8([[255, 0]]))
    >>> half.contains(np.array([(10, 5), (90, 5), (100, 50)]), (50, 100)).tolist()
    [True, False, False]
    """

    def __init__(self, image: Array) -> None:
        """`image` (H, W) or (H, W, 3) uint8."""
        grey = image if image.ndim == 2 else image.max(2)
        self._is_white: Array = grey >= 128

    def contains(self, points: Array, hw: Tuple[int, int]) -> Array:
        """Whether points (N, 2) of an image of this height and width are on white: (N,) bool."""
        height, width = self._is_white.shape
        x, y = (points * (width / hw[1], height / hw[0])).astype(int).T
        is_inside: Array = self._is_white[y.clip(0, height - 1), x.clip(0, width - 1)]
        return is_inside

    def keep(self, result: Result, hw: Tuple[int, int]) -> Result:
        """Return the boxes whose centre is on white. Raises `UsageError` for a classifier."""
        boxes = _require_boxes(result)
        return boxes[self.contains(boxes.xywh[:, :2], hw)]


def _require_boxes(result: Result) -> Detections:
    return result.require_boxes("a region needs boxes; a classifier's result speaks of the whole image")


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
