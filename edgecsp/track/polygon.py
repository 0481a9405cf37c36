"""Polygons and lines in an image: which points are inside, and how far from an edge."""

from __future__ import annotations

import math
from typing import Sequence, Tuple

import numpy as np

from ..types import Array

Point = Tuple[float, float]


def contains(corners: Sequence[Point], points: Array) -> Array:
    """Whether points (N, 2) are inside a polygon: (N,) bool. Edges at the top and left belong to it."""
    x, y = np.asarray(points, np.float64).reshape(-1, 2).T
    inside = np.zeros(len(x), bool)
    for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0])):
        if ay != by:
            inside ^= ((y >= ay) != (y >= by)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


def distance(edges: Array, points: Array) -> Array:
    """Distance in pixels of points (N, 2) from the nearest of some edges (E, 2, 2): (N,), infinite without edges."""
    (x0, y0), (x, y) = edges[:, 0].T, (edges[:, 1] - edges[:, 0]).T
    off_x, off_y = points[:, :1] - x0, points[:, 1:] - y0
    share = np.minimum(np.maximum((off_x * x + off_y * y) / (x**2 + y**2), 0), 1)
    squared = (off_x - share * x) ** 2 + (off_y - share * y) ** 2
    distances: Array = np.sqrt(squared.min(1, initial=np.inf))
    return distances


def side(begin: Point, end: Point, points: Array) -> Array:
    """Distance in pixels of points (N, 2) from the straight line through two points: (N,).

    Above 0 to the right of the way from `begin` to `end`, as it is seen in the image; below 0 to its left.
    """
    (x0, y0), (x1, y1) = begin, end
    length = math.hypot(x1 - x0, y1 - y0)
    distances: Array = (points[:, 1] - y0) * ((x1 - x0) / length) - (points[:, 0] - x0) * ((y1 - y0) / length)
    return distances


def area(corners: Sequence[Point]) -> float:
    """Area of a polygon in square pixels (shoelace formula)."""
    x, y = np.asarray(corners, np.float64).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
