"""Lines as users of ultralytics' `yolo` type them are answered with the line to type, which the parser takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import List

import cv2
import numpy as np
import pytest
import typer

from edgecsp.backends import registry
from edgecsp.cli import app
from edgecsp.errors import EdgecspError, UsageError
from support.commands import edgecsp, invoke


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], words: str) -> List[str]:
    """The lines that a command line is answered with, without the first; the last of them can be parsed."""
    with pytest.raises(UsageError) as error:
        invoke(capsys, *shlex.split(words))
    first, *lines = str(error.value).split("\n  ")
    assert first == "that is how ultralytics' yolo is typed; type:"
    (line,) = [each for each in lines if each.startswith("edgecsp ")]
    command, *rest = shlex.split(line)[1:]
    parsed = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    parsed.make_context(command, rest, parent=None)
    return lines


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("predict model=yolov8n.onnx source=bus.jpg", ["edgecsp run bus.jpg --model yolov8n.onnx"]),
        ("detect predict source=0", ["edgecsp run 0"]),
        ("detect street.mp4 --conf 0.4", ["edgecsp run street.mp4 --conf 0.4"]),
        ("detect", ["edgecsp run SOURCE"]),
        ("model=best.onnx source='my film.mp4'", ["edgecsp run 'my film.mp4' --model best.onnx"]),
        ("run source=bus.jpg model=codes", ["edgecsp run bus.jpg --model codes"]),
        (
            (
                "predict model=codes source=a.mp4 conf=0.4 imgsz=480,640 half=True save_txt=True show=False "
                "classes=[0,2] vid_stride=2 device=0 augment=True"
            ),
            [
                (
                    "edgecsp run a.mp4 --model codes --conf 0.4 --imgsz 480x640 --precision fp16 --save-txt "
                    "--classes 0,2 --vid-stride 2 --device cuda"
                ),
                "(without a counterpart here: augment=True)",
            ],
        ),
        (
            "predict model=runs/yolov8n.pt source=a.jpg",
            ["yolo export model=runs/yolov8n.pt format=onnx", "edgecsp run a.jpg --model runs/yolov8n.onnx"],
        ),
        ("detect val model=x.onnx data=coco.yaml", ["edgecsp val x.onnx --data coco.yaml"]),
        (
            "detect train model=yolov8n.pt data=coco8.yaml epochs=3 imgsz=64 lr0=0.01 device=0",
            [
                "edgecsp train yolov4-tiny --data coco8.yaml --epochs 3 --imgsz 64 --lr 0.01 --device 0",
                "(yolov8n.pt is a network that only ultralytics has; edgecsp trains those of: edgecsp models list)",
            ],
        ),
        ("track source=a.mp4", ["edgecsp run a.mp4", "(edgecsp finds boxes in each frame and does not track them)"]),
    ],
)
def test_the_line_to_type(typed: str, lines: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, typed) == lines


def test_a_terminal_shows_the_line_to_type_as_a_line() -> None:
    done = edgecsp("predict", "model=yolov8n.pt", "source=bus.jpg", code=2)
    assert [line.strip() for line in done.stderr.splitlines()[1:]] == [
        "yolo export model=yolov8n.pt format=onnx",
        "edgecsp run bus.jpg --model yolov8n.onnx",
    ]


def test_a_file_and_a_value_of_an_option_are_no_such_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are as ever: here the source has no image in it, and there is no sink of that name."""
    (folder / "source=1").mkdir()
    for words in (["run", "source=1"], ["run", "source=1", "--sink", "model=x"]):
        with pytest.raises(EdgecspError, match=r"source=1|sink"):
            invoke(capsys, *words)


@pytest.mark.parametrize("name", ["yolov8n.pt", "weights/last.PTH"])
def test_a_checkpoint_is_told_how_to_be_exported(folder: Path, name: str) -> None:
    """There or not: both are what a user has at hand."""
    cv2.imwrite(str(folder / "a.png"), np.zeros((32, 32, 3), np.uint8))
    for _ in range(2):
        done = edgecsp("run", "a.png", "--model", name, code=2, cwd=folder)
        onnx = Path(name).with_suffix(".onnx")
        assert f"yolo export model={name} format=onnx; then: --model {onnx}" in done.stderr
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"PK\x03\x04")
    (folder / onnx).touch()
    assert f"{onnx} is beside it" in edgecsp("run", "a.png", "--model", name, code=2, cwd=folder).stderr


@pytest.mark.parametrize("name", ["yolo.cfg", "yolo.weights"])
def test_a_darknet_file_is_told_how_to_be_imported(folder: Path, name: str) -> None:
    cv2.imwrite(str(folder / "a.png"), np.zeros((32, 32, 3), np.uint8))
    for _ in range(2):
        done = edgecsp("run", "a.png", "--model", name, code=2, cwd=folder)
        command = "edgecsp import yolo.cfg yolo.weights --names LABELS -o yolo.onnx; then: --model yolo.onnx"
        assert f"{name} is a darknet file, and edgecsp runs ONNX files; type: {command}" in done.stderr
        (folder / name).write_bytes(b"[net]")


def test_aliases_of_engines() -> None:
    assert {alias: registry.resolve(alias) for alias in ("onnxruntime", "tensorrt", "auto", "ort", "other")} == {
        "onnxruntime": "ort", "tensorrt": "trt", "auto": "auto", "ort": "ort", "other": "other",
    }  # fmt: skip
    assert registry.find("onnxruntime") is registry.find("ort")


def test_an_alias_is_the_engine(folder: Path) -> None:
    cv2.imwrite(str(folder / "a.png"), np.zeros((32, 32, 3), np.uint8))
    done = edgecsp("run", "a.png", "--engine", "onnxruntime", "-v", code=0, cwd=folder)
    assert "on ort on cpu" in done.stderr
    table = edgecsp("verify", "codes", "--engine", "onnxruntime,tensorrt", cwd=folder)
    assert "\nort " in table.stdout and "onnxruntime " not in table.stdout, table
