"""`edgecsp import X.onnx` and `edgecsp run --model X.onnx` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.commands import edgecsp
from support.exports import ULTRALYTICS, cells, finder, planted


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A picture with one red square."""
    import cv2

    picture = np.full((150, 301, 3), (200, 60, 30), np.uint8)
    picture[50:100, 150:225] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "red.png"), picture)
    return tmp_path / "red.png"


def test_an_export_is_described_written_and_run(tmp_path: Path, red: Path) -> None:
    (tmp_path / "finder.onnx").write_bytes(finder("yolox", (192, 256)))
    (tmp_path / "one.names").write_text("red thing\n")
    made = edgecsp("import", "finder.onnx", "--names", "one.names", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    for words in (
        "recognised  yolox",
        "256x192 BGR, letterbox",
        "1x1008x6 anchor-free",
        "1: red thing",
        "3 of them conv",
    ):
        assert words in made.stdout
    said = json.loads(edgecsp("import", "finder.onnx", "--json", "-", "-o", "b.onnx", cwd=tmp_path).stdout)
    assert said["recognised"] == "yolox" and said["labels"] == ["class0"] and said["bflops"] > 0
    assert said["heads"][0]["shape"] == [1, 1008, 6] and said["notes"]
    for model in ("finder-edgecsp.onnx", "finder.onnx"):
        ran = edgecsp("run", red, "--model", model, "--json", "-", "--quiet", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        row: Any = json.loads(ran.stdout)
        assert row["detections"] or row.get("boxes")


def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "v10.onnx").write_bytes(planted({"output0": np.zeros((1, 300, 6), np.float32)}))
    (tmp_path / "seg.onnx").write_bytes(
        planted({"output0": np.zeros((1, 116, cells()), np.float32)}, props={**ULTRALYTICS, "task": "segment"})
    )
    (tmp_path / "text.onnx").write_text("not a model\n" * 9)
    before = sorted(path.name for path in tmp_path.iterdir())
    for code, words, said in (
        (3, ["import", "v10.onnx"], "edgecsp import v10.onnx --names FILE or --num-classes N"),
        (3, ["run", "x.jpg", "--model", "v10.onnx"], ""),
        (3, ["import", "seg.onnx"], "segmentation masks"),
        (3, ["import", "text.onnx"], "is not an ONNX file"),
        (3, ["import", "none.onnx"], "no model file"),
        (2, ["import", "v10.onnx", "v10.weights"], "remove v10.weights"),
        (2, ["import", "v10.onnx", "--num-classes", "80", "-o", "v10.onnx"], "give -o another name"),
        (2, ["import", "v10.onnx", "--kind", "yolov99"], "no kind is called 'yolov99'"),
        (2, ["import", "v10.onnx", "--num-classes", "80", "--imgsz", "64"], "cannot take 64x64"),
        (2, ["import", "x.cfg"], "edgecsp import x.cfg MODEL.weights"),
        (2, ["import", "x.cfg", "x.weights", "--kind", "yolox"], "--kind is only for"),
    ):
        ran = edgecsp(*words, cwd=tmp_path)
        assert ran.returncode == code and said in ran.stderr, (words, ran.stderr)
        assert "Traceback" not in ran.stderr and not ran.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == before
