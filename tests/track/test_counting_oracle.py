"""Counts of 1,000 random trajectories with noise, swapped ids and gaps: equal to a slow oracle's, and to the truth."""

from __future__ import annotations

import itertools
from typing import Any, List, NamedTuple, Tuple

import numpy as np
import pytest

from edgecsp.track import AreaCounter, Line, Zone
from edgecsp.types import Detections, Tracks
from support.counting_oracle import Oracle

NAMES = ("car", "van")
WH = (640, 480)
LINES = [
    Line("across", [(0, 0.5), (1, 0.45)]),
    Line("short", [(200, 400), (260, 80)], anchor="center", classes=("van",), settle_s=0.0),
]
ZONES = [
    Zone("corner", [(0, 0.6), (0.4, 0.7), (0.5, 1), (0, 1)]),
    Zone("star", [(320, 60), (600, 100), (420, 200), (580, 400), (300, 260)], anchor="center", classes=("car",)),
]
TRACKS, SCENES = 25, 40


def tracks(ids: List[int], xyxy: Any, class_ids: Any = None) -> Tracks:
    n = len(ids)
    classes = np.zeros(n, np.int32) if class_ids is None else np.asarray(class_ids, np.int32)
    boxes = Detections(np.asarray(xyxy, np.float32).reshape(n, 4), np.ones(n, np.float32), classes, NAMES)
    return Tracks.of(boxes, np.array(ids, int))


def walk(rng: np.random.Generator, times: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Centres (N, T, 2) and sizes (N, 2) of objects that wander over the image, some fast."""
    wh = rng.uniform(20, 90, (TRACKS, 2))
    pace = rng.uniform(10, 200, (TRACKS, 1, 1))
    turns = rng.normal(0, 1, (TRACKS, len(times), 2)).cumsum(1) * 0.3 + rng.normal(0, 1, (TRACKS, 1, 2))
    steps = pace * np.cos(turns) * np.diff(times, prepend=0)[None, :, None]
    place = rng.uniform(0, WH, (TRACKS, 1, 2)) + steps.cumsum(1)
    limit = np.array(WH, float)
    return np.abs((place + limit) % (2 * limit) - limit), wh  # turned back at the borders


@pytest.mark.parametrize("part", range(2))
def test_counts_of_random_trajectories_equal_a_slow_oracle(part: int) -> None:
    total = 0
    for scene in range(part * SCENES // 2, (part + 1) * SCENES // 2):
        rng = np.random.default_rng(scene)
        fps = rng.choice([5, 8, 12])
        times = np.arange(4 * fps) / fps
        times = times[rng.random(len(times)) > 0.1]  # frames that were dropped
        place, wh = walk(rng, times)
        ids = np.arange(1, TRACKS + 1)
        gone = np.zeros(TRACKS)  # until when each is hidden
        counter, oracle = AreaCounter(LINES, ZONES), Oracle(LINES, ZONES, NAMES, WH)
        for k, time in enumerate(times.tolist()):
            if rng.random() < 0.02:
                a, b = rng.choice(TRACKS, 2, replace=False)
                ids[[a, b]] = ids[[b, a]]
            gone = np.where(rng.random(TRACKS) < 0.01, time + rng.uniform(0, 3.5, TRACKS), gone)
            seen = np.flatnonzero(gone <= time)
            noise = rng.normal(0, 0.04, (TRACKS, 4)) * np.sqrt(wh.prod(1))[:, None]
            xyxy = np.concatenate((place[:, k] - wh / 2, place[:, k] + wh / 2), 1) + noise
            classes = np.where(rng.random(TRACKS) < 0.2, 1, np.arange(TRACKS) % 2)
            now = tracks(ids[seen].tolist(), xyxy[seen], classes[seen])
            counter.update(now, time, WH)
            oracle.update(list(zip(ids[seen].tolist(), now.xyxy.tolist(), classes[seen].tolist())), time)
        counts = counter.counts()
        for kind, area in itertools.chain((("lines", x) for x in LINES), (("zones", x) for x in ZONES)):
            for what in ("in", "out") if kind == "lines" else ("inside", "entered", "left"):
                assert counts[kind][area.name][what] == oracle.counts(area.name, what), (scene, area.name, what)
                total += sum(counts[kind][area.name][what].values())
    assert total > 250


# -- the truth: objects on known ways, whose crossings are clear -------------------------------------------------------

SIZE, SECONDS, FINE = 30.0, 8.0, 50  # pixels, seconds, and times a second at which a way is looked at
CLEAR_PX, CLEAR_S = 12.0, 0.6
GATE = Line("gate", [(150, 240), (640, 240)], anchor="center")
BOX = Zone("box", [(300, 60), (560, 60), (560, 420), (300, 420)], anchor="center")


class Way(NamedTuple):
    """Centres (T, 2) of an object, the seconds at which it turns and crosses, and its counts."""

    places: np.ndarray
    turns: np.ndarray
    crossings: np.ndarray
    into: int
    out: int
    entered: int
    left: int
    is_inside: bool


def changes(distance: np.ndarray) -> np.ndarray:
    return np.flatnonzero((distance[1:] >= 0) != (distance[:-1] >= 0)) + 1


def draw_way(rng: np.random.Generator) -> Way:
    """Return a way whose crossings are apart from each other, from turns, and from the ends of the gate."""
    while True:
        corners = rng.uniform((20, 20), (620, 460), (12, 2))
        lengths = np.hypot(*np.diff(corners, axis=0).T)
        at = np.concatenate(([0.0], lengths.cumsum())) / rng.uniform(40, 120)
        fine = np.arange(SECONDS * FINE) / FINE
        if at[-1] < SECONDS:
            continue
        x, y = (np.interp(fine, at, corners[:, k]) for k in (0, 1))
        gate = y - 240
        box = np.minimum(np.minimum(x - 300, 560 - x), np.minimum(y - 60, 420 - y))
        over, edge = changes(gate), changes(box)
        crossings = np.sort(np.concatenate((over, edge))) / FINE
        turns = at[(at > 0) & (at < SECONDS)]
        apart = np.abs(crossings[:, None] - np.concatenate((turns, [0, SECONDS]))).min(initial=9)
        same = min(np.diff(over).min(initial=999), np.diff(edge).min(initial=999)) / FINE
        far = [np.abs(fine[:, None] - each / FINE).min(1, initial=9) > CLEAR_S / 2 for each in (over, edge)]
        nearest = min(np.abs(gate[far[0]]).min(), np.abs(box[far[1]]).min())
        off_ends = np.abs(x[over] - 150).min(initial=99)
        if min(apart, same) > CLEAR_S and nearest > CLEAR_PX and off_ends > SIZE:
            counted = over[x[over] > 150]
            down = int((gate[counted] >= 0).sum())
            entered, is_in = int((box[edge] >= 0).sum()), box[0] >= 0
            return Way(
                np.stack((x, y), 1), turns, crossings, down, len(counted) - down, entered + is_in,
                len(edge) - entered, bool(box[-1] >= 0),
            )  # fmt: skip


def is_free(way: Way, begin: float, end: float) -> bool:
    """Whether nothing that counts, and no turn, is near these seconds."""
    each = np.concatenate((way.turns, way.crossings))
    return not ((each > begin - CLEAR_S) & (each < end + CLEAR_S)).any()


def test_counts_of_random_trajectories_are_those_of_the_truth() -> None:
    swaps = gaps = total = 0
    for scene in range(SCENES):
        rng = np.random.default_rng(1000 + scene)
        fps = int(rng.choice([5, 10]))
        ways = [draw_way(rng) for _ in range(TRACKS)]
        hidden = []
        for way in ways:
            begin = rng.uniform(0.5, 6)
            end = begin + rng.uniform(0.2, 1.2)
            # A crossing may be hidden, but not where the object turns before it is there again.
            is_straight = not ((way.turns > begin - CLEAR_S) & (way.turns < end + CLEAR_S)).any()
            hidden.append((begin, end) if is_straight else (0.0, 0.0))
        ids, back = list(range(1, TRACKS + 1)), None
        counter = AreaCounter([GATE], [BOX])
        for time in (np.arange(SECONDS * fps) / fps).tolist():
            places = np.array([way.places[round(time * FINE)] for way in ways])
            a, b = back or rng.choice(TRACKS, 2, replace=False).tolist()
            is_quiet = all(
                is_free(ways[i], time, time) and not hidden[i][0] - CLEAR_S < time < hidden[i][1] + CLEAR_S
                for i in (a, b)
            )
            if back or (is_quiet and np.hypot(*(places[a] - places[b])) > 2 * SIZE and CLEAR_S < time < SECONDS - 1):
                ids[a], ids[b] = ids[b], ids[a]
                back = (a, b) if not back and rng.random() < 0.5 else None  # for one frame, or for good
                swaps += 1
            seen = [i for i in range(TRACKS) if not hidden[i][0] < time < hidden[i][1]]
            gaps += TRACKS - len(seen)
            centre = places[seen] + rng.normal(0, 0.02 * SIZE, (len(seen), 2))
            xyxy = np.concatenate((centre - SIZE / 2, centre + SIZE / 2), 1)
            counter.update(tracks([ids[i] for i in seen], xyxy), time, WH)
        gate, box = counter.counts()["lines"]["gate"], counter.counts()["zones"]["box"]
        counted = [sum(each.values()) for each in (gate["in"], gate["out"], box["entered"], box["left"], box["inside"])]
        truth = [sum(getattr(way, name) for way in ways) for name in ("into", "out", "entered", "left", "is_inside")]
        assert counted == truth, scene
        total += sum(truth)
    assert swaps > 200 and gaps > 1000 and total > 1000
