"""What the site's pages show of training runs, with few small images."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.pages import blocks_of, commands_of

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
            if command.startswith("edgecsp serve"):  # it does not end; the model that it takes is run
                continue
            shown = command.replace("--epochs 100", "").replace("--epochs 200", "")
            words: Any = [sys.executable, "-m", *shlex.split(shown + (QUICK if "edgecsp train" in shown else ""))]
            done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            ran.append(command.split()[1])
    assert {"train", "val"} <= set(ran) and (tmp_path / "runs/train/1/best.onnx").is_file()
