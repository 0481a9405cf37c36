"""The commands where what only POSIX systems or Linux have is missing, as on Windows and macOS.

It hides fcntl, pwd, grp, resource, signals that can be blocked, CPU affinity, sysconf and /proc in the command and in
every process that it starts. What else differs there (paths, consoles, locked files) only such a system can show.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecsp.graph import onnx_model
from support import commands, labelled, media
from support.repository import child_environment
from support.tiny import Tiny

SITE = """
import builtins, io, os, signal, sys

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for owner, name in (
    (signal, "pthread_sigmask"), (signal, "SIGHUP"), (os, "sched_getaffinity"), (os, "sysconf"), (os, "getloadavg"),
    (os, "fork"), (os, "killpg"),
):
    if hasattr(owner, name):
        delattr(owner, name)


class Hiding:  # no function: pathlib of Python 3.8 would make a method of it

    def __init__(self, real):
        self.real = real

    def __call__(self, path, *args, **options):
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if text.startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "hidden by the test", text)
        return self.real(path, *args, **options)


for owner, name in ((builtins, "open"), (io, "open"), (os, "open"), (os, "stat"), (os, "scandir"), (os, "listdir")):
    setattr(owner, name, Hiding(getattr(owner, name)))
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "sitecustomize.py").write_text(SITE)
    return folder


@pytest.fixture(scope="module")
def desk(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    named = replace(tiny.model, labels=labelled.NAMES)
    onnx_model.save(onnx_model.with_graph(named, onnx_model.parse_graph(tiny.model)), folder / "tiny.onnx")
    labelled.coco(folder / "drawn")
    media.video(folder / "film.mp4", 100, size=(64, 48))
    (folder / "photos").mkdir()
    for i in range(12):
        (folder / f"photos/{i}.jpg").write_bytes(media.jpeg(media.scene(i)))
    return folder


def edgecsp(elsewhere: Path, desk: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return commands.edgecsp(*words, code=0, cwd=desk, env=child_environment(elsewhere))


def test_it_hides_them(elsewhere: Path, desk: Path) -> None:
    import sys

    code = (
        "import os, signal\nfor name in ('fcntl', 'pwd', 'resource'):\n"
        "    try:\n        __import__(name)\n"
        "    except ImportError:\n        pass\n"
        "    else:\n        raise SystemExit(name)\n"
        "print(hasattr(signal, 'pthread_sigmask'), hasattr(os, 'sched_getaffinity'), os.path.exists('/proc/stat'))"
    )
    env = {**child_environment(), "PYTHONPATH": str(elsewhere)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=desk, check=True)
    assert done.stdout.split() == ["False"] * 3


def test_run(elsewhere: Path, desk: Path) -> None:
    edgecsp(
        elsewhere, desk, "run", "photos", "-m", "tiny.onnx", "--out", "drawings", "--json", "run.jsonl", "-e", "ort"
    )
    rows = [json.loads(line) for line in (desk / "run.jsonl").read_text().splitlines()]
    assert len(rows) == len(list((desk / "drawings").iterdir())) == 12


def test_models_engines_and_doctor(elsewhere: Path, desk: Path) -> None:
    assert "csppeleenet" in edgecsp(elsewhere, desk, "models", "list").stdout
    edgecsp(elsewhere, desk, "models", "show", "codes")
    edgecsp(elsewhere, desk, "engines")
    said: Any = json.loads(edgecsp(elsewhere, desk, "doctor", "--json", "-").stdout)
    assert said["memory"]["total"] is None and said["cpu"]["threads"] >= 1


def test_import(elsewhere: Path, desk: Path, tiny: Tiny) -> None:
    edgecsp(elsewhere, desk, "import", tiny.cfg, tiny.weights, "-o", "imported.onnx")
    assert (desk / "imported.onnx").stat().st_size > 1000


@pytest.mark.skipif(importlib.util.find_spec("faster_coco_eval") is None, reason="faster-coco-eval is not installed")
def test_val(elsewhere: Path, desk: Path) -> None:
    done = edgecsp(
        elsewhere, desk, "val", "tiny.onnx", "-d", "drawn", "-e", "ort", "--duration", "0.05", "--json", "val.json"
    )
    assert "AP50" in done.stdout and json.loads((desk / "val.json").read_text())["rows"]


def test_quantize(elsewhere: Path, desk: Path) -> None:
    edgecsp(elsewhere, desk, "quantize", "tiny.onnx", "--calib", "film.mp4", "-o", "small.onnx", "--method", "minmax")
    assert (desk / "small.onnx").is_file()


def test_bench(elsewhere: Path, desk: Path) -> None:
    words = ["-e", "ort", "--duration", "0.05", "--rounds", "1", "--json", "bench.json"]
    edgecsp(elsewhere, desk, "bench", "tiny.onnx", *words)
    (row,) = json.loads((desk / "bench.json").read_text())["rows"]
    assert row["fps"] > 0
