"""The scripts of examples/ as a user runs them, each in a process of its own, on short inputs."""

from __future__ import annotations

import ast
import csv
import importlib.util
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

import edgecsp
from support import labelled, media, served
from support.mosquitto import PASSWORD, USER, Listener, Mosquitto
from support.repository import REPO, child_environment
from support.rtsp import RtspServer
from support.waiting import eventually

EXAMPLES = REPO / "examples"
FRAMES = 6


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the first frames of the demo video, as a video and as images."""
    import cv2

    capture = cv2.VideoCapture(str(REPO / "benchmarks" / "codes.mp4"))
    frames = [capture.read()[1] for _ in range(FRAMES)]
    capture.release()
    (tmp_path / "photos").mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / "photos" / f"{i}.png"), frames[i])
    media.video(tmp_path / "codes.mp4", FRAMES, size=(640, 480), draw=lambda index, width, height: frames[index])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))
    return tmp_path


def run(script: str, *words: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script in this process, as `python examples/SCRIPT WORDS` does in one of its own."""
    for name in re.findall(r"^import (\w+)|^from (\w+)", (EXAMPLES / script).read_text("utf-8"), re.MULTILINE):
        package = name[0] or name[1]
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package}, which {script} needs, is not installed")
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def test_every_example_has_a_test_and_a_row() -> None:
    here = {path.name for path in EXAMPLES.glob("*.py")}
    tests = (Path(__file__), REPO / "tests" / "train" / "test_examples_train.py")
    tested = {name for path in tests for name in re.findall(r'"((?!test_)\w+\.py)"', path.read_text("utf-8"))}
    page = (REPO / "docs" / "how-to" / "examples.md").read_text("utf-8")
    assert here == tested == set(re.findall(r"^\| `(\w+\.py)`", page, re.MULTILINE)) and len(here) >= 10
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text("utf-8")
        assert ast.get_docstring(ast.parse(text)) and len(text.splitlines()) <= 45, f"{path.name} is not short"


def test_folder_to_csv(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("folder_to_csv.py", "photos", "boxes.csv", monkeypatch=monkeypatch)
    rows = list(csv.DictReader((desk / "boxes.csv").read_text("utf-8").splitlines()))
    assert [(row["image"], row["label"]) for row in rows] == [
        (f"photos/{i}.png", label) for i in range(2) for label in ("qr", "barcode")
    ]
    assert 275 < float(rows[0]["left"]) < 291


def test_count_objects(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("count_objects.py", "codes.mp4", monkeypatch=monkeypatch)
    assert capsys.readouterr().out.splitlines()[-1] == "total: {'qr': 1, 'barcode': 1}"


def test_read_codes(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("read_codes.py", "codes.mp4", "--every", 2, monkeypatch=monkeypatch)
    out = capsys.readouterr().out
    assert "frame 0: qr: " in out and int(out.splitlines()[-1].split()[0]) >= 1, out


def test_compare_engines(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("compare_engines.py", "photos/0.png", monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(edgecsp.engines()) and all(" 2 boxes" in line for line in lines)


def test_draw_with_supervision(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("draw_with_supervision.py", "photos/0.png", "drawn.png", monkeypatch=monkeypatch)
    assert (desk / "drawn.png").read_bytes() != (desk / "photos" / "0.png").read_bytes()


def test_quantize_with_budget(desk: Path) -> None:
    if importlib.util.find_spec("faster_coco_eval") is None:
        pytest.skip("faster-coco-eval is not installed (edgecsp[val])")
    labelled.yolo(desk / "mine", ("qr", "barcode", "marker"))
    shutil.copy(str(REPO / "calib" / "codes.json"), str(desk / "ranges.json"))
    command: List[Any] = [sys.executable, EXAMPLES / "quantize_with_budget.py", "codes", "--calib", "ranges.json"]
    command += ["--data", "mine/data.yaml", "--budget", "0.5"]
    done = subprocess.run(command, cwd=desk, env=child_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and re.search(r"AP \d\.\d+ -> \d\.\d+", done.stdout), done.stderr
    assert (desk / "int8.onnx").stat().st_size > 1_000_000
    command[-1] = "-2"  # no loss is that small
    done = subprocess.run(command, cwd=desk, env=child_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "is removed" in done.stderr and not (desk / "int8.onnx").exists()


def test_triton_client(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("starlette", "uvicorn", "tritonclient"):
        pytest.importorskip(package, reason=f"{package} is not installed (edgecsp[serve], tritonclient[http])")
    with edgecsp.load("codes", "ort") as detector:
        model = detector.model
    with served.served(model) as here:
        run("triton_client.py", "photos/0.png", "--server", f"127.0.0.1:{here.port}", monkeypatch=monkeypatch)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["qr", "barcode"]


def test_batch_on_ray(desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    run(
        "batch_on_ray.py", "photos", "rows", "--engine", "ort", monkeypatch=monkeypatch
    )  # --ray: tests/batch/test_ray.py
    assert "2 frames: {'qr': 2, 'barcode': 2}" in capfd.readouterr().out


def test_rtsp_to_mqtt(desk: Path) -> None:
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (edgecsp[serve])")
    video = str(REPO / "benchmarks" / "codes.mp4")
    with Mosquitto(desk) as broker, RtspServer(video) as camera, Listener(broker.port) as listener:
        command: List[Any] = [sys.executable, EXAMPLES / "rtsp_to_mqtt.py", camera.url, "--port", broker.port]
        command += ["--broker", "127.0.0.1", "--username", USER, "--password", PASSWORD, "--topic", "home/door"]
        process = subprocess.Popen([*map(str, command)], cwd=desk, env=child_environment(), stderr=subprocess.PIPE)
        try:
            eventually(lambda: b'{"qr": 1, "barcode": 1}' in listener.payloads("home/door/counts"), 30)
            assert listener.payloads("home/door/availability") == [b"online"]
            camera.kill()
            camera.start()  # the same port: it is opened again
            seen = len(listener.payloads("home/door/counts"))
            eventually(lambda: len(listener.payloads("home/door/counts")) > seen, 30)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 0 and not said, said
        listener.client.publish("end", qos=1)  # the broker has closed the example's connection before it sends this on
        eventually(lambda: listener.on("end"))
        assert listener.payloads("home/door/availability") == [b"online", b"offline"]
