"""What a command writes: into devices and pipes, beside its sources, under long names, next to other runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
import pytest

from edgecsp.cache import files
from edgecsp.errors import OutputError, ReaderGone, UsageError
from edgecsp.graph import labels
from edgecsp.media import sinks
from edgecsp.media.sinks.mp4 import Mp4
from edgecsp.types import Detections, Frame, Stream
from support import media
from support.commands import edgecsp
from support.repository import REPO

DOG = Detections(np.float32([[10, 20, 60, 90]]), np.float32([0.9]), np.int64([16]), labels.COCO)
PAYLOAD = b"detections" * 1000
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes devices")


def frame(name: str, *, kind: str = "image", index: int = 0) -> Frame:
    return Frame(media.scene(0), Stream(name, kind), index=index, pts_s=index / 25)


def source(*paths: Path) -> Any:
    return SimpleNamespace(paths=tuple(str(path) for path in paths))


def leftovers(folder: Path) -> List[str]:
    return sorted(path.name for path in folder.rglob(".*"))


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A null device of our own: the machine's stays out of danger."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no right to make devices here")
    return path


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Any]:
    """A FIFO and what was read from it, once it was closed."""
    path, got = tmp_path / "fifo.mp4", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()

    def read() -> bytes:
        reader.join(60)
        return got[0]

    yield SimpleNamespace(path=path, read=read)
    if reader.is_alive():
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


# ---- what is no regular file


@root
def test_a_device_is_written_into(device: Path) -> None:
    with files.atomic(device) as file:
        file.write(PAYLOAD)
    for make in (sinks.JsonLinesSink, sinks.CsvSink, sinks.CocoSink):
        with make(device) as sink:
            sink.write(frame("a.jpg"), DOG)
    link = device.with_name("link")
    link.symlink_to(device)
    with files.atomic(link) as file:
        file.write(PAYLOAD)
    assert stat.S_ISCHR(device.stat().st_mode) and device.stat().st_rdev == os.makedev(1, 3)
    assert sorted(path.name for path in device.parent.iterdir()) == ["link", "null"]


def test_a_fifo_is_written_into(fifo: Any) -> None:
    with files.atomic(fifo.path) as file:
        file.write(PAYLOAD)
    assert fifo.read() == PAYLOAD and stat.S_ISFIFO(fifo.path.stat().st_mode)
    assert os.listdir(fifo.path.parent) == [fifo.path.name]


def test_rows_reach_the_reader_of_a_fifo_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    os.mkfifo(path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ReaderGone), sinks.JsonLinesSink(path) as sink:
        sink.write(frame("a.jpg"), DOG)
        assert json.loads(os.read(handle, 1 << 16))["source"] == "a.jpg"
        os.close(handle)
        sink.write(frame("b.jpg"), DOG)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_video_goes_into_a_fifo_when_it_is_whole(fifo: Any, tmp_path: Path) -> None:
    stream = Stream("clip.avi", "video")
    with sinks.AnnotatedSink(fifo.path) as sink:
        for index in range(3):
            sink.write(Frame(media.scene(index), stream, index=index, pts_s=index / 25), DOG)
    data = fifo.read()
    assert data[4:8] == b"ftyp" and data.index(b"moov") < data.index(b"mdat")
    assert stat.S_ISFIFO(fifo.path.stat().st_mode) and os.listdir(tmp_path) == [fifo.path.name]


@pytest.mark.parametrize("place", ["/dev/fd/{}", "/proc/self/fd/{}", "{link}"])
def test_an_open_file_is_written_on_not_replaced(place: str, tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system has no /proc")
    shared = tmp_path / "shared"
    with open(shared, "wb", buffering=0) as outside:
        outside.write(b"before ")
        link = tmp_path / "link"
        link.symlink_to(f"/dev/fd/{outside.fileno()}")
        inode = shared.stat().st_ino
        with files.atomic(place.format(outside.fileno(), link=link)) as file:
            file.write(b"ours ")
        outside.write(b"after")
    assert shared.read_bytes() == b"before ours after" and shared.stat().st_ino == inode
    assert sorted(os.listdir(tmp_path)) == ["link", "shared"] and link.is_symlink()


def test_run_writes_into_stdout_by_its_path(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), media.scene(0))
    with open(tmp_path / "rows", "wb") as rows:
        rows.write(b"# head\n")
        rows.flush()
        command = [sys.executable, "-m", "edgecsp", "run", str(picture), "--json", "/dev/stdout", "-q"]
        done = subprocess.run(command, cwd=REPO, stdout=rows, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 0, done.stderr
    head, row = (tmp_path / "rows").read_bytes().splitlines()
    assert head == b"# head" and json.loads(row)["source"] == str(picture)
    twice = edgecsp("run", picture, "--json", "-", "--csv", "/dev/stdout", "-q")
    assert twice.returncode == 2 and "standard output" in twice.stderr


def test_a_closed_descriptor_is_told() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/fd/979: Bad file descriptor"), files.atomic("/dev/fd/979"):
        pass


def test_symlinks_stay_and_what_they_lead_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link, second = tmp_path / "far" / "real.json", tmp_path / "link.json", tmp_path / "second.json"
    real.write_bytes(b"old")
    link.symlink_to("far/real.json")
    second.symlink_to("link.json")
    for data in (b"new", b"newer"):
        with files.atomic(second) as file:
            file.write(data)
        assert real.read_bytes() == data and link.is_symlink() and second.is_symlink()
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "far" / "later")
    with files.atomic(dangling) as file:
        file.write(b"there")
    assert dangling.is_symlink() and (tmp_path / "far" / "later").read_bytes() == b"there"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match="cannot write"), files.atomic(tmp_path / "loop"):
        pass
    assert sorted(os.listdir(tmp_path / "far")) == ["later", "real.json"]


def test_a_video_through_a_symlink(tmp_path: Path) -> None:
    link, real = tmp_path / "link.mp4", tmp_path / "real.mp4"
    link.symlink_to(real)
    video = Mp4(link, (48, 64), 25)
    video.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    video.close()
    assert link.is_symlink() and real.read_bytes()[4:8] == b"ftyp"


# ---- beside the sources


def test_a_copy_never_replaces_what_this_run_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "dog.bmp").write_bytes(b"the source")
    precious = {"dog.png": b"precious", "clip.mp4": b"film", "clip-2.mp4": b"film 2"}
    for name, data in precious.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "cat.png").symlink_to("nowhere")
    inputs = [str(tmp_path / name) for name in ("dog.bmp", "clip.avi", "cat.bmp")]
    for number in (2, 3):
        with sinks.AnnotatedSink(tmp_path, inputs=inputs) as sink:
            sink.write(frame(inputs[0]), DOG)
            sink.write(frame(inputs[1], kind="video"), DOG)
            sink.write(frame(inputs[2]), DOG)
        names = [path.name for path in sink.paths]
        assert sorted(names) == [f"cat-{number}.png", f"clip-{number + 1}.mp4", f"dog-{number}.png"]
        assert "existed before" in sink.notes[0] and "--overwrite" in sink.notes[0]
        assert all((tmp_path / name).read_bytes() == data for name, data in precious.items())
    with sinks.AnnotatedSink(tmp_path, inputs=inputs, overwrite=True) as sink:
        sink.write(frame(inputs[0]), DOG)
    assert [path.name for path in sink.paths] == ["dog.png"] and not sink.notes
    assert cv2.imread(str(tmp_path / "dog.png")) is not None and leftovers(tmp_path) == []


def test_overwrite_spares_the_sources(tmp_path: Path) -> None:
    source_ = tmp_path / "dog.jpg"
    source_.write_bytes(b"the source")
    with pytest.raises(UsageError, match="would replace a source"):
        sinks.open(out=tmp_path, sources=[source(source_)], overwrite=True)
    with pytest.raises(UsageError, match="would replace a source"):
        sinks.open(json=source_, sources=[source(source_)])
    assert source_.read_bytes() == b"the source"


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "exFAT"])
def test_of_two_runs_in_one_folder_each_keeps_its_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Both choose the same name, before either has its file."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no hard links")))
    with sinks.AnnotatedSink(tmp_path) as one, sinks.AnnotatedSink(tmp_path) as two:
        for sink in (one, two):
            sink.write(frame("clip.avi", kind="video"), DOG)
    assert {path.name for path in (*one.paths, *two.paths)} == {"clip.mp4", "clip-2.mp4"}
    assert all(path.read_bytes()[4:8] == b"ftyp" for path in (*one.paths, *two.paths))
    assert sorted(os.listdir(tmp_path)) == ["clip-2.mp4", "clip.mp4"]


def test_names_of_copies_follow_the_order_of_the_sources(tmp_path: Path) -> None:
    inputs = ["a/cam.avi", "b/cam.avi", "c/cam.mkv"]
    for order in (inputs, inputs[::-1]):
        out = tmp_path / order[0][0]
        with sinks.AnnotatedSink(out, inputs=inputs) as sink:
            for name in order:
                moving = frame(name, kind="video")
                sink.write(moving, DOG)
                sink.end_stream(moving.stream)
        made = dict(zip(order, (path.name for path in sink.paths)))
        assert made == {"a/cam.avi": "cam.mp4", "b/cam.avi": "cam-2.mp4", "c/cam.mkv": "cam-3.mp4"}


def test_two_sources_of_one_stem_have_two_image_ids(tmp_path: Path) -> None:
    inputs = ["a/cam.mp4", "b/cam.mp4", "x.jpg", "x.png", "a/000139.jpg", "b/000139.jpg", "y.jpg", "y-2.jpg", "z/y.jpg"]
    ids: Dict[str, Any] = {}
    for order in (inputs, inputs[::-1]):
        with sinks.open(coco=tmp_path / "c.json", sources=[source(*map(Path, inputs))]) as sink:
            for name in order:
                sink.write(frame(name, kind="video" if name.endswith("mp4") else "image", index=7), DOG)
        found = [row["image_id"] for row in json.loads((tmp_path / "c.json").read_text())]
        assert len(set(found)) == len(inputs)
        ids = dict(zip(order, found))
        assert [ids[name] for name in inputs[:6]] == ["cam_7", "cam-2_7", "x", "x-2", 139, "000139-2"]
    assert ids["y.jpg"] == "y"


LONG = ["\U0001f436" * 62, "\u72ac" * 83, "d" * 251]  # 248, 249 and 251 bytes, and .jpg behind


@pytest.mark.parametrize("stem", LONG, ids=["emoji", "kanji", "ascii"])
def test_long_names_are_cut_between_characters_and_stay_apart(tmp_path: Path, stem: str) -> None:
    names = [f"{folder}/{stem}.jpg" for folder in "abc"] + [f"d/{stem}.avi"]
    with sinks.AnnotatedSink(tmp_path, inputs=names) as sink:
        for name in names:
            sink.write(frame(name, kind="video" if name.endswith("avi") else "image"), DOG)
    assert len(set(sink.paths)) == 4 and all(path.exists() for path in sink.paths)
    for path in sink.paths:
        beginning = path.stem.rpartition("-")[0] or path.stem
        assert len(os.fsencode(path.name)) <= 255 and stem.startswith(beginning) and len(beginning) > len(stem) * 0.9
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("stem", LONG, ids=["emoji", "kanji", "ascii"])
def test_a_file_of_the_longest_name_can_be_written(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.j"
    with files.atomic(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and leftovers(tmp_path) == []


# ---- several runs at once, and runs that died

RUNNER = """
import sys
from edgecsp.media import sinks
print("ready", flush=True)
sys.stdin.readline()
print(sinks._next_run().name, flush=True)
"""


def test_four_runs_at_once_get_four_folders(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNNER]
    for _ in range(3):
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        runs = [
            subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for run in runs:
            assert run.stdout.readline() == "ready\n"
        for run in runs:
            run.stdin.write("\n")
            run.stdin.flush()
        names = [run.communicate(timeout=60)[0].strip() for run in runs]
        assert sorted(names) == ["1", "2", "3", "4"] == sorted(os.listdir(tmp_path / "runs"))


def test_a_run_that_looked_at_the_same_moment_makes_the_next_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with sinks.open() as one, sinks.open() as two:  # neither has written yet
        for sink in (one, two):
            sink.write(frame("dog.jpg"), DOG)
    assert [sink.paths for sink in (one, two)] == [[Path("runs/1/dog.jpg")], [Path("runs/2/dog.jpg")]]
    with pytest.raises(ZeroDivisionError), sinks.open():
        raise ZeroDivisionError
    assert sorted(os.listdir("runs")) == ["1", "2"]


WRITER = """
import sys, time
import numpy as np
from edgecsp.cache import files
from edgecsp.media.sinks.mp4 import Mp4
video = Mp4(__import__("pathlib").Path(sys.argv[1]) / "clip.mp4", (48, 64), 25)
video.write(np.zeros((48, 64, 3), np.uint8), 0.0)
with files.atomic(sys.argv[1] + "/rows.jsonl") as file:
    file.write(b"row")
    file.flush()
    print("half", flush=True)
    sys.stdin.readline()
video.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the locks are Linux's")
def test_parts_of_a_dead_run_go_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    (tmp_path / ".mine.part").write_bytes(b"somebody else's")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"half\n"
    assert len(leftovers(tmp_path)) == 5
    dead, living = writers
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    with sinks.AnnotatedSink(tmp_path) as sink:
        sink.write(frame("dog.jpg"), DOG)
        assert len(leftovers(tmp_path)) == 3
        living.communicate(b"\n", timeout=60)
    assert living.returncode == 0 and leftovers(tmp_path) == [".mine.part"]
    assert sorted(os.listdir(tmp_path)) == [".mine.part", "clip.mp4", "dog.jpg", "rows.jsonl"]


def test_a_part_that_is_taken_for_a_leftover_before_it_is_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, first = files._lock, []

    def slowly(handle: int, *, wait: bool) -> bool:
        if wait and not first:
            first.append(True)
            files.remove_leftovers(tmp_path)  # another process, at the worst moment
        return real(handle, wait=wait)

    monkeypatch.setattr(files, "_lock", slowly)
    with files.atomic(tmp_path / "a") as file:
        file.write(b"whole")
    assert first and os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"whole"


# ---- the folder goes under a run


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_folder_that_was_removed_is_told(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputError, match=r"cannot write .*out"), sinks.AnnotatedSink(out) as sink:
        sink.write(frame("a.avi", kind=kind), DOG)
        shutil.rmtree(out)
        sink.write(frame("b.avi", kind=kind), DOG)
    assert not out.exists()
    with pytest.raises(OutputError, match="removed during the run"), sinks.AnnotatedSink(out) as sink:
        out.rmdir()
        sink.write(frame("a.avi", kind=kind), DOG)


def test_rows_whose_folder_was_removed_are_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    gone = pytest.raises(OutputError, match=r"cannot write .*rows.jsonl: No such file")
    with gone, sinks.JsonLinesSink(out / "rows.jsonl") as sink:
        sink.write(frame("a.jpg"), DOG)
        shutil.rmtree(out)
    assert not out.exists()


# ---- commands that write one file


def test_import_replaces_none_of_its_sources(tmp_path: Path) -> None:
    names = ["m.cfg", "m.weights", "m.names"]
    (tmp_path / "m.cfg").write_text((REPO / "tests" / "data" / "yolov3-tiny.cfg").read_text())
    (tmp_path / "m.weights").write_bytes(np.int32([0, 2, 0, 0, 0]).tobytes() + bytes(4 * 8_858_734))
    (tmp_path / "m.names").write_text("\n".join(labels.COCO))
    before = [files.digest_of(tmp_path / name) for name in names]
    for target in names:
        done = edgecsp(
            "import", *(tmp_path / name for name in names[:2]), "-n", tmp_path / "m.names", "-o", tmp_path / target
        )
        assert done.returncode == 2 and "would replace a source" in done.stderr
    assert [files.digest_of(tmp_path / name) for name in names] == before and len(os.listdir(tmp_path)) == 3


def test_import_into_a_fifo(fifo: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its digest is of what was written: a pipe cannot be read again."""
    folder = tmp_path_factory.mktemp("model")
    weights = folder / "m.weights"
    weights.write_bytes(np.int32([0, 2, 0, 0, 0]).tobytes() + bytes(4 * 8_858_734))
    done = edgecsp("import", REPO / "tests" / "data" / "yolov3-tiny.cfg", weights, "-o", fifo.path, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == hashlib.sha256(fifo.read()).hexdigest()
    assert stat.S_ISFIFO(fifo.path.stat().st_mode)


def test_a_batch_whose_folder_is_removed(tmp_path: Path) -> None:
    """The folder is made again by what comes after, but its manifest would name files that have gone."""
    from edgecsp.batch.ledger import Ledger

    ledger = Ledger(str(tmp_path / "out"))
    ledger.check_settings({"model": "codes"})
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(OutputError, match="out was removed during the run"):
        ledger.write_manifest({}, [])
    assert not (tmp_path / "out").exists()
