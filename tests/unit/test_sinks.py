"""Sinks: what is written, that it is whole or not there, and that nothing of the user's is written over."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, List, Optional

import av
import cv2
import numpy as np
import pytest

from edgecsp.errors import OutputError, SourceError, UsageError
from edgecsp.graph import labels
from edgecsp.media import sinks
from edgecsp.media.sinks.annotated import copy_name
from edgecsp.media.sinks.mp4 import Mp4
from edgecsp.media.sinks.rows import category_ids, image_id
from edgecsp.types import Classes, Detections, Frame, Stream
from support import media
from support.boxes import detections_of

NOTHING = Detections.empty(labels.COCO)


DOG = detections_of((10.126, 20.5, 50, 60.75, 0.987654, 16), (0, 0, 5, 5, 0.25, 0))
CAT = Classes(np.array([0.75, 0.125], np.float32), np.array([1, 0], np.int32), ("dog, hot", 'cat "tom"'))


def still(name: str = "a/dog.jpg", image: Any = None) -> Frame:
    return Frame(media.scene(0) if image is None else image, Stream(name, "image", frames=1))


def film(name: str = "clip.mov", count: int = 12, *, size: Any = (160, 120), fps: Optional[float] = 30,
         times: Any = None, kind: str = "video") -> Iterator[Frame]:  # fmt: skip
    stream = Stream(name, kind, fps, count)
    for index in range(count):
        pts = index / (fps or 30) if times is None else times[index]
        yield Frame(media.scene(index, *size), stream, index, pts)


def decoded(path: Path) -> Any:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        facts = SimpleNamespace(  # PyAV 19 answers nothing when the container is closed
            codec=(codec.name, codec.pix_fmt, codec.width, codec.height),
            average_rate=stream.average_rate,
            start_time=stream.start_time,
        )
        return list(container.decode(stream)), facts, float(container.duration / 1e6)


def left_overs(folder: Path) -> List[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.name.startswith("."))


# ---- annotated copies


def test_pictures_keep_their_stem_and_their_kind(tmp_path: Path) -> None:
    with sinks.AnnotatedSink(tmp_path / "new" / "out") as sink:
        for name in ("a/dog.jpg", "b/dog.JPG", "cat.png", "x.y.bmp", "b/dog.jpeg", "a/dog-2.jpg"):
            sink.write(still(name), DOG)
    names = [path.name for path in sink.paths]
    assert names == ["dog.jpg", "dog-2.jpg", "cat.png", "x.y.png", "dog-3.jpg", "dog-2-2.jpg"]
    assert left_overs(tmp_path) == []
    for path in sink.paths:
        image = cv2.imread(str(path))
        assert image.shape == (120, 160, 3)
        assert np.abs(image.astype(int) - media.scene(0)).mean() > 0.5, "nothing was painted"
        assert np.abs(image[100:].astype(int) - media.scene(0)[100:]).mean() < 4


def test_an_mp4_that_a_browser_plays(tmp_path: Path) -> None:
    frames = list(film(count=30))
    with sinks.AnnotatedSink(tmp_path) as sink:
        for frame in frames:
            sink.write(frame, NOTHING)
        assert sink.paths == []
        assert not (tmp_path / "clip.mp4").exists(), "a half-written file under its final name"
        assert len(left_overs(tmp_path)) == 1
    assert sink.paths == [tmp_path / "clip.mp4"]
    assert left_overs(tmp_path) == []
    names = media.atoms(tmp_path / "clip.mp4")
    assert names.index("moov") < names.index("mdat")
    assert b"colrnclx\x00\x01\x00\x01\x00\x01" in (tmp_path / "clip.mp4").read_bytes(), "not tagged BT.709"
    pictures, stream, duration = decoded(tmp_path / "clip.mp4")
    assert stream.codec == ("h264", "yuv420p", 160, 120)
    assert stream.average_rate == 30
    assert duration == pytest.approx(1.0, abs=0.002)
    assert [p.time for p in pictures] == pytest.approx([i / 30 for i in range(30)], abs=1e-4)
    from edgecsp.media import sources

    for frame, back in zip(frames, sources.open(str(tmp_path / "clip.mp4"))):
        error = ((back.image.astype(float) - frame.image) ** 2).mean()
        assert 10 * np.log10(255**2 / error) > 30, "PSNR in dB"


def test_colours_survive_the_mp4(tmp_path: Path) -> None:
    """Told by ffprobe's planes, not by our own reader: BT.709 luma of the primaries (limited range)."""
    for name, bgr, luma in (("red", (0, 0, 255), 62.6), ("green", (0, 255, 0), 172.6), ("blue", (255, 0, 0), 31.8)):
        video = Mp4(tmp_path / f"{name}.mp4", (64, 64), 30)
        for _ in range(3):
            video.write(np.full((64, 64, 3), bgr, np.uint8), None)
        video.close()
        pictures, _, _ = decoded(tmp_path / f"{name}.mp4")
        assert pictures[0].to_ndarray()[:64].mean() == pytest.approx(luma, abs=1.5)
        assert int(pictures[0].colorspace) == 1
        assert int(pictures[0].color_range) == 1


@pytest.mark.parametrize("size", [(161, 121), (1, 1), (2, 3), (33, 16)])
def test_odd_sizes_get_one_more_pixel(tmp_path: Path, size: Any) -> None:
    with sinks.AnnotatedSink(tmp_path) as sink:
        for frame in film(size=size, count=3, times=[0, 0.1, 0.2]) if size[0] > 20 else _dots(size):
            sink.write(frame, NOTHING)
    pictures, _, _ = decoded(sink.paths[0])
    assert len(pictures) == 3
    assert (pictures[0].width, pictures[0].height) == tuple(side + side % 2 for side in size)


def _dots(size: Any) -> Iterator[Frame]:
    stream = Stream("dot.mp4", "video", 10.0)
    for index in range(3):
        yield Frame(np.full((size[1], size[0], 3), 200, np.uint8), stream, index, index / 10)


TIMES = [5.0, 5.01, 5.5, 5.51, 7.0, 8.25]


def test_times_keep_their_distances_and_begin_at_zero(tmp_path: Path) -> None:
    with sinks.AnnotatedSink(tmp_path) as sink:
        for frame in film(count=6, times=TIMES):
            sink.write(frame, NOTHING)
    pictures, stream, _ = decoded(sink.paths[0])
    assert [p.time for p in pictures] == pytest.approx([t - 5 for t in TIMES], abs=1e-4)
    assert stream.start_time in (0, None)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([None] * 4, [0, 0.04, 0.08, 0.12]),
        ([0, 0.04, 0.04, 0.08], [0, 0.04, 0.04, 0.08]),
        ([100, 100.04, 0.0, 0.5], [0, 0.04, 0.08, 0.58]),
        ([0, 0.1, None, 0.2], [0, 0.1, 0.14, 0.2]),
    ],
)
def test_a_bad_clock_still_makes_a_video(tmp_path: Path, times: Any, expected: Any) -> None:
    video = Mp4(tmp_path / "x.mp4", (48, 64), 25)
    for index, pts in enumerate(times):
        video.write(media.scene(index, 64, 48), pts)
    video.close()
    pictures, _, _ = decoded(tmp_path / "x.mp4")
    assert [p.time for p in pictures] == pytest.approx(expected, abs=2e-4)
    assert all(b.pts > a.pts for a, b in zip(pictures, pictures[1:]))


def test_a_stride_keeps_real_time(tmp_path: Path) -> None:
    with sinks.AnnotatedSink(tmp_path) as sink:
        for frame in list(film(count=30))[::10]:
            sink.write(frame, NOTHING)
    pictures, _, duration = decoded(sink.paths[0])
    assert [p.time for p in pictures] == pytest.approx([0, 1 / 3, 2 / 3], abs=1e-3)
    assert duration == pytest.approx(1.0, abs=0.01)


def test_a_camera_that_changes_its_size(tmp_path: Path) -> None:
    stream = Stream("camera 0", "live")
    with sinks.AnnotatedSink(tmp_path) as sink:
        for index, size in enumerate([(160, 120), (320, 200), (80, 61), (160, 120)]):
            sink.write(Frame(media.scene(index, *size), stream, index, index / 10), DOG)
    assert sink.paths == [tmp_path / "camera_0.mp4"]
    pictures, _, _ = decoded(sink.paths[0])
    assert {(p.width, p.height) for p in pictures} == {(160, 120)}
    assert len(pictures) == 4


def test_every_stream_has_its_file(tmp_path: Path) -> None:
    """Six videos, read in turns: none overwrites another, no frame is lost, each is finished when its stream is."""
    with sinks.AnnotatedSink(tmp_path) as sink:
        films = [list(film(f"{folder}/clip.mp4", count=4)) for folder in "abcdef"]
        for frames in zip(*films):
            for frame in frames:
                sink.write(frame, NOTHING)
        assert not sink.paths
        sink.end_stream(films[0][0].stream)
        sink.end_stream(films[0][0].stream)
        assert [path.name for path in sink.paths] == ["clip.mp4"]
        sink.write(still("x.png"), NOTHING)
    names = sorted(p.name for p in sink.paths)
    assert names == ["clip-2.mp4", "clip-3.mp4", "clip-4.mp4", "clip-5.mp4", "clip-6.mp4", "clip.mp4", "x.png"]
    assert all(len(decoded(p)[0]) == 4 for p in sink.paths if p.suffix == ".mp4")


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a/dog.jpg", "image", ("dog", ".jpg")),
        ("a/x.tar.webp", "image", ("x.tar", ".png")),
        ("stdin", "image", ("stdin", ".png")),
        ("/dev/video0", "live", ("video0", ".mp4")),
        ("camera 0", "live", ("camera_0", ".mp4")),
        ("rtsp://cam.local:554/ch1/main?x=1", "live", ("cam.local_554_ch1_main", ".mp4")),
        ("https://host/a%20b/dog.jpeg", "image", ("dog", ".jpg")),
        ("https://host/../../etc/clip.mp4", "video", ("clip", ".mp4")),
        ("rtsp://../../x", "live", ("x", ".mp4")),
        ("x" * 250 + ".png", "image", ("x" * 240, ".png")),
    ],
)
def test_copy_names(name: str, kind: str, expected: Any) -> None:
    assert copy_name(name, kind) == expected


def test_one_file_for_one_source(tmp_path: Path) -> None:
    with sinks.AnnotatedSink(tmp_path / "deep" / "x.mp4") as sink:
        for frame in film():
            sink.write(frame, NOTHING)
    assert len(decoded(tmp_path / "deep" / "x.mp4")[0]) == 12
    for suffix in (".jpg", ".png"):
        with sinks.AnnotatedSink(tmp_path / f"x{suffix}") as sink:
            sink.write(still(), DOG)
        assert cv2.imread(str(tmp_path / f"x{suffix}")) is not None


@pytest.mark.parametrize(
    ("out", "frames", "words"),
    [
        ("x.mp4", [still()], "is a video, a/dog.jpg is not"),
        ("x.jpg", list(film(count=1)), "is an image, clip.mov is not"),
        ("x.jpg", [still("a.jpg"), still("b.jpg")], "b.jpg is the second"),
        ("x.mp4", [*film("a.mp4", 2), *film("b.mp4", 2)], "b.mp4 is the second"),
    ],
)
def test_what_does_not_fit_one_file(tmp_path: Path, out: str, frames: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words), sinks.AnnotatedSink(tmp_path / out) as sink:
        for frame in frames:
            sink.write(frame, NOTHING)
    assert left_overs(tmp_path) == []
    assert [p.name for p in tmp_path.iterdir()] in ([], ["x.jpg"])


@pytest.mark.parametrize("name", ["x.avi", "x.MOV", "x.gif", "x.bmp"])
def test_kinds_that_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="are written as"):
        sinks.AnnotatedSink(tmp_path / name)


@pytest.mark.parametrize(
    ("inputs", "out"),
    [
        (["dog.jpg"], "."), (["a.bmp", "a.png"], "."), (["clip.mp4"], "."), (["clip.mp4"], "clip.mp4"),
        (["sub/../dog.jpg"], "."), (["dog.jpg"], "dog.jpg"),
    ],
)  # fmt: skip
def test_a_source_is_never_written_over(tmp_path: Path, inputs: List[str], out: str) -> None:
    (tmp_path / "sub").mkdir()
    paths = [str(tmp_path / name) for name in inputs]
    for path in paths:
        Path(path).write_bytes(b"precious")
    with pytest.raises(UsageError, match="would replace a source"):
        sinks.AnnotatedSink(tmp_path / out, inputs=paths)
    assert all(Path(path).read_bytes() == b"precious" for path in paths)
    assert left_overs(tmp_path) == []


def test_copies_beside_their_sources_are_fine_under_other_names(tmp_path: Path) -> None:
    (tmp_path / "dog.bmp").write_bytes(b"precious")
    with sinks.AnnotatedSink(tmp_path, inputs=[str(tmp_path / "dog.bmp")]) as sink:
        sink.write(still(str(tmp_path / "dog.bmp")), DOG)
    assert [p.name for p in sink.paths] == ["dog.png"]


def test_an_abort_leaves_nothing_half_done(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sinks.AnnotatedSink(tmp_path / "new") as sink:
        sink.write(still(), DOG)
        for frame in film():
            sink.write(frame, NOTHING)
        raise ZeroDivisionError
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["dog.jpg"]
    with pytest.raises(ZeroDivisionError), sinks.AnnotatedSink(tmp_path / "newer"):
        raise ZeroDivisionError
    assert not (tmp_path / "newer").exists()


@pytest.mark.parametrize("reason", [KeyboardInterrupt, SourceError])
def test_what_stopped_early_is_finished(tmp_path: Path, reason: Any) -> None:
    with pytest.raises(reason), sinks.open(
        out=tmp_path / "o", json=tmp_path / "x.jsonl", coco=tmp_path / "c.json"
    ) as sink:
        for frame in film():
            sink.write(frame, DOG)
        raise reason
    assert len(decoded(tmp_path / "o" / "clip.mp4")[0]) == 12
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 12
    assert len(json.loads((tmp_path / "c.json").read_text())) == 24
    assert len(sink.paths) == 3


def test_no_libx264_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecsp.media.sinks.mp4.CODEC", "libx264_that_is_not_there")
    with pytest.raises(OutputError, match=r"this FFmpeg has no libx264.*pip install av"):
        Mp4(tmp_path / "x.mp4", (48, 64), 30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file/out", "file/out.mp4", "/proc/nowhere/out"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot (write|create)"), sinks.AnnotatedSink(tmp_path / place) as sink:
        for frame in film(count=2):
            sink.write(frame, NOTHING)
    for make in (sinks.JsonLinesSink, sinks.CsvSink, sinks.CocoSink):
        with pytest.raises(OutputError, match="cannot write"):
            make(tmp_path / place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root with CAP_SYS_ADMIN")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(OutputError, match=r"clip\.mp4 .*No space left"), sinks.AnnotatedSink(small_disk) as sink:
        stream = Stream("clip.mov", "video", 30.0)
        for index in range(60):
            sink.write(Frame(rng.integers(0, 256, (240, 320, 3), np.uint8), stream, index, index / 30), NOTHING)
    assert list(small_disk.iterdir()) == []
    with pytest.raises(OutputError, match="No space left"), sinks.AnnotatedSink(small_disk) as sink:
        sink.write(still("x.png", rng.integers(0, 256, (480, 640, 3), np.uint8)), NOTHING)
    assert list(small_disk.iterdir()) == []
    for make in (sinks.JsonLinesSink, sinks.CsvSink, sinks.CocoSink):
        with pytest.raises(OutputError, match="No space left"), make(small_disk / "x") as sink:
            for _ in range(3000):
                sink.write(still(), DOG)
        assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_while_the_index_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    video = Mp4(tmp_path / "x.mp4", (48, 64), 30)
    video.write(media.scene(0, 64, 48), 0)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"x\.mp4 .*No space left"):
        video.close()
    assert list(tmp_path.iterdir()) == []


# ---- rows


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.jsonl"
    with sinks.JsonLinesSink(path) as sink:
        sink.write(still("dïr/dog.jpg"), DOG)
        frame = next(film(times=[1.23456789], count=1))
        sink.write(Frame(frame.image, frame.stream, 7, frame.pts_s), NOTHING)
        sink.write(still(), CAT)
        assert not path.exists()
    first, second, third = (json.loads(line) for line in path.read_text("ascii").splitlines())
    assert first == {
        "schema": "edgecsp/1", "source": "dïr/dog.jpg", "frame": 0, "pts_s": None, "width": 160, "height": 120,
        "detections": [
            {"class_id": 16, "label": "dog", "score": 0.98765, "xyxy": [10.13, 20.5, 50.0, 60.75]},
            {"class_id": 0, "label": "person", "score": 0.25, "xyxy": [0.0, 0.0, 5.0, 5.0]},
        ],
    }  # fmt: skip
    assert (second["frame"], second["pts_s"], second["detections"]) == (7, 1.234568, [])
    assert third["classes"] == [
        {"class_id": 1, "label": 'cat "tom"', "score": 0.75}, {"class_id": 0, "label": "dog, hot", "score": 0.125}
    ]  # fmt: skip
    assert "detections" not in third
    assert sink.paths == [path]


def test_csv(tmp_path: Path) -> None:
    with sinks.CsvSink(tmp_path / "x.csv") as sink:
        sink.write(still('a,"b"\n.jpg'), DOG)
        sink.write(still(), NOTHING)
        sink.write(still(), CAT)
    text = (tmp_path / "x.csv").read_text()
    assert text.startswith("source,frame,pts_s,class_id,label,score,x0,y0,x1,y1\n")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert rows == [
        ['a,"b"\\n.jpg', "0", "", "16", "dog", "0.98765", "10.13", "20.5", "50.0", "60.75"],
        ['a,"b"\\n.jpg', "0", "", "0", "person", "0.25", "0.0", "0.0", "5.0", "5.0"],
        ["a/dog.jpg", "0", "", "1", 'cat "tom"', "0.75", "", "", "", ""],
        ["a/dog.jpg", "0", "", "0", "dog, hot", "0.125", "", "", "", ""],
    ]


def test_coco(tmp_path: Path) -> None:
    with sinks.CocoSink(tmp_path / "x.json") as sink:
        sink.write(still("val/000000000139.jpg"), DOG)
        sink.write(still("val/dog.jpg"), NOTHING)
        for frame in film("clip.mp4", count=2):
            sink.write(frame, detections_of((1, 2, 4, 8, 0.5, 79)))
    rows = json.loads((tmp_path / "x.json").read_text())
    assert rows[0] == {"image_id": 139, "category_id": 18, "bbox": [10.13, 20.5, 39.87, 40.25], "score": 0.98765}
    assert [(r["image_id"], r["category_id"]) for r in rows] == [(139, 18), (139, 1), ("clip_0", 90), ("clip_1", 90)]
    with sinks.CocoSink(tmp_path / "none.json"):
        pass
    assert json.loads((tmp_path / "none.json").read_text()) == []
    with pytest.raises(UsageError, match="COCO results need boxes"), sinks.CocoSink(tmp_path / "cat.json") as sink:
        sink.write(still(), CAT)
    assert not (tmp_path / "cat.json").exists()


def test_pycocotools_reads_it(tmp_path: Path) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    truth = {
        "images": [{"id": 139, "width": 160, "height": 120}],
        "annotations": [
            {"id": 1, "image_id": 139, "category_id": 18, "bbox": [10, 20, 40, 40], "area": 1600, "iscrowd": 0}
        ],
        "categories": [{"id": i, "name": str(i)} for i in labels.COCO_IDS],
        "info": {},
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with sinks.CocoSink(tmp_path / "x.json") as sink:
        sink.write(still("000000000139.jpg"), DOG)
    loaded = pycocotools.COCO(str(tmp_path / "truth.json")).loadRes(str(tmp_path / "x.json"))
    assert len(loaded.getAnnIds()) == 2


def test_category_ids() -> None:
    modern = {"motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "tvmonitor": "tv"}
    assert category_ids(labels.COCO) == labels.COCO_IDS
    assert category_ids([modern.get(name, name).title() for name in labels.COCO]) == labels.COCO_IDS
    assert category_ids(sorted(labels.COCO)) is None
    assert category_ids([f"class{i}" for i in range(80)]) is None
    assert category_ids(labels.COCO[:79]) is None
    assert category_ids(()) is None


def test_image_id() -> None:
    assert image_id(still("a/000000000139.jpg")) == 139
    assert image_id(still("a/²³.jpg")) == "²³"
    assert image_id(still("a/12b.jpg")) == "12b"
    assert image_id(next(film("a/000139.mp4"))) == "000139_0"


def test_a_name_that_is_no_utf8_comes_out_as_it_went_in(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    with sinks.open(json=tmp_path / "x.jsonl", csv=tmp_path / "x.csv") as sink:
        sink.write(still(name), DOG)
    assert json.loads((tmp_path / "x.jsonl").read_text())["source"] == name
    assert b"caf\xe9.jpg,0" in (tmp_path / "x.csv").read_bytes()


def test_rows_on_stdout_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: List[bytes] = []

    class Out(io.BytesIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=Out()))
    with sinks.JsonLinesSink("-") as sink:
        monkeypatch.undo()  # a progress bar may put itself in the place of sys.stdout meanwhile
        sink.write(still(), DOG)
        sink.write(still(), DOG)
    assert [data.count(b"\n") for data in flushed] == [1, 2]
    assert sink.paths == []


PIPED = """
import sys, numpy as np
from support import media
from edgecsp.media import sinks
from edgecsp.types import *
try:
    with sinks.open(json="-", csv=sys.argv[1]) as sink:
        for i in range(100000):
            sink.write(Frame(media.scene(0), Stream("x.jpg")), Detections.empty())
except sinks.ReaderGone as gone:
    sys.exit(gone.exit_code)
"""


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PIPED, str(tmp_path / "x.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert json.loads(process.stdout.readline())["source"] == "x.jpg"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141
    assert (tmp_path / "x.csv").exists(), "what was done is good"


def test_stdout_on_a_full_disk() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = PIPED.replace("except sinks.ReaderGone as gone", "except sinks.base.OutputError as gone").replace(
        "sys.exit(gone.exit_code)", "sys.exit(str(gone))"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", code, "-"], stdout=full, stderr=subprocess.PIPE, env=env)
    assert b"two results cannot both go to standard output" in done.stderr
    code = code.replace(", csv=sys.argv[1]", "")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, env=env)
    assert done.stderr == b"cannot write to standard output: No space left on device\n"


# ---- open


def source(*paths: Path) -> Any:
    return SimpleNamespace(paths=tuple(str(p) for p in paths))


def test_open_writes_all_that_was_asked(tmp_path: Path) -> None:
    names = {
        "out": tmp_path / "o",
        "json": tmp_path / "x.jsonl",
        "csv": tmp_path / "x.csv",
        "coco": tmp_path / "x.json",
    }
    with sinks.open(**names, sources=[source(tmp_path / "dog.jpg")]) as sink:
        sink.write(still(), DOG)
    assert sink.paths == [tmp_path / "o" / "dog.jpg", names["json"], names["csv"], names["coco"]]
    assert all(path.exists() for path in sink.paths)


def test_nothing_asked_goes_into_a_new_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in ("1", "2"):
        with sinks.open() as sink:
            sink.write(still(), DOG)
        assert sink.paths == [Path("runs", number, "dog.jpg")]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"json": "-", "csv": "-"}, "two results cannot both go to standard output"),
        ({"json": "x", "csv": "./x"}, "two results cannot both go to"),
        ({"coco": "-"}, "COCO results need a file"),
        ({"json": "dog.jpg"}, "would replace a source"),
        ({"out": ".", "json": "x.jsonl"}, "would replace a source"),
        ({"out": "x.jpg", "sources": [source(Path("dog.jpg")), source()]}, "is a single file"),
        ({"out": "x.jpg", "sources": [source(Path("a.jpg"), Path("b.jpg"))]}, "is a single file"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dog.jpg").write_bytes(b"precious")
    with pytest.raises(UsageError, match=words):
        sinks.open(**{"sources": [source(Path("dog.jpg"))], **asked})
    assert [p.name for p in tmp_path.iterdir()] == ["dog.jpg"]
    assert Path("dog.jpg").read_bytes() == b"precious"


def test_a_failing_sink_does_not_keep_the_others_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.replace

    def broken(part: Any, path: Any) -> None:
        if Path(path).name == "a":
            raise OSError(28, "No space left on device")
        rename(part, path)

    sink = sinks.open(json=tmp_path / "a", csv=tmp_path / "b", coco=tmp_path / "c")
    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OutputError, match=r"cannot write .*a: No space left"):
        sink.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "c"]
    assert sink.paths == [tmp_path / "b", tmp_path / "c"]


def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with sinks.open(out=tmp_path, json=tmp_path / "x.jsonl") as sink:
            sink.write(still(), DOG)
            for frame in film(count=2):
                sink.write(frame, DOG)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in sink.paths} == {0o640}


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not installed (Debian: ffmpeg)")
def test_ffprobe_agrees(tmp_path: Path) -> None:
    with sinks.AnnotatedSink(tmp_path) as sink:
        for frame in film(count=30, fps=29.97):
            sink.write(frame, DOG)
    fields = (
        "pix_fmt,color_space,color_transfer,color_primaries,color_range,r_frame_rate,nb_frames,start_time,codec_name"
    )
    done = subprocess.run(
        ["ffprobe", "-v", "warning", "-show_entries", f"stream={fields}", "-of", "json", str(sink.paths[0])],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    (stream,) = json.loads(done.stdout)["streams"]
    assert stream.pop("start_time") == "0.000000"
    assert abs(Fraction(stream.pop("r_frame_rate")) - Fraction(2997, 100)) < Fraction(1, 100)
    assert stream == {
        "codec_name": "h264", "pix_fmt": "yuv420p", "color_range": "tv", "color_space": "bt709",
        "color_transfer": "bt709", "color_primaries": "bt709", "nb_frames": "30",
    }  # fmt: skip
