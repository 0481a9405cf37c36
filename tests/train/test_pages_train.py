"""What the site's pages show of training runs, with few small images."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Dict

import pytest

from support.pages import blocks_of, commands_of
from support.ports import await_port, free_port

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from support.shapes import draw_shapes  # noqa: E402

QUICK = " --imgsz 64 --batch 4 --workers 0 --epochs 1"


@pytest.mark.slow
@pytest.mark.parametrize(("page", "folder"), [("start/first-model.md", "mine"), ("tutorials/blood-cells.md", "bccd")])
def test_every_command_runs(page: str, folder: str, tmp_path: Path) -> None:
    draw_shapes(tmp_path / folder, 4)
    (tmp_path / "photos").symlink_to(tmp_path / folder / "images" / "val")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "EDGECSP_HOME": str(tmp_path / "home")}
    ran = []
    for block in blocks_of(page):
        for command in commands_of(block) if block.language == "bash" else ():
            if command.startswith(("edgecsp serve", "edgecsp up")):  # they do not end: see below
                continue
            shown = command.replace("--epochs 100", "").replace("--epochs 200", "")
            words: Any = [sys.executable, "-m", *shlex.split(shown + (QUICK if "edgecsp train" in shown else ""))]
            done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            ran.append(command.split()[1])
    assert {"train", "val"} <= set(ran) and (tmp_path / "runs/train/1/best.onnx").is_file()
    serve = [
        command for block in blocks_of(page) for command in commands_of(block) if command.startswith("edgecsp serve")
    ]
    assert len(serve) == 1
    check_service(serve[0], tmp_path, env)


def check_service(command: str, folder: Path, env: Dict[str, str]) -> None:
    """Require that the trained model's server has a page, and boxes for an image that is posted to it."""
    pytest.importorskip("starlette", reason="the server did not run: starlette is not installed (extra serve)")
    port = free_port()
    image = (folder / "photos" / "0.png").read_bytes()
    words = [sys.executable, "-m", *shlex.split(command), "--port", str(port), "--quiet"]
    with subprocess.Popen(words, cwd=folder, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            await_port(port, process)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                assert b"Try an image" in answer.read()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/detect?conf=0.001", image, {"Content-Type": "image/png"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert {each["label"] for each in json.load(answer)["detections"]} <= {"square", "disc"}
        finally:
            process.terminate()
