"""A kind of head is one file: dropped into the package, it is read from files, run, shown and verified."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict

import cv2
import numpy as np
import pytest

from support import commands
from support.repository import REPO, child_environment

Edgecsp = Callable[..., "subprocess.CompletedProcess[str]"]
# A model of the zoo with that head, and the same with a YOLO head: what both find must be equal.
MODELS = """
from ..processing.heads.toy import Toy
from ..processing.heads.yolo import Yolo
from ._record import Entry

ANCHORS = ((8.0, 10.0), (20.0, 30.0))

def build(kind):
    def lay(net, head):
        x = net.conv(net.input, 8, 3, stride=2)
        for _ in range(4):
            x = net.conv(x, 16, 3, stride=2)
        net.head(net.conv(x, 14, 1, bn=False, act="linear"), kind("head0", 2, 32, ANCHORS))
    return lay

MODELS = [
    Entry(name, name, build(kind), 64, anchors=ANCHORS, masks=((0, 1),), labels=("a", "b"), conf=0.1)
    for name, kind in (("toy-model", Toy), ("yolo-twin", Yolo))
]
"""
SAVE = """
from edgecsp import zoo
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
for name in ("toy-model", "yolo-twin"):
    onnx_model.save(zoo.model(name, RandomWeights(3)), name + ".onnx")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, the file of a head, a file of models, two ONNX files and an image."""
    folder = tmp_path_factory.mktemp("head")
    package = folder / "edgecsp"
    shutil.copytree(REPO / "edgecsp", package, ignore=shutil.ignore_patterns("__pycache__"))
    code = (package / "processing" / "heads" / "yolo.py").read_text("utf-8")
    assert 'kind = "yolo"' in code and "class Yolo(" in code
    (package / "processing" / "heads" / "toy.py").write_text(code.replace("Yolo", "Toy").replace('"yolo"', '"toy"'))
    (package / "zoo" / "toy.py").write_text(MODELS)
    cv2.imwrite(str(folder / "x.png"), np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    done = subprocess.run([sys.executable, "-c", SAVE], cwd=folder, env=environment(folder), capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


def environment(folder: Path) -> Dict[str, str]:
    return child_environment(PYTHONPATH=str(folder), EDGECSP_HOME=str(folder / "home"))


@pytest.fixture
def edgecsp(folder: Path) -> Edgecsp:
    env = environment(folder)
    return lambda *words: commands.edgecsp(*words, code=0, cwd=folder, env=env)


def test_models_show_has_it(edgecsp: Edgecsp) -> None:
    (head,) = json.loads(edgecsp("models", "show", "toy-model", "--json").stdout)["heads"]
    assert (head["kind"], head["stride"], head["shape"]) == ("toy", 32, [1, 14, 2, 2])
    assert "1x14x2x2 toy, stride 32: 8x10  20x30" in edgecsp("models", "show", "toy-model").stdout


def test_run_reads_it_from_the_file_and_decodes_it(edgecsp: Edgecsp) -> None:
    words = ("run", "x.png", "-e", "ort", "--quiet", "--json", "-", "--conf", 0.01, "-m")
    toy, yolo = (json.loads(edgecsp(*words, f"{name}.onnx").stdout) for name in ("toy-model", "yolo-twin"))
    assert toy["detections"] == yolo["detections"] and len(toy["detections"]) > 0


def test_verify_compares_it(edgecsp: Edgecsp) -> None:
    table = edgecsp("verify", "toy-model.onnx", "-e", "ort").stdout
    rows = re.findall(r"ort +cpu +fp(?:32|16) .* ([1-9]\d*)/(\d+) ", table)
    assert len(rows) == 2 and all(again == boxes for again, boxes in rows), table


def test_python_loads_it_and_another_edgecsp_refuses_it(folder: Path) -> None:
    code = "import edgecsp; d = edgecsp.load('toy-model.onnx', 'ort', conf=0.01); print(len(d('x.png')), d.model.heads)"

    def load(place: Path, env: Dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, cwd=place, env=env, check=False)

    done = load(folder, environment(folder))
    assert done.returncode == 0 and "Toy(name='head0', classes=2, stride=32" in done.stdout, done.stderr
    assert int(done.stdout.split()[0]) > 0
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(folder / "toy-model.onnx", elsewhere)
    refused = load(elsewhere, child_environment())
    assert "head kind 'toy', known are " in refused.stderr and "two_stage" not in refused.stderr
