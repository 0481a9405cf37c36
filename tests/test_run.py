"""`edgecsp run` as a user types it: real weights, real pictures, a real video; a child process each time."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from support.commands import edgecsp
from support.repository import REPO, child_environment


def rows(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def iou(a: List[float], b: List[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(0.0, w) * max(0.0, h)
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


@pytest.fixture(scope="module")
def fastest(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """yolo-fastest-1.1-xl, imported through the command line."""
    target = tmp_path_factory.mktemp("model") / "fastest.onnx"
    weights = test_data / "weights"
    made = edgecsp(
        "import", weights / "yolo-fastest-1.1-xl.cfg", weights / "yolo-fastest-1.1-xl.weights",
        "--names", weights / "coco.names", "-o", target,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert re.search(r"BFLOPs +0\.725", made.stdout)
    assert "stride 32, mask 3,4,5: 115x73  119x199  242x238" in made.stdout
    return target


@pytest.fixture(scope="module")
def pictures(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of one size, as a folder."""
    import cv2

    folder = tmp_path_factory.mktemp("pictures")
    for path in sorted((test_data / "data" / "coco64" / "images").glob("*.jpg"))[:8]:
        cv2.imwrite(str(folder / f"{path.stem}.png"), cv2.resize(cv2.imread(str(path)), (640, 480)))
    return folder


@pytest.fixture(scope="module")
def clip(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures as a video, one frame each, nearly without loss."""
    import av
    import cv2

    target = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv444p"
        stream.options = {"crf": "4"}
        for path in sorted(pictures.iterdir()):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cv2.imread(str(path)), format="bgr24")))
        container.mux(stream.encode(None))
    return target


def test_a_video_gives_an_mp4_and_the_boxes_of_its_pictures(
    fastest: Path, pictures: Path, clip: Path, tmp_path: Path
) -> None:
    video = edgecsp("run", clip, "-m", fastest, "--out", tmp_path / "out.mp4", "--json", tmp_path / "video.jsonl")
    still = edgecsp("run", pictures, "-m", fastest, "--json", tmp_path / "still.jsonl")
    assert video.returncode == still.returncode == 0, video.stderr + still.stderr
    assert "8 frames in" in video.stderr
    of_video, of_still = rows(tmp_path / "video.jsonl"), rows(tmp_path / "still.jsonl")
    assert [row["frame"] for row in of_video] == list(range(8))
    assert [row["pts_s"] for row in of_video] == pytest.approx([i / 5 for i in range(8)], abs=1e-3)
    assert all((row["width"], row["height"]) == (640, 480) for row in of_video)
    compared = 0
    for a, b in zip(of_video, of_still):
        for want in b["detections"]:
            if want["score"] < 0.4:  # nearer to the threshold, compression may drop it
                continue
            near = [d for d in a["detections"] if d["label"] == want["label"] and iou(d["xyxy"], want["xyxy"]) > 0.9]
            assert near, (a["frame"], want)
            assert min(abs(d["score"] - want["score"]) for d in near) < 0.08
            compared += 1
    assert compared >= 15


def test_ffprobe_accepts_the_mp4(fastest: Path, clip: Path, tmp_path: Path) -> None:
    if not shutil.which("ffprobe"):
        pytest.skip("ffprobe is not installed (Debian: ffmpeg)")
    assert edgecsp("run", clip, "-m", fastest, "--out", tmp_path / "out.mp4", "-q").returncode == 0
    said = json.loads(
        subprocess.run(
            ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(tmp_path / "out.mp4")],
            check=True, capture_output=True,
        ).stdout
    )["streams"][0]  # fmt: skip
    assert (said["codec_name"], said["pix_fmt"], said["nb_read_frames"]) == ("h264", "yuv420p", "8")
    assert (said["width"], said["height"]) == (640, 480)


def test_annotated_copies_go_to_a_new_folder_each_time(fastest: Path, pictures: Path, tmp_path: Path) -> None:
    env = child_environment()
    for _ in range(2):
        assert edgecsp("run", pictures, "-m", fastest, "-q", cwd=tmp_path, env=env).returncode == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["1", "2"]
    assert len(list((tmp_path / "runs" / "1").iterdir())) == 8


def test_csv_coco_and_class_filter(fastest: Path, pictures: Path, tmp_path: Path) -> None:
    table, coco = tmp_path / "x.csv", tmp_path / "x.json"
    done = edgecsp(
        "run", pictures, "-m", fastest, "--csv", table, "--save-json", coco, "--classes", "bowl,0", "--conf", 0.3
    )
    assert done.returncode == 0, done.stderr
    with open(table, newline="") as file:
        found = list(csv.DictReader(file))
    assert {row["label"] for row in found} == {"bowl", "person"}
    results = json.loads(coco.read_text())
    assert len(results) == len(found)
    assert {row["category_id"] for row in results} == {1, 51}
    assert all(row["score"] >= 0.3 for row in results)


def test_stdin_to_stdout(fastest: Path, pictures: Path) -> None:
    picture = sorted(pictures.iterdir())[0].read_bytes()
    command = [sys.executable, "-m", "edgecsp", "run", "-", "-m", str(fastest), "--json", "-"]
    done = subprocess.run(command, input=picture, capture_output=True, timeout=120, cwd=REPO)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # one line, and nothing else on stdout
    assert (said["schema"], said["width"], said["height"]) == ("edgecsp/1", 640, 480)
    assert {d["label"] for d in said["detections"]} >= {"bowl", "broccoli"}


def test_one_unreadable_picture_is_told_and_the_rest_is_done(fastest: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(str(pictures), str(folder))
    (folder / "broken.jpg").write_bytes(b"no picture at all")
    done = edgecsp("run", folder, "-m", fastest, "--json", tmp_path / "x.jsonl")
    assert done.returncode == 4
    assert "broken.jpg" in done.stderr
    assert len(rows(tmp_path / "x.jsonl")) == 8


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.mp4", "-m", "MODEL"], 3, "nowhere.mp4"),
        (["PICTURES", "-m", "nomodel.onnx"], 3, "nomodel.onnx"),
        (["PICTURES", "-m", "MODEL", "--engine", "ortt"], 2, "Did you mean 'ort'"),
        (["PICTURES", "-m", "MODEL", "--device", "cuda"], 6, "cuda"),
        (["PICTURES", "-m", "MODEL", "--classes", "persn"], 2, "Did you mean 'person'"),
        (["PICTURES", "-m", "MODEL", "--conf", "25"], 2, "from 0 to 1"),
        (["PICTURES", "-m", "MODEL", "--imgsz", "321"], 2, "multiples of 32"),
        (["PICTURES", "-m", "MODEL", "--stride", "0"], 2, "stride"),
        (["PICTURES", "-m", "MODEL", "--out", "/proc/nothing/x"], 5, "/proc/nothing"),
    ],
)
def test_bad_input_is_one_clear_line(
    words: List[str], code: int, said: str, fastest: Path, pictures: Path, tmp_path: Path
) -> None:
    named = {"MODEL": str(fastest), "PICTURES": str(pictures)}
    done = edgecsp("run", *[named.get(word, word) for word in words], cwd=tmp_path, env=child_environment())
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_mp4(number: int, code: int, fastest: Path, clip: Path, tmp_path: Path) -> None:
    import av

    command = [sys.executable, "-m", "edgecsp", "run", str(clip), "-m", str(fastest), "--out", str(tmp_path / "o.mp4")]
    # A big input makes a frame take long enough; the first row on stdout says that the run is under way.
    command += ["--imgsz", "1600", "--json", "-", "-q"]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert 1 <= sum(1 for _ in container.decode(video=0)) < 8
    assert not list(tmp_path.glob(".*"))


def test_several_videos_at_once_each_to_its_own_file(clip: Path, tmp_path: Path) -> None:
    """Their lines are mixed and each one's are in order; one that is no video costs the others nothing."""
    names = ["a.mp4", "broken.mp4", "b.mp4"]
    for name in names:
        shutil.copy(str(clip), str(tmp_path / name))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths = [str(tmp_path / name) for name in names]
    done = edgecsp("run", *paths, "--engine", "null", "--out", tmp_path / "out", "--json", tmp_path / "x.jsonl")
    assert done.returncode == 4, done.stderr
    assert "16 frames in" in done.stderr and "broken.mp4 is not a video" in done.stderr
    for name in ("a.mp4", "b.mp4"):
        of_one = [row["frame"] for row in rows(tmp_path / "x.jsonl") if row["source"].endswith(name)]
        assert of_one == list(range(8))
        assert (tmp_path / "out" / name).stat().st_size > 1000
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals on Windows")
def test_the_progress_names_each_stream(clip: Path, tmp_path: Path) -> None:
    import pty

    for name in ("first.mp4", "second.mp4"):
        shutil.copy(str(clip), str(tmp_path / name))
    command = [sys.executable, "-m", "edgecsp", "run", "first.mp4", "second.mp4", "--engine", "null"]
    ours, theirs = pty.openpty()
    env = child_environment(TERM="xterm", COLUMNS="120")
    with subprocess.Popen(
        [*command, "--json", "x.jsonl"], cwd=tmp_path, env=env, stderr=theirs, stdout=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
        assert process.wait(timeout=60) == 0, said
    os.close(ours)
    for word in (b"detecting", b"first.mp4", b"second.mp4", b"/8", b"16 frames in"):
        assert word in said, word


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A frame that is kept is a slope: 1500 frames of 640x480 are 1.4 GB, their YUV alone 690 MB."""
    from support import media

    video = media.video(tmp_path / "long.mp4", 1500, size=(640, 480))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(video), "--engine", "null"],
        capture_output=True, text=True, timeout=600, cwd=REPO,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frames, grows = re.match(r"(\d+) frames: .*grows (-?[\d.]+) MB", done.stdout).groups()
    assert int(frames) == 1500
    assert float(grows) < 8, done.stdout


def test_the_python_api(fastest: Path, pictures: Path, clip: Path) -> None:
    import cv2

    import edgecsp as package

    with package.load(str(fastest), engine="ort", conf=0.3, classes=["bowl"]) as detector:
        path = sorted(pictures.iterdir())[0]
        by_path = detector(str(path))
        by_array = detector(cv2.imread(str(path)))
        assert isinstance(by_path, package.Detections) and len(by_path) >= 1
        assert np.array_equal(by_path.xyxy, by_array.xyxy)
        assert {row.label for row in by_path} == {"bowl"}
        frames = [frame.index for frame, _ in detector.stream(str(clip), stride=3)]
    assert frames == [0, 3, 6]


def test_a_classifier_prints_its_top_five(tiny_picture: Path, tmp_path: Path) -> None:
    words = ["run", tiny_picture, "-m", "cspdensenetb-ref", "--weights", "random", "--out", tmp_path / "out"]
    done = edgecsp(*words)
    assert done.returncode == 0, done.stderr
    assert "RANDOM WEIGHTS" in done.stderr
    name, _, classes = done.stdout.strip().partition(": ")
    scores = [float(word.split()[1]) for word in classes.split(", ")]
    assert (name, len(scores)) == (str(tiny_picture), 5)
    assert scores == sorted(scores, reverse=True)


def test_a_two_stage_detector_runs_like_any_other(tiny_picture: Path, tmp_path: Path) -> None:
    words = ["run", tiny_picture, "-m", "snet49-thundernet", "--weights", "random", "--conf", "0.02"]
    done = edgecsp(*words, "--json", tmp_path / "x.jsonl")
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path / "x.jsonl")
    assert row["detections"]
    for found in row["detections"]:
        x0, y0, x1, y1 = found["xyxy"]
        assert 0 <= x0 <= x1 <= 160 and 0 <= y0 <= y1 <= 120 and 0.02 <= found["score"] <= 1


@pytest.fixture
def tiny_picture(tmp_path: Path) -> Path:
    from support import media

    path = tmp_path / "picture.jpg"
    path.write_bytes(media.jpeg(media.scene(0)))
    return path
