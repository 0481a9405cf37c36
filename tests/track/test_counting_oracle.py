"""Counts of 1,000 random trajectories with noise, swapped ids and gaps: equal to a slow oracle's, and to the truth."""

from __future__ import annotations

import itertools
from typing import Any, List, Tuple

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
        fps = rng.choice([5, 10, 20])
        times = np.arange(6 * fps) / fps
        times = times[rng.random(len(times)) > 0.1]  # frames that were dropped
        place, wh = walk(rng, times)
        ids = np.arange(1, TRACKS + 1)
        gone = np.zeros(TRACKS)  # until when each is hidden
        counter, oracle = AreaCounter(LINES, ZONES), Oracle(LINES, ZONES, NAMES, WH)
        for k, time in enumerate(times.tolist()):
            if rng.random() < 0.02:
                a, b = rng.choice(TRACKS, 2, replace=False)
                ids[[a, b]] = ids[[b, a]]
            gone = np.where(rng.random(TRACKS) < 0.01, time + rng.uniform(0, 4, TRACKS), gone)
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
    assert total > 500
