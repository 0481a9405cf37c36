"""Tracks from the command line and in Python: ids in every output, of real detections."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
import pytest

import edgecsp
from edgecsp.media import draw, sinks
from edgecsp.track import StreamTrackers
from edgecsp.types import Classes, Detections, Frame, Stream, Tracks
from support.commands import edgecsp as command
from support.idf1 import score
from support.repository import REPO

DEMO = REPO / "benchmarks" / "codes.mp4"
VIDEO = Stream("street.mp4", "video")


def tracks(*ids: int) -> Tracks:
    n = len(ids)
    xyxy = np.float32([(10 + 50 * i, 20, 40 + 50 * i, 60) for i in range(n)]).reshape(-1, 4)
    return Tracks.of(Detections(xyxy, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), ("car",)), np.array(ids, int))


def frame(index: int, stream: Stream = VIDEO) -> Frame:
    return Frame(np.zeros((90, 160, 3), np.uint8), stream, index, index / 10)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    words = ["--out", "out", "--json", "a.jsonl", "--csv", "a.csv", "--save-mot", "--precision", "fp32"]
    done = command("run", DEMO, "--track", "--max-frames", "60", *words, cwd=folder)
    assert "60 frames" in done.stderr
    return folder


def test_json_csv_and_mot_have_the_same_ids(ran: Path) -> None:
    rows = [json.loads(text) for text in (ran / "a.jsonl").read_text("utf-8").splitlines()]
    boxes = [(row["frame"], each) for row in rows for each in row["detections"]]
    assert len(boxes) > 100 and all(each["track_id"] >= 1 for _, each in boxes)
    with (ran / "a.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["track_id"]) for row in table] == [each["track_id"] for _, each in boxes]
    lines = [text.split(",") for text in (ran / "out" / "mot" / "codes.txt").read_text("ascii").splitlines()]
    assert [(int(a) - 1, int(b)) for a, b, *_ in lines] == [(index, each["track_id"]) for index, each in boxes]
    for (_, _, left, top, width, height, conf, class_id, visible), (_, each) in zip(lines, boxes):
        x0, y0, x1, y1 = each["xyxy"]
        near = pytest.approx((x0, y0, x1 - x0, y1 - y0), abs=0.02)
        assert (float(left), float(top), float(width), float(height)) == near
        assert (float(conf), int(class_id), visible) == (pytest.approx(each["score"]), each["class_id"] + 1, "1")


def test_the_ids_are_those_of_the_truth(ran: Path) -> None:
    truth = [json.loads(text) for text in (REPO / "benchmarks" / "codes.jsonl").read_text("utf-8").splitlines()][:60]
    rows = [json.loads(text) for text in (ran / "a.jsonl").read_text("utf-8").splitlines()]
    frames: List[Dict[int, int]] = []
    for true, row in zip(truth, rows):
        matched = {}
        for each in true["detections"]:
            distance = [np.abs(np.subtract(each["xyxy"], other["xyxy"])).max() for other in row["detections"]]
            if distance and min(distance) < 20:
                matched[each["track_id"]] = row["detections"][int(np.argmin(distance))]["track_id"]
        frames.append(matched)
    result = score(frames, sum(len(true["detections"]) for true in truth))
    assert result.idf1 >= 0.9 and result.switches <= 2, result


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["a.png", "--track"], "--track needs a video, a camera or a stream; images have no time"),
        ([DEMO, "--save-mot"], "--save-mot writes the ids of --track; type both"),
    ],
)
def test_what_cannot_be_tracked(words: List[Any], answer: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    assert answer in command("run", *words, code=2, cwd=tmp_path).stderr


@pytest.fixture(scope="module")
def detector() -> Iterator[edgecsp.Detector]:
    with edgecsp.load("codes", "ort") as opened:
        yield opened


def test_a_stream_in_python(detector: edgecsp.Detector) -> None:
    seen: Dict[int, int] = {}
    for each, result in detector.stream(str(DEMO), track=True):
        assert isinstance(result, Tracks) and result.path == str(DEMO) and result.image is each.image
        assert (result.scores >= 0.1).all()
        for detection in result:
            seen[detection.track_id] = seen.get(detection.track_id, 0) + 1
        if each.index == 40:
            break
    assert set(range(1, 4)) <= set(seen) and max(seen.values()) >= 38
    untracked = [len(result) for _, result in detector.stream(str(DEMO), conf=0.99, track=False)]
    assert sum(untracked) > 0


def test_each_stream_has_ids_of_its_own_and_an_image_none() -> None:
    trackers = StreamTrackers(0.25)
    other, image = Stream("other.mp4", "video"), Stream("a.png")
    boxes = tracks(1, 2).to_boxes()
    for index in range(2):
        for stream in (VIDEO, other):
            result = trackers.update(frame(index, stream), boxes)
            assert result.to_rows()[1]["track_id"] == 2
    still = Frame(np.zeros((9, 9, 3), np.uint8), image)
    assert type(trackers.update(still, boxes)) is Detections
    trackers.end(VIDEO)
    assert trackers.update(frame(0), boxes).to_rows()[0]["track_id"] == 1, "a stream of the same name begins anew"
    with pytest.raises(edgecsp.EdgecspError, match="tracks need boxes"):
        trackers.update(frame(1), Classes.empty())


def test_ids_and_trails_are_drawn() -> None:
    trail = ((20.0, 80.0), (60.0, 80.0), (100.0, 80.0), (140.0, 80.0))
    boxes = tracks(7)
    with_trail = Tracks.of(boxes, boxes.track_ids, [trail])
    image = np.zeros((90, 160, 3), np.uint8)
    drawn, plain = draw.annotate(image, with_trail), draw.annotate(image, boxes.to_boxes())
    assert drawn[80, 30:130].any(1).all() and not plain[80, 30:130].any()
    assert (drawn != plain)[:40].any(), "the label has the id"


def test_mot_files_of_several_streams(tmp_path: Path) -> None:
    (tmp_path / "mot").mkdir()
    (tmp_path / "mot" / "street.txt").write_text("mine")
    second = Stream("b/street.mp4", "video")
    with sinks.MotSink(tmp_path / "mot") as sink:
        for stream in (VIDEO, second):
            sink.write(frame(4, stream), tracks(3))
        sink.end_stream(VIDEO)
        assert sink.paths == [tmp_path / "mot" / "street-2.txt"], "complete when its stream has ended"
    assert (tmp_path / "mot" / "street.txt").read_text() == "mine"
    assert [path.name for path in sink.paths] == ["street-2.txt", "street-3.txt"]
    assert sink.paths[0].read_text() == "5,3,10.00,20.00,30.00,40.00,0.90000,1,1\n"
    with pytest.raises(edgecsp.EdgecspError, match="tracked"), sinks.MotSink(tmp_path / "x") as sink:
        sink.write(frame(0), tracks(1).to_boxes())


def test_a_data_frame_has_the_ids() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert tracks(4, 9).to_df()["track_id"].tolist() == [4, 9]


def test_supervision_has_the_ids() -> None:
    pytest.importorskip("supervision", reason="supervision is not installed")
    assert tracks(4, 9).to_supervision().tracker_id.tolist() == [4, 9]
