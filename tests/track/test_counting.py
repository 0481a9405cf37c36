"""Lines and zones: what counts, what does not, and the events."""

from __future__ import annotations

import json
from typing import Any, Iterable, List, Sequence, Tuple

import numpy as np
import pytest

from edgecsp.errors import UsageError
from edgecsp.track import AreaCounter, Event, Line, Tracker, Zone, parse_line, parse_zone
from edgecsp.types import Detections, Tracks

WH = (200, 200)
NAMES = ("car", "van")
LINE = Line("door", [(0, 100), (200, 100)])
ZONE = Zone("ramp", [(50, 50), (150, 50), (150, 150), (50, 150)])


def at(*places: Tuple[int, float, float], size: float = 20, class_id: int = 0) -> Tracks:
    """Tracks of boxes whose bottom centres are at (id, x, y)."""
    n = len(places)
    xyxy = np.array([(x - size / 2, y - size, x + size / 2, y) for _, x, y in places], np.float32).reshape(n, 4)
    boxes = Detections(xyxy, np.ones(n, np.float32), np.full(n, class_id, np.int32), NAMES)
    return Tracks.of(boxes, np.array([i for i, _, _ in places], int))


def follow(counter: AreaCounter, ys: Iterable[float], fps: float = 10, x: float = 100) -> List[Event]:
    return [event for k, y in enumerate(ys) for event in counter.update(at((1, x, y)), k / fps, WH)]


def crossed(counter: AreaCounter, name: str = "door") -> Tuple[int, int]:
    each = counter.counts()["lines"][name]
    return sum(each["in"].values()), sum(each["out"].values())


def kinds(events: Sequence[Event]) -> List[str]:
    return [event.kind for event in events]


# -- lines -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_in_is_downwards_over_a_line_from_left_to_right(fps: float) -> None:
    counter = AreaCounter([LINE], [], "cam1")
    down = np.linspace(60, 140, round(4 * fps))
    events = follow(counter, [*down, *down[::-1]], fps)
    assert [(event.kind, event.direction) for event in events] == [("cross", "in"), ("cross", "out")]
    assert crossed(counter) == (1, 1)
    first = events[0]
    assert (first.area, first.stream, first.label, first.class_id, first.track_id) == ("door", "cam1", "car", 0, 1)
    assert first.xyxy is not None and first.xyxy[3] > 100 and first.time.endswith("Z")
    turned = AreaCounter([Line("door", LINE.points[::-1])], [])
    assert follow(turned, down, fps)[0].direction == "out"


def test_one_box_on_the_other_side_counts_nothing() -> None:
    """Of these supervision 0.25's LineZone counts 1 in with a threshold of 2."""
    counter = AreaCounter([LINE], [])
    a, b = 92.0, 108.0
    assert follow(counter, [a, a, a, b, a, a, a]) == [] and crossed(counter) == (0, 0)
    far = AreaCounter([LINE], [])
    assert follow(far, [60, 60, 60, 140, 60, 60, 60]) == [] and crossed(far) == (0, 0)


def test_an_object_that_alternates_between_the_sides_counts_nothing() -> None:
    counter = AreaCounter([Line("door", [(0, 90), (200, 90)])], [])
    assert follow(counter, [20, 160] * 30) == [] and crossed(counter) == (0, 0)
    untracked, tracker = AreaCounter([Line("door", [(0, 90), (200, 90)])], []), Tracker(0.25)
    for k, y in enumerate([20, 160] * 30):
        tracks = tracker.update(at((0, 100, y)).to_boxes(), k / 10)
        assert untracked.update(tracks, k / 10, WH) == []
    assert crossed(untracked) == (0, 0)


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_an_object_that_trembles_on_a_line_counts_once(fps: int) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        path = np.concatenate((np.linspace(70, 100, 2 * fps), np.full(20 * fps, 100), np.linspace(100, 130, 2 * fps)))
        counter = AreaCounter([LINE], [])
        follow(counter, path + rng.normal(0, 1, len(path)), fps)
        assert crossed(counter) == (1, 0)


def test_swapped_ids_count_nothing() -> None:
    counter = AreaCounter([LINE], [ZONE])
    for k in range(40):
        above, below = (1, 2) if k < 20 else (2, 1)
        events = counter.update(at((above, 100, 80), (below, 100, 180)), k / 10, WH)
        assert kinds(events) == (["enter"] if k == 2 else [])
    assert crossed(counter) == (0, 0)
    zone = counter.counts()["zones"]["ramp"]
    assert (zone["inside"], zone["entered"], zone["left"], zone["most"]) == ({"car": 1}, {"car": 1}, {}, 1)
    for k in range(40, 60):  # and the objects count on as those that they are now
        counter.update(at((2, 100, 80 + 5 * (k - 40)), (1, 100, 180)), k / 10, WH)
    assert crossed(counter) == (1, 0) and counter.counts()["zones"]["ramp"]["left"] == {"car": 1}


def test_a_line_ends_at_its_ends() -> None:
    short = Line("door", [(80, 100), (120, 100)])
    for x, expected in ((70, 0), (100, 1), (130, 0)):
        counter = AreaCounter([short], [])
        follow(counter, np.linspace(60, 140, 40), x=x)
        assert crossed(counter) == (expected, 0), x
    around = AreaCounter([short], [])  # down beside it, then up through it
    path = [*((150, y) for y in range(60, 142, 4)), *((x, 140) for x in range(150, 98, -4))]
    path += [(100, y) for y in range(140, 58, -4)]
    for k, (x, y) in enumerate(path):
        around.update(at((1, x, y)), k / 10, WH)
    assert crossed(around) == (0, 1)


def test_an_object_that_is_hidden_while_it_crosses_counts() -> None:
    counter = AreaCounter([LINE], [])
    times = [k / 10 for k in range(60) if not 2.0 < k / 10 < 3.5]
    events = [event for time in times for event in counter.update(at((1, 100, 60 + 15 * time)), time, WH)]
    assert [(event.direction, event.pts_s) for event in events] == [("in", 3.7)]


def test_the_anchor_is_the_bottom_or_the_center() -> None:
    bottom, center = LINE, Line("middle", LINE.points, anchor="center")
    counter = AreaCounter([bottom, center], [])
    events = follow(counter, np.linspace(60, 140, 81))
    assert [event.area for event in events] == ["door", "middle"]
    assert events[1].pts_s - events[0].pts_s == pytest.approx(1.0, abs=0.11)  # 10 pixels at 10 pixels a second


def test_only_its_classes_count_and_the_class_is_that_of_most_boxes() -> None:
    counter = AreaCounter([LINE, Line("vans", LINE.points, classes=("van",))], [])
    for k in range(30):
        counter.update(at((1, 100, 60 + 4 * k), class_id=1 if k % 3 == 0 else 0), k / 10, WH)
        counter.update(at((2, 50, 60 + 4 * k), class_id=1), k / 10, WH)
    assert counter.counts()["lines"] == {
        "door": {"in": {"car": 1, "van": 1}, "out": {}},
        "vans": {"in": {"van": 1}, "out": {}},
    }


# -- zones -------------------------------------------------------------------------------------------------------------


def test_a_zone_counts_who_enters_stays_and_leaves() -> None:
    counter = AreaCounter([], [Zone("ramp", ZONE.points, dwell_s=2)])
    path = [*np.linspace(20, 100, 20), *[100] * 30, *np.linspace(100, 180, 20)]
    events = follow(counter, path)
    assert kinds(events) == ["enter", "dwell", "leave"]
    enter, dwell, leave = events
    assert dwell.value == pytest.approx(2.0) and dwell.pts_s == pytest.approx(enter.pts_s + 2.0 - 0.2, abs=0.01)
    assert leave.value == pytest.approx(leave.pts_s - enter.pts_s + 0.2, abs=0.01)
    zone = counter.counts()["zones"]["ramp"]
    assert zone == {
        "inside": {}, "entered": {"car": 1}, "left": {"car": 1}, "time_s": {"car": round(leave.value, 3)}, "most": 1,
    }  # fmt: skip


def test_what_appears_in_a_zone_enters_it_and_what_is_gone_has_left() -> None:
    counter = AreaCounter([], [ZONE])
    for k in range(10):
        counter.update(at((1, 100, 100)), k / 10, WH)
    zone = counter.counts()["zones"]["ramp"]
    assert (zone["inside"], zone["entered"], zone["time_s"]) == ({"car": 1}, {"car": 1}, {"car": 0.9})
    assert [counter.update(at(), 1 + k, WH) for k in range(2)] == [[], []], "it may come back"
    (left,) = counter.update(at(), 4.0, WH)
    assert (left.kind, left.value, left.track_id) == ("leave", pytest.approx(0.9), 1)
    assert counter.counts()["zones"]["ramp"]["inside"] == {}


def test_a_flash_in_a_zone_enters_nothing() -> None:
    counter = AreaCounter([], [ZONE])
    for k in range(30):
        counter.update(at((1, 100, 45 if k != 15 else 60)), k / 10, WH)
    assert counter.counts()["zones"]["ramp"]["entered"] == {}


def test_more_than_so_many_in_a_zone() -> None:
    counter = AreaCounter([], [Zone("ramp", ZONE.points, max_count=1)])
    events = []
    for k in range(60):
        others = [(2, 120.0, 100.0)] if 10 <= k < 20 or k >= 50 else []
        events += counter.update(at((1, 80, 100), *others), k / 10, WH)
    counts = [event for event in events if event.kind == "count"]
    assert [(event.value, event.track_id, event.xyxy) for event in counts] == [(2, None, None)] * 2
    assert counts[0].pts_s == 1.2 and counts[1].pts_s == 5.2


def test_a_zone_reaches_to_the_border_of_the_image() -> None:
    lower = Zone("lower", [(0, 0.5), (1, 0.5), (1, 1), (0, 1)])
    counter = AreaCounter([], [lower])
    events = follow(counter, [*np.linspace(50, 200, 30), *[200] * 10])  # and stands on the border
    assert kinds(events) == ["enter"] and counter.counts()["zones"]["lower"]["inside"] == {"car": 1}


def test_a_large_object_enters_a_small_zone() -> None:
    small = Zone("mat", [(90, 90), (110, 90), (110, 110), (90, 110)])
    counter = AreaCounter([], [small])
    events = [each for k in range(9) for each in counter.update(at((1, 100, 100), size=150), k / 10, WH)]
    assert kinds(events) == ["enter"]


# -- events ------------------------------------------------------------------------------------------------------------


def test_a_cooldown_holds_events_back_and_counts_go_on() -> None:
    path = [*np.linspace(60, 140, 15), *np.linspace(140, 60, 15)] * 4
    loud, calm = AreaCounter([LINE], []), AreaCounter([Line("door", LINE.points, cooldown_s=5)], [])
    assert len(follow(loud, path)) == 8
    events = follow(calm, path)
    assert crossed(calm) == (4, 4)
    times = [event.pts_s for event in events]
    assert len(times) == 2 and times[1] - times[0] >= 5


def test_an_event_is_an_object_for_json() -> None:
    events = follow(AreaCounter([LINE], [ZONE], "cam1"), np.linspace(20, 180, 60))
    assert kinds(events) == ["enter", "cross", "leave"] and len({event.id for event in events}) == 3
    assert [event.id for event in events] == sorted(event.id for event in events) or events[0].time == events[-1].time
    row = json.loads(json.dumps(events[1].to_dict()))
    assert {**row, "id": "", "time": ""} == {
        "id": "", "kind": "cross", "time": "", "pts_s": round(events[1].pts_s, 3), "stream": "cam1", "area": "door",
        "direction": "in", "label": "car", "class_id": 0, "track_id": 1,
        "xyxy": [round(v, 2) for v in events[1].xyxy or ()], "value": None,
    }  # fmt: skip


def test_a_stream_that_begins_anew_keeps_its_counts() -> None:
    counter = AreaCounter([LINE], [ZONE])
    down = np.linspace(60, 140, 30)
    follow(counter, down)
    follow(counter, down)  # the times go back: a video that is played again
    assert crossed(counter) == (2, 0)
    counter.skip()
    assert counter.counts()["zones"]["ramp"]["inside"] == {} and crossed(counter) == (2, 0)
    assert json.loads(json.dumps(counter.counts())) == counter.counts()
    larger = at((1, 200, 280), size=40)
    assert counter.update(larger, 100, (400, 400)) == [], "an image of another size"


def test_nothing_to_count() -> None:
    counter = AreaCounter([], [])
    assert counter.update(at((1, 5, 5)), 0.0, WH) == [] and counter.counts() == {"lines": {}, "zones": {}}
    assert AreaCounter([LINE], [ZONE]).update(at(), 0.0, WH) == []


# -- declarations ------------------------------------------------------------------------------------------------------


def test_lines_and_zones_as_they_are_typed() -> None:
    assert parse_line("a:0,0.5,1,0.5") == Line("a", ((0, 0.5), (1, 0.5)))
    assert parse_line("a b:0, 5, 10, 5").to_relative((20, 10)) == ((0, 0.5), (0.5, 0.5))
    text = "z:0,0,1,0,1,1,dwell_s=5,max_count=3,classes=car+van,anchor=center,cooldown_s=60,settle_s=0"
    zone = Zone("z", ((0, 0), (1, 0), (1, 1)), ("car", "van"), "center", 60, 0, dwell_s=5, max_count=3)
    assert parse_zone(text) == zone
    assert zone.to_pixels((640, 480)) == ((0, 0), (640, 0), (640, 480))
    assert zone.to_relative((640, 480)) == zone.points


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0,0,1,1", "type NAME:x1,y1,x2,y2 in pixels"),
        ("a:0,0,1", "type NAME:x1,y1,x2,y2 in pixels"),
        ("a:0,0,1,1,1,0", "NAME:x1,y1,x2,y2 in pixels"),
        ("a:0,0,1,x", "'x' is not understood"),
        ("a:0,0,1,nan", "pairs of numbers"),
        ("a:0,-1,1,1", "at least 0"),
        ("a:1,1,1,1", "two points that differ"),
        ("a/b:0,0,1,1", "a name has letters"),
        (":0,0,1,1", "type NAME"),
        ("a:0,0,1,1,dwell_s=3", "'dwell_s=3' is not understood"),
        ("a:0,0,1,1,anchor=top", "anchor 'top' is not one of bottom, center"),
        ("a:0,0,1,1,cooldown_s=-1", "cooldown_s -1.0 is not a number of at least 0"),
        ("a:0,0,1,1,classes=", "classes are labels"),
    ],
)
def test_a_line_that_cannot_be_meant(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_line(text)


def test_a_zone_that_cannot_be_meant() -> None:
    for text, problem in (("z:0,0,1,1", "NAME:x1,y1,x2,y2,x3"), ("z:0,0,1,1,0.5,0.5", "an area between them")):
        with pytest.raises(UsageError, match=problem):
            parse_zone(text)
    points: Any = [(0, 0), (1, 0, 3)]
    with pytest.raises(UsageError, match="pairs of numbers"):
        Zone("z", points)
    with pytest.raises(UsageError, match="two lines or zones are called 'door'"):
        AreaCounter([LINE], [Zone("door", ZONE.points)])
