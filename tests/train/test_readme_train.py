"""What the documents show of training runs, with few small images."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.repository import REPO

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

import edgecsp  # noqa: E402
from edgecsp import zoo  # noqa: E402
from edgecsp.importers.darknet import weights, writing  # noqa: E402
from edgecsp.train.network import Network  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402

PAGE = (REPO / "docs" / "reference" / "train.md").read_text("utf-8")
QUICK = " --epochs 1 --imgsz 64 --batch 4 --workers 0"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds what the page speaks of."""
    monkeypatch.chdir(tmp_path)
    draw_shapes(tmp_path / "cards", 4)
    (tmp_path / "photos").symlink_to(tmp_path / "cards" / "images" / "val")
    (tmp_path / "photo.jpg").symlink_to(tmp_path / "photos" / "0.png")
    return tmp_path


@pytest.mark.slow
def test_every_command_runs(desk: Path) -> None:
    entry = zoo.get("yolov4-tiny")
    net = entry.net((64, 64))
    (desk / "yolov4-tiny.cfg").write_text(writing.text(net, entry.anchors))
    with (desk / "yolov4-tiny.weights").open("wb") as file:
        weights.write(file, Network(net).start().floats())
    lines = [line for line in PAGE.splitlines() if line.startswith("edgecsp ")]
    assert len(lines) >= 4
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "EDGECSP_HOME": str(desk / "home")}
    for line in lines:
        command = line.split("#")[0].replace("--epochs 100", "") + (QUICK if line.startswith("edgecsp train") else "")
        words: Any = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(words, cwd=desk, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert (desk / "runs/train/1/best.weights").is_file() and (desk / "runs/train/2/best.cfg").is_file()


@pytest.mark.slow
def test_the_line_of_python_runs(desk: Path) -> None:
    (line,) = re.findall(r"`(run = edgecsp\.train\(.*?)`", PAGE)
    names = {"edgecsp": edgecsp}
    exec(line.replace("epochs=100", "epochs=1, imgsz=64, batch=4, workers=0"), names)
    assert names["run"].onnx.is_file()
