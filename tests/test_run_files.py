"""What `edgecsp run` leaves for each box and frame, and which boxes and frames it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import cv2
import numpy as np
import pytest

from edgecsp.errors import UsageError
from edgecsp.media import region, sources, window
from edgecsp.media.sinks import AnnotatedSink
from edgecsp.media.sinks import open as open_sinks
from edgecsp.types import Classes, Frame, Stream
from support import commands, media
from support.boxes import detections_of
from support.repository import REPO, child_environment

Edgecsp = Callable[..., Any]


@pytest.fixture(scope="module")
def image() -> Any:
    """The first frame of the demo: a QR code at (283, 192, 385, 295), a barcode at (520, 206, 640, 304)."""
    return cv2.VideoCapture(str(REPO / "benchmarks" / "codes.mp4")).read()[1]


@pytest.fixture
def edgecsp(image: Any, tmp_path: Path) -> Edgecsp:
    """The command in a folder with photos/a.png (both codes), photos/b.png (grey) and clip.mp4 (30 frames, 1 s)."""
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), image)
    cv2.imwrite(str(tmp_path / "photos" / "b.png"), np.full((60, 80, 3), 128, np.uint8))
    media.video(tmp_path / "clip.mp4", 30, size=(640, 480), draw=lambda index, width, height: image)
    env = child_environment(EDGECSP_HOME=str(tmp_path / "home"), DISPLAY="", WAYLAND_DISPLAY="")

    def run(*words: Any, code: int = 0) -> Any:
        return commands.edgecsp("run", *words, "-e", "ort", "-q", code=code, cwd=tmp_path, env=env)

    return run


def files(folder: Path) -> Dict[str, List[str]]:
    """The files below a folder, by their parents."""
    names: Dict[str, List[str]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        names.setdefault(path.parent.relative_to(folder).as_posix(), []).append(path.name)
    return names


def test_labels_crops_and_frames_are_beside_the_copies(edgecsp: Edgecsp, image: Any, tmp_path: Path) -> None:
    edgecsp("photos", "--out", "out", "--save-txt", "--save-conf", "--save-crop", "--save-frames")
    assert files(tmp_path / "out") == {
        ".": ["a.png", "b.png"], "labels": ["a.txt"], "crops/qr": ["a.png"], "crops/barcode": ["a.png"],
        "frames": ["a.png"],
    }  # fmt: skip
    lines = [
        [float(word) for word in line.split()] for line in (tmp_path / "out/labels/a.txt").read_text().splitlines()
    ]
    assert lines[0][:5] == pytest.approx([0, 334 / 640, 243.5 / 480, 102 / 640, 103 / 480], abs=0.012)
    assert [line[0] for line in lines] == [0, 4] and all(0.25 < line[5] <= 1 for line in lines)
    assert np.array_equal(cv2.imread(str(tmp_path / "out/frames/a.png")), image), "as it is, without boxes"
    assert cv2.imread(str(tmp_path / "out/crops/qr/a.png")).shape[:2] == pytest.approx((103, 104), abs=5)
    edgecsp("photos", "--out", "out", "--save-txt", "--overwrite")
    assert files(tmp_path / "out")["labels"] == ["a.txt"]
    assert len((tmp_path / "out/labels/a.txt").read_text().split()) == 10, "without --save-conf there are no scores"
    edgecsp("photos", "--out", "out", "--save-txt")
    assert files(tmp_path / "out")["labels"] == ["a-2.txt", "a.txt"]


def test_without_out_they_go_to_a_new_run(edgecsp: Edgecsp, tmp_path: Path) -> None:
    edgecsp("photos/a.png", "--save-txt")
    assert files(tmp_path / "runs") == {"1": ["a.png"], "1/labels": ["a.txt"]}
    done = edgecsp("photos/a.png", "--save-crop", "--out", "copy.png", code=2)
    assert "crops need a folder beside the copies; copy.png is a file" in done.stderr
    assert not (tmp_path / "copy.png").exists() and not (tmp_path / "crops").exists()
    assert "--save-txt; type both" in edgecsp("photos/a.png", "--save-conf", code=2).stderr


def test_a_region_and_a_part_of_a_video(edgecsp: Edgecsp, tmp_path: Path) -> None:
    def rows(*words: Any) -> List[Dict[str, Any]]:
        return [json.loads(line) for line in edgecsp(*words, "--json", "-").stdout.splitlines()]

    def labels(*words: Any) -> List[List[str]]:
        return [[each["label"] for each in row["detections"]] for row in rows(*words)]

    assert labels("photos/a.png", "--roi", "0,0,450,480") == [["qr"]]
    assert labels("photos/a.png", "--roi", "450,0,640,0,640,480") == [["barcode"]]
    assert labels("photos/a.png", "--roi", "0,0,50,50") == [[]]
    cv2.imwrite(str(tmp_path / "mask.png"), np.tile(np.uint8([255] * 45 + [0] * 19), (12, 1)))  # white to x = 450
    assert labels("photos/a.png", "--mask", "mask.png") == [["qr"]]
    assert labels("photos/a.png", "--mask", "mask.png", "--roi", "450,0,640,480") == [[]]
    part = rows("clip.mp4", "--start", 0.5, "--end", 0.8, "--roi", "0,0,450,480")
    assert [row["frame"] for row in part] == list(range(15, 24)) and {len(row["detections"]) for row in part} == {1}
    edgecsp("clip.mp4", "--start", 0.9, "--save-txt", "--save-frames", "--out", "out")
    assert files(tmp_path / "out")["labels"] == ["clip_27.txt", "clip_28.txt", "clip_29.txt"]
    assert files(tmp_path / "out")["frames"] == ["clip_27.png", "clip_28.png", "clip_29.png"]
    assert len(rows("photos/a.png", "--start", 5)) == 1, "images have no time"


def test_what_cannot_be_meant_is_a_sentence(edgecsp: Edgecsp, tmp_path: Path) -> None:
    assert "clip.mp4 ends before 7 s" in edgecsp("clip.mp4", "--start", 7, code=3).stderr
    assert "the end must be after the start" in edgecsp("clip.mp4", "--start", 2, "--end", 1, code=2).stderr
    assert "x1,y1,x2,y2 of a rectangle" in edgecsp("clip.mp4", "--roi", "left", code=2).stderr
    assert "no such file or folder: mask.png" in edgecsp("clip.mp4", "--mask", "mask.png", code=3).stderr
    assert "no display here" in edgecsp("clip.mp4", "--show", code=2).stderr
    assert "runs" not in " ".join(files(tmp_path))


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "10,10,5,20", "0,0,1,nan", "1,2,3,4,5,inf"])
def test_regions_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="region"):
        region.parse(text)


def test_a_region_has_any_shape() -> None:
    notched = region.parse("0,0,10,0,10,10,5,5,0,10")
    points = np.array([(1, 1), (5, 4), (5, 7), (9, 8), (11, 1), (0, 0)])
    polygon = np.array(notched.corners, np.float32)
    wanted = [cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0 for x, y in points]
    assert notched.contains(points).tolist() == wanted == [True, True, False, True, False, True]
    boxes = detections_of((0, 0, 2, 2, 0.9, 1), (4, 6, 6, 8, 0.8, 2))
    assert notched.keep(boxes).class_ids.tolist() == [1]
    with pytest.raises(UsageError, match="a region needs boxes"):
        notched.keep(Classes.empty())


def test_sources_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    boxes, grey = detections_of((0, 0, 8, 8, 0.9, 1), (1, 1, 4, 4, 0.8, 1)), np.zeros((16, 16, 3), np.uint8)
    for overwrite in (False, True):
        out = tmp_path / str(overwrite)
        with open_sinks(out=out, txt=True, crops=True, overwrite=overwrite) as sink:
            for folder in ("x", "y"):
                sink.write(Frame(grey, Stream(f"{folder}/dog.jpg")), boxes)
        names = files(out)
        assert names["labels"] == ["dog-2.txt", "dog.txt"] and len(names["crops/bicycle"]) == 4
    with pytest.raises(UsageError, match="YOLO lines need boxes"), open_sinks(out=tmp_path / "c", txt=True) as sink:
        sink.write(Frame(grey), Classes.empty())


def test_a_window_shows_each_frame_and_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "check_display", lambda: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    keys, titles, ended = iter((-1, ord("q"))), [], []
    monkeypatch.setattr(cv2, "imshow", lambda title, image: titles.append((title, int(image.sum()))))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: next(keys))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, which: 1.0)
    frame = Frame(np.zeros((40, 40, 3), np.uint8), Stream("x.mp4", "video"))
    with open_sinks(show=lambda: ended.append(len(titles))) as sink:
        assert not any(isinstance(each, AnnotatedSink) for each in sink.sinks)  # type: ignore[attr-defined]
        for _ in range(2):
            sink.write(frame, detections_of((5, 5, 30, 30, 0.9, 1)))
    assert [title for title, _ in titles] == ["edgecsp"] * 2 and all(total > 0 for _, total in titles)
    assert ended == [2]


def test_a_part_of_a_source_is_a_source(tmp_path: Path) -> None:
    path = str(media.video(tmp_path / "x.mp4", 30))
    with sources.Span(sources.open(path), 0.1, 0.2) as part:
        assert [frame.index for frame in part] == [3, 4, 5]
        assert (part.frames, part.moving, part.live, part.paths) == (None, True, False, (path,))
    with sources.Span(sources.open(path), end_s=0.05) as part:
        assert [frame.index for frame in part] == [0, 1] and not part.problems
