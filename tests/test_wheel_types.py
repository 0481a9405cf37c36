"""What a type checker sees of the installed wheel: the Python of the README and its page, and the public names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from support import wheels
from support.documents import blocks

pytestmark = pytest.mark.slow

PUBLIC = """
image = "street.jpg"
reveal_type(edgecsp.load("codes"))
reveal_type(edgecsp.load("codes")(image))
reveal_type([each for each in edgecsp.load("codes")(image)])
reveal_type([each for each in edgecsp.load("codes").stream(image)])
for each in edgecsp.load("codes", conf=0.5, classes=["qr"], imgsz=320, threads=2)(image):
    reveal_type((each.label, each.score, each.class_id, each.xyxy))
with edgecsp.load() as opened:
    reveal_type(opened(image).names)
    reveal_type(opened(image)[0])
    result = opened(image)
    if isinstance(result, edgecsp.Classes):
        reveal_type(result.counted())
run = edgecsp.train("yolov4-tiny", "data.yaml", epochs=1)
reveal_type(run.onnx)
reveal_type(run.folder)
reveal_type(run.ap50)
reveal_type(run.load()(image))
"""
REVEALED = [
    "edgecsp.pipeline.detector.Detector",
    "edgecsp.types.results.Detections",
    "list[edgecsp.types.results.Detection]",
    "list[tuple[edgecsp.types.frames.Frame, edgecsp.types.results.Detections]]",
    "tuple[str, float, int, tuple[float, float, float, float]]",
    "tuple[str, ...]",
    "edgecsp.types.results.Detections",
    "list[str]",
    "pathlib.Path",
    "pathlib.Path",
    "float | None",
    "edgecsp.types.results.Detections",
]


WRONG = "import edgecsp\nedgecsp.load(wieghts='random')\nedgecsp.load()('a.jpg').boxes\n"


def test_a_type_checker_knows_the_public_names(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    installed = wheels.install(wheel, tmp_path)
    snippets = blocks("python") + blocks("python", "docs/how-to/python.md")
    assert len(snippets) == 2
    (tmp_path / "right.py").write_text("".join(snippets) + PUBLIC)
    (tmp_path / "wrong.py").write_text(WRONG)
    options = (
        "--strict",
        "--config-file=",
        "--python-executable",
        installed.python,
        f"--cache-dir={tmp_path / 'cache'}",
    )
    done = wheels.run(sys.executable, "-m", "mypy", *options, "right.py", "wrong.py", folder=tmp_path, code=1)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[:2] for line in errors] == [["wrong.py", "2"], ["wrong.py", "3"]], done.stdout
    assert "call-arg" in errors[0] and "attr-defined" in errors[1]
    revealed = [line.split('"')[1] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert [re.sub(r"\bbuiltins\.", "", each) for each in revealed] == REVEALED
