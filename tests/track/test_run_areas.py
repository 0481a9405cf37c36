"""Lines and zones from the command line and in Python, on a real video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, List

import cv2
import numpy as np
import pytest

import edgecsp
from edgecsp.media import draw
from edgecsp.track import AreaCounter, StreamTrackers
from edgecsp.types import CountedArea, Detections, Frame, Stream, Tracks
from support.commands import edgecsp as command
from support.repository import REPO

DEMO = REPO / "benchmarks" / "codes.mp4"
LINE, ZONE = "mid:0.5,0,0.5,1,anchor=center", "left:0,0,0.4,0,0.4,1,0,1,dwell_s=1,max_count=0"


@pytest.fixture(scope="module")
def detector() -> Iterator[edgecsp.Detector]:
    with edgecsp.load("codes", "ort") as opened:
        yield opened


def test_counts_and_events_of_a_run(tmp_path: Path) -> None:
    words = ["--line", LINE, "--zone", ZONE, "--events", "e.jsonl", "--json", "a.jsonl", "--max-frames", "60"]
    done = command("run", DEMO, *words, "--precision", "fp32", cwd=tmp_path)
    events = [json.loads(text) for text in (tmp_path / "e.jsonl").read_text("utf-8").splitlines()]
    kinds = [each["kind"] for each in events]
    assert {"cross", "enter", "dwell", "count"} <= set(kinds)
    assert len({each["id"] for each in events}) == len(events)
    assert {each["stream"] for each in events} == {str(DEMO)}
    crossed = [each["direction"] for each in events if each["kind"] == "cross"]
    assert f"mid: {crossed.count('in')} in" in done.stderr and f", {crossed.count('out')} out" in done.stderr
    assert f"left: {kinds.count('enter')} entered" in done.stderr
    rows = [json.loads(text) for text in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    by_time = {row["pts_s"]: row["detections"] for row in rows}
    for each in events:
        if each["kind"] in ("cross", "enter", "dwell"):
            box = next(row for row in by_time[each["pts_s"]] if row["track_id"] == each["track_id"])
            assert box["xyxy"] == each["xyxy"]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([DEMO, "--events", "e.jsonl"], "--events writes what happens at a --line or in a --zone; type one too"),
        ([DEMO, "--line", "a:0,0,1"], "line 'a:0,0,1': type NAME:x1,y1,x2,y2"),
        ([DEMO, "--line", "a:0,0,1,1", "--zone", "a:0,0,1,1,0,1"], "two lines or zones are called 'a'"),
        ([DEMO, "--zone", "a:0,0,1,1,0,1,classes=qt"], "no class of codes is called 'qt'. Did you mean 'qr'?"),
        (["a.png", "--line", "a:0,0,1,1"], "--line and --zone need a video, a camera or a stream"),
    ],
)
def test_what_cannot_be_counted(words: List[Any], answer: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    assert answer in command("run", *words, code=2, cwd=tmp_path).stderr
    assert not (tmp_path / "e.jsonl").exists()


def test_a_stream_in_python(detector: edgecsp.Detector) -> None:
    line = edgecsp.Line("mid", [(0.5, 0), (0.5, 1)], anchor="center")
    zone = edgecsp.Zone("left", [(0, 0), (0.4, 0), (0.4, 1), (0, 1)])
    counter = AreaCounter([line], [zone], str(DEMO))
    happened = 0
    for frame, result in detector.stream(str(DEMO), track=True, lines=[line], zones=[zone]):
        assert frame.pts_s is not None
        expected = counter.update(result, frame.pts_s, (640, 480))
        assert [(e.kind, e.area, e.track_id) for e in result.events] == [(e.kind, e.area, e.track_id) for e in expected]
        assert {each.name: each.counts for each in result.areas} == {
            **counter.counts()["lines"], **counter.counts()["zones"],
        }  # fmt: skip
        happened += len(result.events)
        if frame.index == 60:
            break
    assert happened >= 3
    frame, result = next(detector.stream(str(DEMO), lines=[line]))
    assert isinstance(result, Tracks) and result[:0].areas == result.areas
    with pytest.raises(edgecsp.EdgecspError, match="two lines or zones"):
        detector.stream(str(DEMO), lines=[line, line])


def test_streams_count_apart_and_counts_stay_after_their_end() -> None:
    line = edgecsp.Line("mid", [(0, 45), (160, 45)])
    trackers = StreamTrackers(0.25, lines=[line])
    a, b = Stream("a.mp4", "video"), Stream("b.mp4", "video")
    for index in range(40):
        for stream, way in ((a, 1), (b, -1)):
            y = 45 + way * (index - 20)
            box = Detections(np.float32([(60, y - 20, 80, y)]), np.float32([0.9]), np.zeros(1, np.int32), ("car",))
            trackers.update(Frame(np.zeros((90, 160, 3), np.uint8), stream, index, index / 20), box)
    trackers.end(a)
    counts = dict(trackers.counts())
    assert counts["a.mp4"]["lines"] == {"mid": {"in": {"car": 1}, "out": {}}}
    assert counts["b.mp4"]["lines"] == {"mid": {"in": {}, "out": {"car": 1}}}


def test_lines_and_zones_are_drawn_with_their_counts() -> None:
    none = Tracks.empty(("car",))
    image = np.zeros((200, 300, 3), np.uint8)
    line = CountedArea("door", ((20, 150), (280, 150)), {"in": {"car": 3}, "out": {"van": 1}})
    zone = CountedArea("ramp", ((150, 40), (250, 40), (250, 100), (150, 100)), {"inside": {"car": 2}})
    assert (line.headline(), zone.headline()) == ("door: 3 in, 1 out", "ramp: 2 inside")
    counted = none.counted_by([], [line, zone])
    drawn = draw.annotate(image, counted)
    assert drawn[150, 30:270].all() and drawn[100, 155:245].all() and not drawn[185].any()
    assert drawn[152:165, 150].any(1).all(), "the arrow shows in"
    other = draw.annotate(image, none.counted_by([], [CountedArea("door", line.points, {"in": {}, "out": {}}), zone]))
    assert (other != drawn)[120:150].any(), "the count is in the text"
    assert counted.scaled(2).areas[0].points == ((40, 300), (560, 300))
