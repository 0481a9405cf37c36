"""A tracker on videos of boxes that move as told: who is who is known."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import pytest

from edgecsp.processing import nms
from edgecsp.track import Tracker, TrackSettings
from edgecsp.types import Detections, Tracks
from support.idf1 import TrackScore, score
from support.repository import REPO

Film = List[Tuple[float, np.ndarray, np.ndarray]]  # seconds, true ids (N,), boxes (N, 4) xyxy


def wander(
    count: int = 20,
    fps: float = 10,
    *,
    seconds: float = 20,
    noise: float = 0.02,
    unseen: float = 0.0,
    shake: float = 0.0,
    dropped: float = 0.0,
    seed: int = 0,
) -> Film:
    """Objects of 30 to 90 pixels that wander over 1280x720 and turn at its edges, seen with noise in their sides.

    `unseen`: the share of boxes that are missing; `shake`: the deviation of the camera, in pixels; `dropped`: the share
    of frames that are missing.
    """
    rng = np.random.default_rng(seed)
    limit = np.array((1280, 720))
    place, speed = rng.uniform(100, limit - 100, (count, 2)), rng.normal(0, 36, (count, 2))
    wh = rng.uniform(30, 90, (count, 2))
    film = []
    for k in range(round(seconds * fps)):
        speed += rng.normal(0, 12, (count, 2)) / fps**0.5
        place += speed / fps
        speed = np.where(place < 0, np.abs(speed), np.where(place > limit, -np.abs(speed), speed))
        seen = rng.random(count) >= unseen
        moved = place + rng.normal(0, 1, 2) * shake
        error = rng.normal(0, noise, (count, 4)) * np.sqrt(wh.prod(1))[:, None]
        xyxy = np.concatenate((moved - wh / 2, moved + wh / 2), 1) + error
        if rng.random() >= dropped:
            film.append((k / fps, np.flatnonzero(seen), xyxy[seen].astype(np.float32)))
    return film


def detections(xyxy: np.ndarray, scores: Any = 0.9, class_ids: Any = 0) -> Detections:
    n = len(xyxy)
    scores, class_ids = np.broadcast_to(np.float32(scores), n), np.broadcast_to(np.int32(class_ids), n)
    return Detections(np.asarray(xyxy, np.float32).reshape(-1, 4), scores.copy(), class_ids.copy(), ("car", "van"))


def ids_of(film: Film, tracks: Iterator[Tracks]) -> Iterator[Dict[int, int]]:
    for (_, true, xyxy), each in zip(film, tracks):
        truth = {tuple(box): int(i) for box, i in zip(xyxy.tolist(), true)}
        yield {truth[tuple(box)]: int(i) for box, i in zip(each.xyxy.tolist(), each.track_ids)}


def follow(film: Film) -> TrackScore:
    tracker = Tracker(0.25)
    tracks = (tracker.update(detections(xyxy), pts_s) for pts_s, _, xyxy in film)
    return score(ids_of(film, tracks), sum(len(true) for _, true, _ in film))


@pytest.mark.parametrize("fps", [5, 10, 30])
@pytest.mark.parametrize(
    ("case", "least", "switches"),
    [
        ({}, 0.995, 0),
        ({"shake": 15}, 0.97, 2),
        ({"unseen": 0.1, "noise": 0.03}, 0.95, 4),
        ({"dropped": 0.3}, 0.96, 4),
        ({"count": 50, "seconds": 6}, 0.98, 2),
    ],
)
def test_objects_keep_their_ids(fps: int, case: Dict[str, Any], least: float, switches: int) -> None:
    for seed in (1, 2):
        result = follow(wander(**{"seconds": 10, **case, "seed": seed}, fps=fps))
        assert result.idf1 >= least and result.switches <= switches, (seed, result)


def line(of: Callable[[float], List[Tuple[float, float]]], fps: float, seconds: float) -> Film:
    """Squares of 60 pixels whose centres are `of` a time; None is unseen."""
    film = []
    for k in range(round(seconds * fps) + 1):
        seen = [(i, centre) for i, centre in enumerate(of(k / fps)) if centre is not None]
        centres = np.array([centre for _, centre in seen], np.float64).reshape(-1, 2)
        film.append(
            (k / fps, np.array([i for i, _ in seen], int), np.hstack((centres - 30, centres + 30)).astype("f4"))
        )
    return film


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_two_that_cross_keep_theirs(fps: int) -> None:
    film = line(lambda t: [(100 + 120 * t, 300), (700 - 120 * t, 310)], fps, 5)
    assert follow(film) == (pytest.approx(1.0), 0, 2)


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_one_that_is_hidden_for_a_second_comes_back(fps: int) -> None:
    film = line(lambda t: [None if 2 <= t < 3 else (100 + 100 * t, 300), (400, 300 + 60 * t)], fps, 5)
    assert follow(film) == (pytest.approx(1.0), 0, 2)


def test_a_buffer_of_one_frame_outlives_one_missed_frame() -> None:
    tracker = Tracker(0.25, TrackSettings(lost_s=0.2))
    box = detections([(100, 100, 160, 160)])
    nothing = detections(np.zeros((0, 4)))
    seen = [tracker.update(each, k / 10).track_ids.tolist() for k, each in enumerate([box, box, nothing, box, nothing])]
    assert seen == [[1], [1], [], [1], []]
    tracker.update(nothing, 0.5)
    tracker.update(nothing, 0.6)
    assert tracker.update(box, 0.7).track_ids.tolist() == [], "a new object has an id when it is seen again"
    assert tracker.update(box, 0.8).track_ids.tolist() == [2]


def test_a_flicker_gets_no_id() -> None:
    tracker = Tracker(0.25)
    stays, other = (100, 100, 160, 160), (500, 300, 560, 360)
    tracker.update(detections([stays]), 0)
    for k in range(1, 30):
        tracks = tracker.update(detections([stays, other] if k % 10 == 0 else [stays]), k / 10)
        assert tracks.track_ids.tolist() == [1]


def test_a_weak_box_continues_a_track_and_begins_none() -> None:
    tracker = Tracker(0.5)
    for k in range(20):
        boxes = detections([(100 + k, 100, 160 + k, 160), (400, 300, 460, 360)], [0.9 if k < 5 else 0.25, 0.25])
        tracks = tracker.update(boxes, k / 10)
        assert tracks.track_ids.tolist() == [1]
    assert tracker.update(detections([(120, 100, 180, 160)], 0.19), 2.0).track_ids.tolist() == []


def test_a_class_that_flickers_is_the_same_object() -> None:
    tracker = Tracker(0.25)
    seen = [tracker.update(detections([(9, 9, 69, 69)], 0.9, k % 2), k / 10).track_ids.tolist() for k in range(8)]
    assert seen == [[1]] * 8
    # but an object of another class beside it is another
    tracks = tracker.update(detections([(9, 9, 69, 69), (60, 9, 120, 69)], 0.9, [1, 0]), 0.8)
    assert tracks.track_ids.tolist() == [1]


def test_two_boxes_of_one_object_are_one_track() -> None:
    tracker = Tracker(0.25)
    tracker.update(detections([(100, 100, 160, 160)]), 0)
    for k in range(1, 10):
        assert len(tracker.update(detections([(100, 100, 160, 160), (102, 100, 163, 161)], [0.9, 0.5]), k / 10)) == 1


def test_a_time_that_jumps_begins_anew_with_other_ids() -> None:
    tracker = Tracker(0.25)
    box = detections([(100, 100, 160, 160)])
    seen = [tracker.update(box, pts_s).track_ids.tolist() for pts_s in (0, 0.1, 5, 5.1, 0, 0.1)]
    assert seen == [[1], [1], [2], [2], [3], [3]]


def test_ids_are_in_the_order_of_the_boxes_and_trails_end_where_the_box_is() -> None:
    tracker = Tracker(0.25)
    film = wander(12, 10, seconds=4)
    for pts_s, _, xyxy in film:
        tracks = tracker.update(detections(xyxy), pts_s)
        assert [trail[-1] for trail in tracks.trails] == [tuple(c) for c in tracks.xywh[:, :2].astype(float).tolist()]
        assert all(len(trail) <= 21 for trail in tracks.trails), "two seconds"
    assert tracks.track_ids.tolist() == list(range(1, 13))


def test_the_demo_film_with_its_true_boxes() -> None:
    """A camera over a table: all objects move with it, leave and come back. One that was away is another."""
    tracker, frames, objects = Tracker(0.25), [], 0
    last: Dict[int, int] = {}
    visits: Dict[int, int] = {}
    for text in (REPO / "benchmarks" / "codes.jsonl").read_text("utf-8").splitlines():
        row = json.loads(text)
        truth = {}
        for each in row["detections"]:
            i = each["track_id"]
            visits[i] = visits.get(i, 0) + (row["frame"] - last.get(i, row["frame"]) > 40)  # 2 s
            last[i] = row["frame"]
            truth[tuple(np.float32(each["xyxy"]).tolist())] = i + 100 * visits[i]
        class_ids = [each["class_id"] for each in row["detections"]]
        tracks = tracker.update(detections([*truth], class_ids=class_ids), row["frame"] / 20)
        frames.append({truth[tuple(xyxy)]: int(i) for xyxy, i in zip(tracks.xyxy.tolist(), tracks.track_ids)})
        objects += len(truth)
    result = score(frames, objects)
    assert result.idf1 >= 0.98 and result.switches == 0, result


def test_one_that_turns_is_known_by_where_it_was() -> None:
    tracker = Tracker(0.25)
    place = [(100 + 12 * k, 100) for k in range(10)] + [(208 - 25 * k, 100) for k in range(1, 4)]
    for k, (x, y) in enumerate(place):
        assert tracker.update(detections([(x, y, x + 60, y + 60)]), k / 10).track_ids.tolist() == [1], k


def test_tracks_are_detections() -> None:
    boxes = detections([(0, 0, 10, 20), (5, 5, 9, 9)], [0.9, 0.5], [1, 0])
    tracks = Tracks.of(boxes, np.array([7, 9]))
    assert [(each.label, each.track_id) for each in tracks] == [("van", 7), ("car", 9)]
    assert tracks["car"].track_ids.tolist() == [9] and len(tracks["car"].trails) == 1
    assert tracks.scaled(2).trails[0] == ((10.0, 20.0),) and tracks.scaled(2).xyxy[0].tolist() == [0, 0, 20, 40]
    assert tracks.to_rows()[1]["track_id"] == 9 and tracks.columns()["track_ids"].tolist() == [7, 9]
    assert len(Tracks.empty(["car"])) == 0 and Tracks.empty(["car"]).names == ("car",)
    with pytest.raises(ValueError, match="columns differ"):
        Tracks(boxes.xyxy, boxes.scores, boxes.class_ids, (), track_ids=np.array([1]))
    assert nms.overlap(tracks.xyxy, boxes.xyxy).diagonal().tolist() == [1, 1]
