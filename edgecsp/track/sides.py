"""The side of each line and zone that each object is on, with hysteresis.

An object is on a side when its anchor is farther from the line, or from the zone's edge, than a margin, a share of the
object's size. It changes its side when all boxes over `settle_s` were beyond the margin on the other one: an object
that trembles on a line, or a single wrong box, changes nothing. A step that no motion explains (ids were swapped, or
something hides a part of the object) puts it on its new side, and is marked as a jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..types import Array
from . import polygon
from .areas import ANCHORS, Line, Zone

MARGIN = 0.15  # in mean sides of the box
LINE_CAP = 0.25  # the margin in shares of what the image has on the line's smaller side
STEP = 0.5  # how far from where its motion leads an object may be, in mean sides
STEP_SPEED, FIRST_SPEED = 2.0, 8.0  # and in mean sides a second; the latter while its speed is not known
SPEED_S = 0.2  # over which the speed is averaged
ROUNDING_S = 0.001  # of times in files
BORDER_PX = 1.0  # a zone's edge so near to the image's border is no edge: nothing comes from beyond it


class _LineGeometry:
    """A line in an image."""

    def __init__(self, line: Line, wh: Tuple[int, int]) -> None:
        self._begin, self._end = line.to_pixels(wh)
        corners = np.array([(0, 0), (wh[0], 0), (0, wh[1]), wh], np.float64)
        reach = polygon.side(self._begin, self._end, corners)
        self.cap = LINE_CAP * max(0.0, min(reach.max(), -reach.min()))

    def distances(self, points: Array) -> Array:
        """Signed distances (N,) in pixels of points (N, 2): above 0 on the right."""
        return polygon.side(self._begin, self._end, points)

    def is_within(self, place: complex) -> bool:
        """Whether a point x + iy of the straight line is between the line's ends."""
        (x0, y0), (x1, y1) = self._begin, self._end
        along = (x1 - x0) * (place.real - x0) + (y1 - y0) * (place.imag - y0)
        return 0 <= along <= (x1 - x0) ** 2 + (y1 - y0) ** 2


class _ZoneGeometry:
    """A zone in an image."""

    def __init__(self, zone: Zone, wh: Tuple[int, int]) -> None:
        self._corners = zone.to_pixels(wh)
        self._limit = np.array(wh, np.float64) - 0.5
        corners = np.array(self._corners, np.float64)
        edges = np.stack((corners, np.roll(corners, -1, 0)), 1)
        lengths = np.hypot(*(edges[:, 1] - edges[:, 0]).T)
        self.cap = polygon.area(self._corners) / lengths.sum() / 2
        at_low, at_high = (edges <= BORDER_PX).all(1), (edges >= np.array(wh) - BORDER_PX).all(1)
        self._edges = edges[(lengths > 0) & ~np.any(at_low | at_high, axis=1)]

    def distances(self, points: Array) -> Array:
        """Signed distances (N,) in pixels of points (N, 2): above 0 inside."""
        points = np.clip(points, 0.5, self._limit)  # a box that the image's border cuts stands on the border
        distances: Array = polygon.distance(self._edges, points)
        return np.where(polygon.contains(self._corners, points), distances, -distances)


@dataclass(frozen=True)
class Changes:
    """The rows of a frame's tracks in `Sides`, (M,), and the sides of the areas that they changed, (A, M).

    `turned`: 1 or -1 where a track came to that side, else 0; over a line's ends it counts as 0. `jumped`: the same
    where it was put there by a step that no motion explains. `since_s`: when it was first beyond the margin there.
    """

    rows: Array
    turned: Array
    jumped: Array
    since_s: Array


class Sides:
    """Sides of N tracks to A areas, lines first; the last axis of all arrays is N.

    `side` (A, N): 1 to the right of a line or inside of a zone, -1 on the other side, 0 not known. `updated_s` (N,):
    when each was there last.
    """

    def __init__(self, lines: Sequence[Line], zones: Sequence[Zone], wh: Tuple[int, int]) -> None:
        self._lines = [_LineGeometry(each, wh) for each in lines]
        self._geometry: List[Any] = [*self._lines, *(_ZoneGeometry(each, wh) for each in zones)]
        areas = (*lines, *zones)
        self._caps = np.array([each.cap for each in self._geometry]).reshape(-1, 1)
        self._settle_s = np.array([each.settle_s for each in areas]).reshape(-1, 1)
        self._kinds = [kind for kind in ANCHORS if kind in {each.anchor for each in areas}]
        self._anchors = np.array([self._kinds.index(each.anchor) for each in areas], int)
        # An object that appears in a zone enters it; one that appears beside a line has crossed nothing.
        self._first = np.array([0] * len(lines) + [-1] * len(zones), np.int8).reshape(-1, 1)
        self._row_of: Dict[int, int] = {}
        self.side = np.zeros((len(areas), 0), np.int8)
        self._turned_s = np.zeros((len(areas), 0))  # since when it is on the other side, NaN where it is not
        self._distances = np.zeros((len(areas), 0))
        self._is_within = np.zeros((len(areas), 0), bool)  # whether it last crossed between the line's ends
        self._places = np.zeros((len(self._kinds), 0), complex)  # x + iy of each anchor
        self._speeds = np.zeros((len(self._kinds), 0), complex)  # pixels a second, NaN where not known
        self.updated_s = np.zeros(0)

    def update(self, track_ids: Array, xyxy: Array, pts_s: float) -> Changes:
        """Move tracks to where they are now: ids (M,), boxes (M, 4) in image pixels."""
        x0, y0, x1, y1 = np.asarray(xyxy, np.float64).T
        size = np.sqrt(np.maximum((x1 - x0) * (y1 - y0), 1.0))
        y = {"bottom": y1, "center": (y0 + y1) / 2}
        places = np.zeros((len(self._kinds), len(size)), complex)
        for k, kind in enumerate(self._kinds):
            places[k] = (x0 + x1) / 2 + 1j * y[kind]
        distances = np.zeros((len(self._geometry), len(size)))
        for area, (each, kind) in enumerate(zip(self._geometry, self._anchors)):
            distances[area] = each.distances(_points(places[kind]))
        rows = self._rows(track_ids.tolist(), places, distances, pts_s)
        has_jumped = self._step(rows, places, size, pts_s)[self._anchors]
        self._cross(rows, distances, places)

        before = self.side[:, rows]
        margin = np.minimum(MARGIN * size, self._caps)
        now = (distances > margin).view(np.int8) - (distances < -margin).view(np.int8)
        is_other = (now != before) & (now != 0) & ~has_jumped
        since_s = np.where(is_other, np.fmin(self._turned_s[:, rows], pts_s), np.nan)
        has_turned = is_other & ((before == 0) | (pts_s - since_s >= self._settle_s - ROUNDING_S))
        self._turned_s[:, rows] = np.where(has_turned, np.nan, since_s)
        self._distances[:, rows], self._places[:, rows], self.updated_s[rows] = distances, places, pts_s
        turned = jumped = np.zeros_like(now)
        if has_turned.any() or has_jumped.any():
            here = np.where(distances >= 0, 1, -1).astype(np.int8)
            after = np.where(has_jumped, here, np.where(has_turned, now, before))
            self.side[:, rows] = after
            turned = after * (has_turned & (before != 0) & self._is_within[:, rows])
            jumped = after * (has_jumped & (after != before))
        return Changes(rows, turned, jumped, since_s)

    def _rows(self, ids: List[int], places: Array, distances: Array, pts_s: float) -> Array:
        """The rows of tracks; new ones are added, where they are now."""
        new = [i for i, track_id in enumerate(ids) if track_id not in self._row_of]
        if new:
            first = len(self.updated_s)
            self._row_of.update((ids[i], first + k) for k, i in enumerate(new))
            areas, number = len(self.side), len(new)
            self.side = np.append(self.side, np.repeat(self._first, number, 1), 1)
            self._turned_s = np.append(self._turned_s, np.full((areas, number), np.nan), 1)
            self._distances = np.append(self._distances, distances[:, new], 1)
            is_zone = np.repeat(np.arange(areas) >= len(self._lines), number).reshape(areas, number)
            self._is_within = np.append(self._is_within, is_zone, 1)
            self._places = np.append(self._places, places[:, new], 1)
            self._speeds = np.append(self._speeds, np.full((len(self._kinds), number), np.nan), 1)
            self.updated_s = np.append(self.updated_s, np.full(number, pts_s))
        return np.array([self._row_of[track_id] for track_id in ids], int)

    def _step(self, rows: Array, places: Array, size: Array, pts_s: float) -> Array:
        """Update the speeds; return whether each anchor's step is farther than its motion explains, (K, M)."""
        elapsed = pts_s - self.updated_s[rows]
        step, speed = places - self._places[:, rows], self._speeds[:, rows]
        is_known = speed == speed
        off = np.abs(step - np.where(is_known, speed, 0) * elapsed)
        has_jumped: Array = off > size * (STEP + np.where(is_known, STEP_SPEED, FIRST_SPEED) * elapsed)
        measured = step / np.maximum(elapsed, 1e-6)
        share = np.where(is_known, 1 - np.exp(-elapsed / SPEED_S), 1.0)
        after = np.where(is_known, speed, 0) * (1 - share) + measured * share
        self._speeds[:, rows] = np.where(has_jumped | (elapsed <= 0), np.nan, after)
        return has_jumped

    def _cross(self, rows: Array, distances: Array, places: Array) -> None:
        """Note where tracks went over the straight line through each line, between its ends or beyond."""
        lines = len(self._lines)
        before = self._distances[:lines, rows]
        for area, k in np.argwhere((before >= 0) != (distances[:lines] >= 0)).tolist():
            kind, row = self._anchors[area], rows[k]
            share = before[area, k] / (before[area, k] - distances[area, k])
            begin, end = self._places[kind, row], places[kind, k]
            self._is_within[area, row] = self._lines[area].is_within(begin + share * (end - begin))

    def drop(self, stays: Array) -> None:
        """Forget the tracks that do not stay, (N,) bool."""
        place = np.cumsum(stays) - 1
        self._row_of = {track_id: int(place[row]) for track_id, row in self._row_of.items() if stays[row]}
        for name in ("side", "_turned_s", "_distances", "_is_within", "_places", "_speeds", "updated_s"):
            setattr(self, name, getattr(self, name)[..., stays])


def _points(places: Array) -> Array:
    """Places x + iy (N,) as (N, 2)."""
    return places.view(np.float64).reshape(-1, 2)
