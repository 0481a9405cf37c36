"""One stream's tracker: ByteTrack (Zhang et al., 2022), in seconds.

Detections of high score are given to tracks first, those of low score to the tracks that are left, as in the paper.
Different: times are presentation times, so that neither the frame rate nor a dropped frame matters; a pair's cost is
how likely the box is where the track's motion puts it (`motion`), not the overlap, which is nothing for a small object
at 5 fps; and a movement of the camera, which moves all boxes alike, is taken off first (`shift`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import Deque, List, Optional, Tuple

import numpy as np

from ..processing.nms import overlap
from ..types import Array, Detections, Tracks
from ..types.tracks import Trail
from . import shift
from .assignment import assign
from .motion import Motion, mean_side

GATE = 25.0  # squared Mahalanobis distance in 4 dimensions; 1 true pair in 20,000 is farther
WORTH = 60.0  # what a pair may cost
OTHER_CLASS_IOU = 0.6  # a box of another class is the track's if it lies where the track is
GROWN, SAME_PLACE_IOU = 1.5, 0.2  # boxes are compared half as large again
OTHER_CLASS_COST = 20.0
REACH, REACH_S = 1.0, 0.5  # how far from where it is expected an object comes back: in sides, and sides a second unseen
DUPLICATE_IOU, OTHER_CLASS_DUPLICATE_IOU = 0.7, 0.75  # no track begins with a box that shares as much with a track's
TRAIL_S = 2.0


@dataclass(frozen=True)
class TrackSettings:
    """Settings of a tracker.

    `lost_s`: seconds for which an object may be unseen and keep its id. `low`: the share of the confidence threshold
    that a box needs to continue a track. `sure_s`: seconds within which a new object must be seen again to get an id.
    """

    lost_s: float = 2.0
    low: float = 0.4
    sure_s: float = 0.5


@dataclass
class _Columns:
    """What is known of each track beside its motion, (N,) each."""

    ids: Array
    class_ids: Array
    last: Array  # the box that was detected last, (N, 4) xywh
    updated_s: Array
    is_sure: Array

    def take(self, rows: Array) -> _Columns:
        return _Columns(*(getattr(self, each.name)[rows] for each in fields(self)))

    def join(self, other: _Columns) -> _Columns:
        return _Columns(*(np.concatenate((getattr(self, f.name), getattr(other, f.name))) for f in fields(self)))


class Tracker:
    """Gives the detections of one stream's frames, in their order, the ids of their tracks.

    `conf` is the score from which a box begins a track; boxes down to `settings.low` of it continue one, so the
    detections should have them (`low_conf`).

    >>> tracker = Tracker(0.25)
    >>> box = Detections(np.float32([(10, 10, 30, 30)]), np.float32([0.9]), np.int32([0]))
    >>> [tracker.update(box, seconds).track_ids.tolist() for seconds in (0.0, 0.1, 0.5)]
    [[1], [1], [1]]
    """

    def __init__(self, conf: float, settings: Optional[TrackSettings] = None) -> None:
        self.conf = conf
        self.settings = settings or TrackSettings()
        self._next_id = 1
        self._forget()

    @property
    def low_conf(self) -> float:
        """The score from which a box may continue a track."""
        return self.conf * self.settings.low

    def restart(self) -> None:
        """Forget all tracks, because the stream was interrupted; ids go on."""
        self._forget()

    def _forget(self) -> None:
        nothing = np.zeros(0)
        self._motion = Motion.begin(np.zeros((0, 4)))
        self._columns = _Columns(
            nothing.astype(int), nothing.astype(int), np.zeros((0, 4)), nothing, nothing.astype(bool)
        )
        self._trails: List[Tuple[Deque[float], Deque[Tuple[float, float]]]] = []
        self._now_s: Optional[float] = None
        self._before_s = 0.0

    def update(self, boxes: Detections, pts_s: float) -> Tracks:
        """Track the detections of the next frame, at its presentation time in seconds.

        The result has the boxes that belong to a track, as they were detected. A time that goes back, or on by more
        than `lost_s`, begins anew.
        """
        if self._now_s is not None and not 0 <= pts_s - self._now_s <= self.settings.lost_s:
            self._forget()
        is_first = self._now_s is None
        elapsed = 0.0 if self._now_s is None else pts_s - self._now_s
        self._now_s, self._before_s = pts_s, pts_s if self._now_s is None else self._now_s
        self._motion.predict(elapsed)

        xywh = boxes.xywh.astype(np.float64)
        is_high = boxes.scores >= self.conf
        moved = shift.find(self._motion.place, xywh[is_high])
        self._motion.place[:, :2] += moved
        self._columns.last[:, :2] += moved
        track_of = np.full(len(boxes), -1)
        self._pair(boxes, xywh, track_of, np.flatnonzero(is_high), self._columns.is_sure)
        recent = self._columns.is_sure & (self._columns.updated_s >= pts_s - elapsed - self.settings.sure_s)
        self._pair(boxes, xywh, track_of, np.flatnonzero(~is_high & (boxes.scores >= self.low_conf)), recent)
        self._pair(boxes, xywh, track_of, np.flatnonzero(is_high), ~self._columns.is_sure)
        turned = self._pair_by_place(boxes, xywh, track_of, np.flatnonzero(is_high))

        matched = np.flatnonzero(track_of >= 0)
        rows = track_of[matched]
        self._motion.update(rows, xywh[matched], boxes.scores[matched])
        if len(turned):
            self._motion.restart(turned)
        self._columns.last[rows] = xywh[matched]
        self._columns.updated_s[rows] = pts_s
        self._columns.class_ids[rows] = boxes.class_ids[matched]
        is_new = rows[~self._columns.is_sure[rows]]
        if len(is_new):
            self._columns.ids[np.sort(is_new)] = self._take_ids(len(is_new))
            self._columns.is_sure[is_new] = True
        self._begin(boxes, xywh, track_of, np.flatnonzero(is_high & (track_of < 0)), is_sure=is_first)
        self._drop(track_of, elapsed)

        rows_out = np.flatnonzero(track_of >= 0)
        rows_out = rows_out[self._columns.is_sure[track_of[rows_out]]]
        rows = track_of[rows_out]
        trails = [self._extend_trail(row, (x, y)) for row, (x, y) in zip(rows.tolist(), xywh[rows_out, :2].tolist())]
        return Tracks.of(boxes if len(rows_out) == len(boxes) else boxes[rows_out], self._columns.ids[rows], trails)

    def _pair(self, boxes: Detections, xywh: Array, track_of: Array, candidates: Array, is_open: Array) -> None:
        """Give free boxes to free tracks that are open for them; `track_of` (M,) gets their rows."""
        candidates = candidates[track_of[candidates] < 0]
        if not len(candidates):
            return
        is_free = is_open.copy()
        is_free[track_of[track_of >= 0]] = False
        rows = np.flatnonzero(is_free)
        if not len(rows):
            return
        motion = self._motion if len(rows) == len(self._motion) else self._motion.take(rows)
        distances = motion.distances(xywh[candidates])
        is_possible = distances < GATE
        self._limit_reach(motion, self._columns.updated_s[rows], xywh[candidates], is_possible)
        is_other = self._columns.class_ids[rows][:, None] != boxes.class_ids[candidates]
        if is_other.any():
            is_possible &= ~is_other | (overlap(_corners(motion.place), boxes.xyxy[candidates]) >= OTHER_CLASS_IOU)
        at, to = np.nonzero(is_possible)
        costs = motion.costs(at, xywh[candidates[to]], distances[at, to]) + OTHER_CLASS_COST * is_other[at, to]
        gain = np.zeros(distances.shape)
        gain[at, to] = np.maximum(WORTH - costs, 1e-6)
        at, to = assign(gain)
        track_of[candidates[to]] = rows[at]

    def _limit_reach(self, motion: Motion, updated_s: Array, xywh: Array, is_possible: Array) -> None:
        """Clear pairs of tracks that the last frame had not with boxes that are far away: those are other objects.

        The deviations of an object that left the image grow until what enters elsewhere would be likely enough.
        """
        lost = np.flatnonzero(updated_s < self._before_s)
        if len(lost):
            x, y = (np.abs(xywh[:, k] - motion.place[lost, k, None]) for k in (0, 1))
            reach = REACH + REACH_S * (self._now_s - updated_s[lost, None])
            is_possible[lost] &= np.maximum(x, y) <= reach * mean_side(xywh)[:, 0]

    def _pair_by_place(self, boxes: Detections, xywh: Array, track_of: Array, candidates: Array) -> Array:
        """Give the boxes that are left to tracks that were seen where they are: their objects turned. Returns the rows.

        As OC-SORT (Cao et al., 2023) recovers tracks by their last observation.
        """
        candidates = candidates[track_of[candidates] < 0]
        if not len(candidates):
            return candidates
        is_free = np.ones(len(self._motion), bool)
        is_free[track_of[track_of >= 0]] = False
        rows = np.flatnonzero(is_free)
        if not len(rows):
            return rows
        shared = overlap(_corners(self._columns.last[rows], GROWN), _corners(xywh[candidates], GROWN))
        is_alike = self._columns.class_ids[rows][:, None] == boxes.class_ids[candidates]
        at, to = assign(np.where(is_alike & (shared > SAME_PLACE_IOU), shared, 0.0))
        track_of[candidates[to]] = rows[at]
        turned: Array = rows[at]
        return turned

    def _begin(self, boxes: Detections, xywh: Array, track_of: Array, new: Array, *, is_sure: bool) -> None:
        """Begin tracks with boxes that are no other's, and none twice."""
        others = np.flatnonzero(track_of >= 0)
        if len(new) and len(others):
            is_alike = boxes.class_ids[new][:, None] == boxes.class_ids[others]
            most = np.where(is_alike, DUPLICATE_IOU, OTHER_CLASS_DUPLICATE_IOU)
            new = new[(overlap(boxes.xyxy[new], boxes.xyxy[others]) <= most).all(1)]
        if not len(new):
            return
        count, number = len(self._motion), len(new)
        track_of[new] = np.arange(count, count + number)
        self._motion = self._motion.join(Motion.begin(xywh[new]))
        ids = self._take_ids(number) if is_sure else np.zeros(number, int)
        times, sure = np.full(number, self._now_s, float), np.full(number, is_sure)
        self._columns = self._columns.join(_Columns(ids, boxes.class_ids[new], xywh[new], times, sure))
        self._trails.extend((deque(), deque()) for _ in new)

    def _extend_trail(self, row: int, centre: Tuple[float, float]) -> Trail:
        assert self._now_s is not None
        times, points = self._trails[row]
        times.append(self._now_s)
        points.append(centre)
        while times[0] < self._now_s - TRAIL_S:
            times.popleft()
            points.popleft()
        return tuple(points)

    def _take_ids(self, count: int) -> Array:
        self._next_id += count
        return np.arange(self._next_id - count, self._next_id)

    def _drop(self, track_of: Array, elapsed: float) -> None:
        """Forget tracks that were not seen for too long."""
        assert self._now_s is not None
        unseen = self._now_s - self._columns.updated_s
        # A new object has until the next frame, however far that is, and not much longer.
        limit = np.where(self._columns.is_sure, self.settings.lost_s, max(self.settings.sure_s, elapsed))
        stays = unseen <= limit
        if stays.all():
            return
        place = np.cumsum(stays) - 1
        is_given = track_of >= 0
        track_of[is_given] = place[track_of[is_given]]
        self._motion, self._columns = self._motion.take(stays), self._columns.take(stays)
        self._trails = [trail for trail, stay in zip(self._trails, stays.tolist()) if stay]


def _corners(xywh: Array, scale: float = 1.0) -> Array:
    half = xywh[:, 2:] * (scale / 2)
    return np.concatenate((xywh[:, :2] - half, xywh[:, :2] + half), 1)
