"""Counts of the objects that cross lines and are in zones, and the events that this gives.

`sides` has the hysteresis. Times are presentation times in seconds; an object's class is the one of most of its boxes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, DefaultDict, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..types import Array, CountedArea, Detections, Tracks
from .areas import Line, Zone, require_unique
from .events import Event
from .sides import ROUNDING_S, Changes, Sides

FORGET_S = 2.5  # longer than a tracker remembers an object that it does not see (`TrackSettings.lost_s`)


class _ZoneCounts:
    """Counts of one zone by label."""

    def __init__(self) -> None:
        self.entered: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.time_s: DefaultDict[str, float] = defaultdict(float)  # of those that have left
        self.most = 0
        self.is_exceeded = False


class AreaCounter:
    """Counts for the lines and zones of one stream: `update` it with the tracks of each frame.

    Raises `UsageError` where two lines or zones share a name.

    >>> counter = AreaCounter([Line("door", [(0, 50), (100, 50)])], [])
    >>> for frame in range(20):
    ...     xyxy = np.float32([(40, 4 * frame, 60, 4 * frame + 20)])
    ...     box = Detections(xyxy, np.float32([1]), np.int32([0]), ("cat",))
    ...     for event in counter.update(Tracks.of(box, np.array([7])), frame / 10, (100, 100)):
    ...         print(event.kind, event.direction, event.label, event.track_id, event.pts_s)
    cross in cat 7 1.1
    >>> counter.counts()["lines"]
    {'door': {'in': {'cat': 1}, 'out': {}}}
    """

    def __init__(self, lines: Sequence[Line], zones: Sequence[Zone], stream: str = "") -> None:
        require_unique([*lines, *zones])
        self.lines, self.zones, self.stream = tuple(lines), tuple(zones), stream
        self._crossed: List[Dict[str, Counter[str]]] = [{"in": Counter(), "out": Counter()} for _ in lines]
        self._zone_counts = [_ZoneCounts() for _ in zones]
        self._names: Tuple[str, ...] = ()
        self._wh = (1, 1)
        self._now_s = 0.0
        self._forget()

    def _forget(self) -> None:
        self._sides = Sides(self.lines, self.zones, self._wh)
        self._quiet_until: Dict[Tuple[str, str], float] = {}
        # The last axis is the tracks', as in `Sides`.
        self._ids = np.zeros(0, int)
        self._votes = np.zeros((1, 0), int)  # by class
        self._xyxy = np.zeros((4, 0), np.float32)
        self._is_member = np.zeros((len(self.zones), 0), bool)  # in the zone, and of its classes
        self._member_class = np.zeros((len(self.zones), 0), int)
        self._since_s = np.zeros((len(self.zones), 0))
        self._has_dwelt = np.zeros((len(self.zones), 0), bool)

    def skip(self) -> None:
        """Forget the objects, because the stream was interrupted; what was counted stays."""
        for z, counts in enumerate(self._zone_counts):
            for row in np.flatnonzero(self._is_member[z]).tolist():
                counts.time_s[self._label(self._member_class[z, row])] += self._stayed_s(z, row)
            counts.is_exceeded = False
        self._forget()

    def take_over(self, earlier: AreaCounter) -> None:
        """Go on with what another counter counted for lines and zones that are the same."""
        for area, line in enumerate(self.lines):
            if line in earlier.lines:
                self._crossed[area] = earlier._crossed[earlier.lines.index(line)]
        for z, zone in enumerate(self.zones):
            if zone in earlier.zones:
                self._zone_counts[z] = earlier._zone_counts[earlier.zones.index(zone)]

    # -- counting --------------------------------------------------------------------------------------------------

    def update(self, tracks: Tracks, pts_s: float, wh: Tuple[int, int]) -> List[Event]:
        """Count the next frame, of this width and height in pixels; return what happened.

        A time that goes back, and an image of another size, begin anew with the objects (`skip`).
        """
        if wh != self._wh or pts_s < self._now_s:
            self._wh = wh
            self.skip()
        self._now_s, self._names = pts_s, tracks.names
        changes = self._sides.update(tracks.track_ids, tracks.xyxy, pts_s)
        self._note(changes.rows, tracks)
        events = [*self._count_lines(changes), *self._count_zones(changes), *self._drop(), *self._count_inside()]
        return [event for event in events if self._is_due(event)]

    def _note(self, rows: Array, tracks: Tracks) -> None:
        """Keep what the tracks are and where."""
        more = len(self._sides.updated_s) - len(self._ids)
        if more:
            for name in _COLUMNS:
                column = getattr(self, name)
                setattr(self, name, np.append(column, np.zeros((*column.shape[:-1], more), column.dtype), -1))
        classes = int(tracks.class_ids.max(initial=0)) + 1
        if classes > len(self._votes):
            self._votes = np.append(self._votes, np.zeros((classes - len(self._votes), len(self._ids)), int), 0)
        self._ids[rows], self._xyxy[:, rows] = tracks.track_ids, tracks.xyxy.T
        self._votes[tracks.class_ids, rows] += 1

    def _count_lines(self, changes: Changes) -> Iterator[Event]:
        for area, k in np.argwhere(changes.turned[: len(self.lines)]).tolist():
            line, row = self.lines[area], int(changes.rows[k])
            class_id = self._class_id(row)
            if _counts(line, self._label(class_id)):
                direction = "in" if changes.turned[area, k] > 0 else "out"
                self._crossed[area][direction][self._label(class_id)] += 1
                yield self._event("cross", line, row, class_id, direction=direction)

    def _count_zones(self, changes: Changes) -> Iterator[Event]:
        for z, zone in enumerate(self.zones):
            area = len(self.lines) + z
            is_inside, is_member = self._sides.side[area, changes.rows] > 0, self._is_member[z, changes.rows]
            for k in np.flatnonzero(is_inside != is_member).tolist():
                is_silent = bool(changes.jumped[area, k])
                if is_member[k]:
                    yield from self._leave(z, int(changes.rows[k]), is_silent=is_silent)
                else:
                    yield from self._enter(z, int(changes.rows[k]), changes.since_s[area, k], is_silent=is_silent)
            if zone.dwell_s is not None:
                yield from self._dwell(z, zone.dwell_s)

    def _enter(self, z: int, row: int, since_s: float, *, is_silent: bool) -> Iterator[Event]:
        class_id = self._class_id(row)
        label = self._label(class_id)
        if not _counts(self.zones[z], label):
            return
        self._is_member[z, row], self._has_dwelt[z, row] = True, False
        self._since_s[z, row] = self._now_s if np.isnan(since_s) else since_s
        self._member_class[z, row] = class_id
        if not is_silent:
            self._zone_counts[z].entered[label] += 1
            yield self._event("enter", self.zones[z], row, class_id)

    def _leave(self, z: int, row: int, *, is_silent: bool = False) -> Iterator[Event]:
        class_id, seconds = int(self._member_class[z, row]), self._stayed_s(z, row)
        self._is_member[z, row] = False
        self._zone_counts[z].time_s[self._label(class_id)] += seconds
        if not is_silent:
            self._zone_counts[z].left[self._label(class_id)] += 1
            yield self._event("leave", self.zones[z], row, class_id, value=seconds)

    def _dwell(self, z: int, dwell_s: float) -> Iterator[Event]:
        seconds = self._sides.updated_s - self._since_s[z]
        is_due = self._is_member[z] & ~self._has_dwelt[z] & (seconds >= dwell_s - ROUNDING_S)
        for row in np.flatnonzero(is_due).tolist():
            self._has_dwelt[z, row] = True
            class_id = int(self._member_class[z, row])
            yield self._event("dwell", self.zones[z], row, class_id, value=float(seconds[row]))

    def _drop(self) -> Iterator[Event]:
        """Forget objects that are gone: those in a zone have left it when they were last there."""
        stays = self._now_s - self._sides.updated_s <= FORGET_S
        if stays.all():
            return
        for z, row in np.argwhere(self._is_member & ~stays).tolist():
            yield from self._leave(z, row)
        self._sides.drop(stays)
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name)[..., stays])

    def _count_inside(self) -> Iterator[Event]:
        for zone, counts, inside in zip(self.zones, self._zone_counts, self._is_member.sum(1).tolist()):
            counts.most = max(counts.most, inside)
            is_above = zone.max_count is not None and inside > zone.max_count
            if is_above and not counts.is_exceeded and not self._is_quiet(zone.name, "count"):
                counts.is_exceeded = True
                yield Event("count", zone.name, self.stream, self._now_s, value=inside)
            counts.is_exceeded &= is_above

    # -- events ----------------------------------------------------------------------------------------------------

    def _event(
        self,
        kind: str,
        area: Union[Line, Zone],
        row: int,
        class_id: int,
        *,
        direction: Optional[str] = None,
        value: Optional[float] = None,
    ) -> Event:
        x0, y0, x1, y1 = self._xyxy[:, row].tolist()
        return Event(
            kind, area.name, self.stream, self._now_s, self._label(class_id), class_id, int(self._ids[row]),
            (x0, y0, x1, y1), direction, value,
        )  # fmt: skip

    def _is_quiet(self, area: str, kind: str) -> bool:
        return self._now_s < self._quiet_until.get((area, kind), self._now_s)

    def _is_due(self, event: Event) -> bool:
        """Whether no other of this kind was emitted for the area's `cooldown_s`; then it is quiet from now on."""
        if self._is_quiet(event.area, event.kind):
            return False
        cooldown_s = next(each.cooldown_s for each in (*self.lines, *self.zones) if each.name == event.area)
        self._quiet_until[event.area, event.kind] = self._now_s + cooldown_s
        return True

    def _stayed_s(self, z: int, row: int) -> float:
        return float(self._sides.updated_s[row] - self._since_s[z, row])

    def _class_id(self, row: int) -> int:
        return int(self._votes[:, row].argmax())

    def _label(self, class_id: int) -> str:
        return Detections.empty(self._names).name_of(int(class_id))

    # -- what was counted ------------------------------------------------------------------------------------------

    def counts(self) -> Dict[str, Any]:
        """Return the counts by label, for JSON.

        {"lines": {NAME: {"in", "out"}}, "zones": {NAME: {"inside", "entered", "left", "time_s", "most"}}}: `time_s` are
        the seconds that objects were inside, summed, `most` is the number of objects that were inside at once at most.
        """
        lines = {
            line.name: {way: dict(n) for way, n in crossed.items()} for line, crossed in zip(self.lines, self._crossed)
        }
        return {"lines": lines, "zones": {zone.name: self._zone(z) for z, zone in enumerate(self.zones)}}

    def areas(self) -> List[CountedArea]:
        """Return the lines and zones with their counts, in pixels of the last frame."""
        counts = self.counts()
        names = {**counts["lines"], **counts["zones"]}
        return [
            CountedArea(each.name, each.to_pixels(self._wh), names[each.name]) for each in (*self.lines, *self.zones)
        ]

    def _zone(self, z: int) -> Dict[str, Any]:
        counts = self._zone_counts[z]
        inside: Counter[str] = Counter()
        time_s = counts.time_s.copy()
        for row in np.flatnonzero(self._is_member[z]).tolist():
            label = self._label(self._member_class[z, row])
            inside[label] += 1
            time_s[label] += self._stayed_s(z, row)
        return {
            "inside": dict(inside),
            "entered": dict(counts.entered),
            "left": dict(counts.left),
            "time_s": {label: round(seconds, 3) for label, seconds in time_s.items()},
            "most": counts.most,
        }


_COLUMNS = ("_ids", "_votes", "_xyxy", "_is_member", "_member_class", "_since_s", "_has_dwelt")


def _counts(area: Union[Line, Zone], label: str) -> bool:
    return area.classes is None or label in area.classes
