"""Counts of lines and zones, one object and one frame at a time, without numpy: slow, and written from the rules alone.

The rules, for one area and one object: it is on a side while its anchor is farther from the line (the zone's edge) than
0.15 of its mean side, but no farther than the area's own limit asks. It changes side at a box that is beyond, when all
boxes since `settle_s` were. A line counts where the last way over the straight line was between its ends. A step longer
than 0.5 sides and 2 a second from where the averaged speed leads (8 a second while there is no speed) puts it on the
side where it is, uncounted. An object that was not there for 2.5 s is gone, and has left its zones.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

Point = Tuple[float, float]
Box = Tuple[float, float, float, float]
Row = Tuple[int, Box, int]  # track id, box, class id


def side_of_line(line: Sequence[Point], point: Point) -> float:
    (ax, ay), (bx, by) = line
    return ((bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax)) / math.hypot(bx - ax, by - ay)


def side_of_zone(zone: Sequence[Point], point: Point, wh: Tuple[int, int]) -> float:
    x, y = (min(max(v, 0.5), limit - 0.5) for v, limit in zip(point, wh))
    winding, nearest = 0.0, math.inf
    for (ax, ay), (bx, by) in zip(zone, [*zone[1:], zone[0]]):
        turn = math.atan2(by - y, bx - x) - math.atan2(ay - y, ax - x)
        winding += math.remainder(turn, 2 * math.pi)
        pairs = ((ax, bx, wh[0]), (ay, by, wh[1]))
        if any(max(a, b) <= 1 or min(a, b) >= limit - 1 for a, b, limit in pairs):
            continue
        along = max(0.0, min(1.0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)))
        nearest = min(nearest, math.dist((x, y), (ax + along * (bx - ax), ay + along * (by - ay))))
    return nearest if abs(winding) > math.pi else -nearest


def line_limit(line: Sequence[Point], wh: Tuple[int, int]) -> float:
    corners = [side_of_line(line, corner) for corner in ((0, 0), (wh[0], 0), (0, wh[1]), wh)]
    return max(0.0, min(max(corners), -min(corners))) / 4


def zone_limit(zone: Sequence[Point]) -> float:
    pairs = list(zip(zone, [*zone[1:], zone[0]]))
    area = abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2
    return area / sum(math.dist(a, b) for a, b in pairs) / 2


class Walker:
    """One object before one area."""

    def __init__(self, is_zone: bool) -> None:
        self.side = -1 if is_zone else 0
        self.beyond: Optional[float] = None
        self.place: Optional[Point] = None
        self.speed: Optional[Point] = None
        self.raw = 0.0
        self.time = 0.0
        self.is_within = is_zone

    def step(self, area: Any, points: Sequence[Point], wh: Tuple[int, int], box: Box, time: float) -> str:
        """Return "" or "turn" or "jump"."""
        x0, y0, x1, y1 = box
        size = math.sqrt(max((x1 - x0) * (y1 - y0), 1.0))
        place = ((x0 + x1) / 2, y1 if area.anchor == "bottom" else (y0 + y1) / 2)
        is_line = len(points) == 2
        raw = side_of_line(points, place) if is_line else side_of_zone(points, place, wh)
        margin = min(0.15 * size, line_limit(points, wh) if is_line else zone_limit(points))
        jumped = False
        if self.place is not None:
            elapsed = time - self.time
            dx, dy = place[0] - self.place[0], place[1] - self.place[1]
            vx, vy = self.speed or (0.0, 0.0)
            off = math.hypot(dx - vx * elapsed, dy - vy * elapsed)
            jumped = off > size * (0.5 + (2 if self.speed else 8) * elapsed)
            if jumped:
                self.speed = None
            elif self.speed is None:
                self.speed = (dx / elapsed, dy / elapsed)
            else:
                k = 1 - math.exp(-elapsed / 0.2)
                self.speed = (vx + k * (dx / elapsed - vx), vy + k * (dy / elapsed - vy))
            if is_line and (raw >= 0) != (self.raw >= 0):
                (ax, ay), (bx, by) = points
                f = self.raw / (self.raw - raw)
                x, y = self.place[0] + f * dx, self.place[1] + f * dy
                self.is_within = 0 <= (x - ax) * (bx - ax) + (y - ay) * (by - ay) <= (bx - ax) ** 2 + (by - ay) ** 2
        self.place, self.raw, self.time = place, raw, time
        where = 0 if abs(raw) <= margin else int(math.copysign(1, raw))
        before = self.side
        if jumped:
            self.side, self.beyond = (1 if raw >= 0 else -1), None
            return "jump"
        if where in (0, self.side):
            self.beyond = None
        elif self.side == 0:
            self.side = where
        else:
            self.beyond = time if self.beyond is None else self.beyond
            if time - self.beyond >= area.settle_s - 0.001:
                self.side, self.beyond = where, None
        return "turn" if before and self.side != before and self.is_within else ""


class Oracle:
    """The counts of lines and zones, as `AreaCounter.counts` gives them, without the times."""

    def __init__(self, lines: Sequence[Any], zones: Sequence[Any], names: Sequence[str], wh: Tuple[int, int]) -> None:
        self.areas, self.names, self.wh = [*lines, *zones], names, wh
        self.points = [area.to_pixels(wh) for area in self.areas]
        self.walkers: Dict[Tuple[str, int], Walker] = {}
        self.classes: Dict[int, List[int]] = {}
        self.last: Dict[int, float] = {}
        self.inside: Dict[Tuple[str, int], str] = {}
        self.tallies: Dict[Tuple[str, str, str], int] = {}

    def add(self, area: str, what: str, label: str) -> None:
        self.tallies[area, what, label] = self.tallies.get((area, what, label), 0) + 1

    def update(self, rows: Sequence[Row], time: float) -> None:
        for track_id, _, class_id in rows:
            self.last[track_id] = time
            self.classes.setdefault(track_id, []).append(class_id)
        for area, points in zip(self.areas, self.points):
            is_zone = len(points) > 2
            for track_id, box, _ in rows:
                walker = self.walkers.setdefault((area.name, track_id), Walker(is_zone))
                what = walker.step(area, points, self.wh, box, time)
                ids = self.classes[track_id]
                label = self.names[min(set(ids), key=lambda i: (-ids.count(i), i))]
                is_counted = area.classes is None or label in area.classes
                if not is_zone:
                    if what == "turn" and is_counted:
                        self.add(area.name, "in" if walker.side > 0 else "out", label)
                    continue
                key = area.name, track_id
                if walker.side > 0 and key not in self.inside and is_counted:
                    self.inside[key] = label
                    if what != "jump":
                        self.add(area.name, "entered", label)
                elif walker.side < 0 and key in self.inside:
                    gone = self.inside.pop(key)
                    if what != "jump":
                        self.add(area.name, "left", gone)
        for track_id in [each for each, last in self.last.items() if time - last > 2.5]:
            del self.last[track_id], self.classes[track_id]
            for area in self.areas:
                self.walkers.pop((area.name, track_id), None)
                if (area.name, track_id) in self.inside:
                    self.add(area.name, "left", self.inside.pop((area.name, track_id)))

    def counts(self, area: str, what: str) -> Dict[str, int]:
        if what == "inside":
            labels = [label for (name, _), label in self.inside.items() if name == area]
            return {label: labels.count(label) for label in labels}
        return {label: n for (name, kind, label), n in self.tallies.items() if (name, kind) == (area, what)}
