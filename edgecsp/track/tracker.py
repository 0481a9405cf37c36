"""One stream's tracker: ByteTrack (Zhang et al., 2022), in seconds.

Detections of high score are given to tracks first, those of low score to the tracks that are left, as in the paper.
Different: times are presentation times, so that neither the frame rate nor a dropped frame matters; a pair's cost is
how likely the box is where the track's motion puts it (`motion`), not the overlap, which is nothing for a small object
at 5 fps; and a movement of the camera, which moves all boxes alike, is taken off first (`shift`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import Deque, Optional, Tuple

import numpy as np

from ..processing.nms import overlap, paired_overlap
from ..types import Array, Detections, Tracks
from ..types.tracks import TrackPlaces
from . import shift
from .assignment import assign, assign_pairs
from .motion import Motion, Pairs, mean_side

WORTH, LEAST_GAIN = 60.0, 1e-6  # what a pair may cost; one that costs more is possible still
OTHER_CLASS_IOU = 0.6  # a box of another class is the track's if it lies where the track is
GROWN, SAME_PLACE_IOU = 1.5, 0.2  # boxes are compared half as large again
OTHER_CLASS_COST = 20.0
REACH, REACH_S = 1.0, 0.5  # how far from where it is expected an object comes back: in sides, and sides a second unseen
DUPLICATE_IOU, OTHER_CLASS_DUPLICATE_IOU = 0.7, 0.75  # no track begins with a box that shares as much with a track's
LEFT_S = 0.5  # how long an object that is expected outside the image may be unseen
RESIZED = 2.0  # how much smaller or larger an object comes back at most
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
    """What is known of each of N tracks beside its motion; the tracks are the last axis."""

    ids: Array
    class_ids: Array
    last: Array  # the box that was detected last, (4, N) xywh
    updated_s: Array
    is_sure: Array

    def take(self, rows: Array) -> _Columns:
        return _Columns(*(getattr(self, each.name)[..., rows] for each in fields(self)))

    def join(self, other: _Columns) -> _Columns:
        return _Columns(*(np.concatenate((getattr(self, f.name), getattr(other, f.name)), -1) for f in fields(self)))


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
        self._motion = Motion.begin(np.zeros((4, 0)))
        self._columns = _Columns(
            nothing.astype(int), nothing.astype(int), np.zeros((4, 0)), nothing, nothing.astype(bool)
        )
        self._past: Deque[TrackPlaces] = deque()
        self._past_s: Deque[float] = deque()
        self._now_s: Optional[float] = None
        self._before_s = 0.0

    def update(self, boxes: Detections, pts_s: float, hw: Optional[Tuple[int, int]] = None) -> Tracks:
        """Track the detections of the next frame, at its presentation time in seconds.

        `hw` is the image's height and width: an object that left it is forgotten sooner than one that is hidden, so
        that what enters in its place is another one. The result has the boxes that belong to a track, as they were
        detected. A time that goes back, or on by more than `lost_s`, begins anew.
        """
        if self._now_s is not None and not 0 <= pts_s - self._now_s <= self.settings.lost_s:
            self._forget()
        is_first = self._now_s is None
        elapsed = 0.0 if self._now_s is None else pts_s - self._now_s
        self._now_s, self._before_s = pts_s, pts_s if self._now_s is None else self._now_s
        self._motion.predict(elapsed)

        centres = boxes.xywh
        xywh = centres.T.astype(np.float64, order="C")
        is_high = boxes.scores >= self.conf
        track_of = np.full(len(boxes), -1)
        self._pair(boxes, xywh, is_high, track_of, elapsed)
        turned = self._pair_by_place(boxes, xywh, track_of, is_high)
        self._correct(boxes, xywh, track_of)
        if len(turned):
            self._motion.restart(turned)
        self._begin(boxes, xywh, track_of, is_high, is_sure=is_first)
        self._drop(track_of, elapsed, hw)

        out = (track_of >= 0).nonzero()[0]
        out = out[self._columns.is_sure[track_of[out]]]
        if len(out) < len(boxes):
            boxes, centres, track_of = boxes[out], centres[out], track_of[out]
        ids = self._columns.ids[track_of]
        self._past.append(TrackPlaces(ids, centres[:, :2]))
        self._past_s.append(pts_s)
        while self._past_s[0] < pts_s - TRAIL_S:
            self._past.popleft()
            self._past_s.popleft()
        return Tracks.with_past(boxes, ids, tuple(self._past))

    def _pair(self, boxes: Detections, xywh: Array, is_high: Array, track_of: Array, elapsed: float) -> None:
        """Give boxes (4, M) to tracks by their motion; `track_of` (M,) gets their rows."""
        if not len(self._motion) or not len(boxes):
            return
        pairs = self._motion.near(xywh)
        moved = shift.find(self._motion.place, xywh[:, is_high], _of_boxes(pairs, is_high))
        if moved.any():
            self._motion.place[:2] += moved
            self._columns.last[:2] += moved
            pairs = self._motion.near(xywh)
        rows, columns = pairs.rows, pairs.columns
        gains = self._gains(boxes, xywh, pairs)
        is_possible, is_sure, is_strong = gains > 0, self._columns.is_sure[rows], is_high[columns]
        self._give(pairs, gains, is_possible & is_strong & is_sure, track_of)
        if (track_of >= 0).all():
            return
        is_recent = self._columns.updated_s >= self._before_s - self.settings.sure_s
        is_weak = ~is_strong & (boxes.scores >= self.low_conf)[columns]
        self._give(pairs, gains, is_possible & is_weak & is_sure & is_recent[rows], track_of)
        self._give(pairs, gains, is_possible & is_strong & ~is_sure, track_of)

    def _give(self, pairs: Pairs, gains: Array, is_open: Array, track_of: Array) -> None:
        """Give free boxes to free tracks, of the pairs that are open (P,)."""
        matched = (track_of >= 0).nonzero()[0]
        if len(matched):
            is_free = np.ones(len(self._motion), bool)
            is_free[track_of[matched]] = False
            is_open = is_open & is_free[pairs.rows] & (track_of[pairs.columns] < 0)
        rows, columns = assign_pairs(pairs.rows[is_open], pairs.columns[is_open], gains[is_open])
        track_of[columns] = rows

    def _gains(self, boxes: Detections, xywh: Array, pairs: Pairs) -> Array:
        """What each pair is worth (P,), 0 for those that are impossible."""
        side = mean_side(xywh)[pairs.columns]
        costs = self._motion.weigh(pairs, side)
        is_other = self._columns.class_ids[pairs.rows] != boxes.class_ids[pairs.columns]
        if is_other.any():
            rows, columns = pairs.rows[is_other], pairs.columns[is_other]
            shared = paired_overlap(_corners(self._motion.place[:, rows]), boxes.xyxy[columns])
            costs[is_other] += np.where(shared >= OTHER_CLASS_IOU, OTHER_CLASS_COST, np.inf)
        gains: Array = np.maximum(WORTH - costs, LEAST_GAIN)
        gains[np.isinf(costs)] = 0
        is_lost = self._columns.updated_s < self._before_s
        if is_lost.any():
            gains[is_lost[pairs.rows] & self._is_out_of_reach(pairs, side)] = 0
        return gains

    def _is_out_of_reach(self, pairs: Pairs, side: Array) -> Array:
        """Whether pairs of tracks that the last frame had not have boxes far away, or of another size: other objects.

        The deviations of an object that left the image grow until what enters elsewhere would be likely enough.
        """
        assert self._now_s is not None
        reach = REACH + REACH_S * (self._now_s - self._columns.updated_s[pairs.rows])
        ratio = side / mean_side(self._columns.last)[pairs.rows]
        is_out: Array = (np.abs(pairs.off[:2]) > reach * side).any(0) | (ratio > RESIZED) | (ratio < 1 / RESIZED)
        return is_out

    def _pair_by_place(self, boxes: Detections, xywh: Array, track_of: Array, is_high: Array) -> Array:
        """Give the boxes that are left to tracks that were seen where they are: their objects turned. Returns the rows.

        As OC-SORT (Cao et al., 2023) recovers tracks by their last observation.
        """
        candidates = (is_high & (track_of < 0)).nonzero()[0]
        if not len(candidates):
            return candidates
        is_free = np.ones(len(self._motion), bool)
        is_free[track_of[track_of >= 0]] = False
        rows = is_free.nonzero()[0]
        if not len(rows):
            return rows
        shared = overlap(_corners(self._columns.last[:, rows], GROWN), _corners(xywh[:, candidates], GROWN))
        is_alike = self._columns.class_ids[rows][:, None] == boxes.class_ids[candidates]
        at, to = assign(np.where(is_alike & (shared > SAME_PLACE_IOU), shared, 0.0))
        track_of[candidates[to]] = rows[at]
        turned: Array = rows[at]
        return turned

    def _correct(self, boxes: Detections, xywh: Array, track_of: Array) -> None:
        """Correct the tracks by their boxes; those that have been seen twice now get an id."""
        matched = (track_of >= 0).nonzero()[0]
        rows, detected = track_of[matched], xywh.take(matched, 1)
        self._motion.update(rows, detected, boxes.scores[matched])
        self._columns.last[:, rows] = detected
        self._columns.updated_s[rows] = self._now_s
        self._columns.class_ids[rows] = boxes.class_ids[matched]
        is_new = rows[~self._columns.is_sure[rows]]
        if len(is_new):
            self._columns.ids[np.sort(is_new)] = self._take_ids(len(is_new))
            self._columns.is_sure[is_new] = True

    def _begin(self, boxes: Detections, xywh: Array, track_of: Array, is_high: Array, *, is_sure: bool) -> None:
        """Begin tracks with boxes that are no other's, and none twice."""
        new = (is_high & (track_of < 0)).nonzero()[0]
        others = (track_of >= 0).nonzero()[0]
        if len(new) and len(others):
            is_alike = boxes.class_ids[new][:, None] == boxes.class_ids[others]
            most = np.where(is_alike, DUPLICATE_IOU, OTHER_CLASS_DUPLICATE_IOU)
            new = new[(overlap(boxes.xyxy[new], boxes.xyxy[others]) <= most).all(1)]
        if not len(new):
            return
        count, number = len(self._motion), len(new)
        track_of[new] = np.arange(count, count + number)
        self._motion = self._motion.join(Motion.begin(xywh[:, new]))
        ids = self._take_ids(number) if is_sure else np.zeros(number, int)
        times, sure = np.full(number, self._now_s, float), np.full(number, is_sure)
        self._columns = self._columns.join(_Columns(ids, boxes.class_ids[new], xywh[:, new], times, sure))

    def _take_ids(self, count: int) -> Array:
        self._next_id += count
        return np.arange(self._next_id - count, self._next_id)

    def _drop(self, track_of: Array, elapsed: float, hw: Optional[Tuple[int, int]]) -> None:
        """Forget tracks that were not seen for too long."""
        assert self._now_s is not None
        if (self._columns.updated_s == self._now_s).all():
            return
        unseen = self._now_s - self._columns.updated_s
        # A new object has until the next frame, however far that is, and not much longer.
        limit = np.where(self._columns.is_sure, self.settings.lost_s, max(self.settings.sure_s, elapsed))
        if hw is not None:
            has_left = self._motion.is_outside(hw)
            limit[has_left] = np.minimum(limit[has_left], max(LEFT_S, elapsed))
        stays = unseen <= limit
        if stays.all():
            return
        place = np.cumsum(stays) - 1
        is_given = track_of >= 0
        track_of[is_given] = place[track_of[is_given]]
        self._motion, self._columns = self._motion.take(stays), self._columns.take(stays)


def _of_boxes(pairs: Pairs, is_taken: Array) -> Pairs:
    """The pairs with some of the boxes, which are counted anew."""
    if is_taken.all():
        return pairs
    stays = is_taken[pairs.columns]
    place = np.cumsum(is_taken) - 1
    return Pairs(pairs.rows[stays], place[pairs.columns[stays]], pairs.off[:, stays])


def _corners(xywh: Array, scale: float = 1.0) -> Array:
    """Boxes (4, N) xywh, grown, as (N, 4) xyxy."""
    half = xywh[2:] * (scale / 2)
    corners: Array = np.concatenate((xywh[:2] - half, xywh[:2] + half)).T
    return corners
