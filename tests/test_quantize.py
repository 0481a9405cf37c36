"""`edgecsp quantize` and `edgecsp verify` as a user types them, on the tiny net and a hundred small pictures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from edgecsp import backends, importers
from edgecsp.bench import images, verify
from edgecsp.bench.comparison import count_matches
from edgecsp.bench.process import WorkerSession
from edgecsp.cli import app
from edgecsp.cli import verify as verify_command
from edgecsp.errors import EdgecspError, UsageError
from edgecsp.graph import onnx_model, precision
from edgecsp.types import Classes, Detections
from support import commands, media
from support.tiny import Tiny


@pytest.fixture(scope="module")
def home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.onnx, a hundred pictures in calib/ and a list of them."""
    folder = tmp_path_factory.mktemp("quantize")
    (folder / "calib").mkdir()
    onnx_model.save(tiny.model, folder / "tiny.onnx")
    lines = [f"calib/{index}.png" for index in range(precision.MIN_IMAGES)]
    media.write_coarse([folder / line for line in lines])
    (folder / "list.txt").write_text("# a hundred\n" + "\n".join(lines) + "\n")
    return folder


def edgecsp(folder: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    return commands.edgecsp(*words, code=code, cwd=folder)


@pytest.fixture(scope="module")
def made(home: Path) -> subprocess.CompletedProcess[str]:
    return edgecsp(
        home,
        "quantize",
        "tiny.onnx",
        "--calib",
        "calib",
        "--method",
        "percentile",
        "--save-ranges",
        "ranges.json",
        "--threads",
        1,
    )


def test_quantize_says_what_changed(made: subprocess.CompletedProcess[str], home: Path) -> None:
    assert "ranges      percentile of 100 images" in made.stdout and "6 of 8 convolutions, 2 stay" in made.stdout
    assert "written     tiny-int8.onnx" in made.stdout and "MB ->" in made.stdout
    assert "edgecsp verify tiny.onnx tiny-int8.onnx" in made.stderr
    model = importers.load(home / "tiny-int8.onnx")
    assert precision.detect_precision(model) == "int8" and model.origin["calibration"] == "percentile, 100 pictures"


def test_saved_ranges_and_a_list_give_the_same_file(made: subprocess.CompletedProcess[str], home: Path) -> None:
    wanted = (home / "tiny-int8.onnx").read_bytes()
    edgecsp(home, "quantize", "tiny.onnx", "--calib", "ranges.json", "-o", "again.onnx", "-q")
    assert (home / "again.onnx").read_bytes() == wanted
    edgecsp(home, "quantize", "tiny.onnx", "--calib", "list.txt", "--method", "minmax", "-o", "listed.onnx", "-q")
    listed = importers.load(home / "listed.onnx")
    assert listed.origin["calibration_sha256"] == json.loads((home / "ranges.json").read_text())["inputs"]


def refused(rc: int, *words: object) -> str:
    """What the command says when it refuses; in this process, for a start costs more than the answer."""
    with pytest.raises(EdgecspError) as caught:
        CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert caught.value.exit_code == rc
    return str(caught.value)


def test_quantize_refuses_in_words(
    made: subprocess.CompletedProcess[str], home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)

    def said(rc: int, model: str, calib: str, *flags: str) -> str:
        return refused(rc, "quantize", model, "--calib", calib, "-o", "x.onnx", *flags)

    assert "10 images, but ranges need at least 100" in said(6, "tiny.onnx", "calib/?.png")
    onnx_model.save(onnx_model.reshape(tiny.model, hw=(96, 96)), "other.onnx")
    assert "belong to the graph" in said(6, "other.onnx", "ranges.json")
    assert "cannot read range.json" in said(6, "tiny.onnx", "range.json")
    assert "graph in int8 already" in said(2, "tiny-int8.onnx", "calib")
    assert "no calibration method is called 'max'" in said(2, "tiny.onnx", "calib", "--method", "max")
    assert "was measured with percentile" in said(2, "tiny.onnx", "ranges.json", "--method", "entropy")
    assert "no such file or folder: nowhere" in said(3, "tiny.onnx", "nowhere")
    assert "lists no image" in said(3, "tiny.onnx", _written(home / "empty.txt", "# nothing\n"))
    assert "would replace a source" in said(2, "tiny.onnx", "ranges.json", "-o", "tiny.onnx")
    assert not (home / "x.onnx").exists()
    started = edgecsp(home, "quantize", "tiny.onnx", "--calib", "calib/?.png", code=6)
    assert started.stderr.startswith("edgecsp: --calib calib/?.png: 10 images")


def _written(path: Path, text: str) -> str:
    path.write_text(text)
    return path.name


def test_verify_holds_every_engine_against_the_reference(made: subprocess.CompletedProcess[str], home: Path) -> None:
    words = ("verify", "tiny.onnx", "tiny-int8.onnx", "--images", "calib/1*.png", "--threads", 1)
    said = json.loads(edgecsp(home, *words, "--json", "-").stdout)
    assert said["pictures"] == 11 and not said["drawn"]
    rows: Dict[Any, Any] = {(r["engine"], r["device"], r["precision"]): r for r in said["rows"] if not r["why"]}
    first = said["rows"][0]
    assert (first["engine"], first["precision"]) == ("ort", "fp32") and first["largest"] == 0 and first["ms"] > 0
    assert first["strict"] == first["loose"] == first["boxes"] > 0
    small = rows["ort", "cpu", "int8"]
    assert 1e-3 < small["largest"] < 0.3 and small["mean"] < 0.02 and small["loose"] > 0.5 * small["boxes"]
    for (_, _, kind), row in rows.items():
        assert kind != "fp32" or (row["largest"] <= 1e-3 and row["strict"] == row["boxes"])
    assert {row["engine"] for row in said["rows"] if row["why"]} == {
        name
        for name in backends.names()
        for device in backends.info(name).devices
        if backends.unavailable_reason(name, device)
    }
    shown = edgecsp(home, *words[:2], "--engine", "ort", "--threads", 1)
    assert "ort        cpu       fp32" in shown.stdout and "4 synthetic images (--images for real ones)" in shown.stderr


def test_verify_refuses_in_words(
    made: subprocess.CompletedProcess[str], home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert "the measure is fp32" in refused(2, "verify", "tiny-int8.onnx")
    assert "no engine is called 'otr'" in refused(2, "verify", "tiny.onnx", "-e", "otr")
    assert "no image or video" in refused(3, "verify", "tiny.onnx", "--images", ".")
    onnx_model.save(onnx_model.reshape(tiny.model, hw=(96, 96)), "other.onnx")
    assert "has other heads or another input size" in refused(2, "verify", "tiny.onnx", "other.onnx")


def test_an_engine_that_computes_another_network_fails_the_gate(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if backends.unavailable_reason("opencv"):
        pytest.skip(f"engine opencv {backends.unavailable_reason('opencv')}")
    right = WorkerSession.run  # each engine runs in a process of its own
    monkeypatch.setattr(WorkerSession, "run", lambda self, batch: [out * 1.01 for out in right(self, batch)])
    asked: Dict[str, Any] = {"others": None, "images": None, "threads": 1, "weights": None, "imgsz": None, "json": None}
    with pytest.raises(typer.Exit) as stop:
        verify_command.command(model=str(home / "tiny.onnx"), engine=["opencv"], **asked)
    assert stop.value.exit_code == 8
    assert "opencv on cpu in fp32 is off by 0.01" in capsys.readouterr().err
    monkeypatch.setattr(WorkerSession, "run", lambda self, batch: [out * np.nan for out in right(self, batch)])
    with pytest.raises(typer.Exit):
        verify_command.command(model=str(home / "tiny.onnx"), engine=["opencv"], **asked)
    assert "off by inf" in capsys.readouterr().err


def test_matched_boxes_answer_for_one_each() -> None:
    def found(*rows: Any) -> Detections:
        boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
        return Detections(boxes, np.ones(len(rows), np.float32), np.array([row[4] for row in rows], np.int32))

    one, near, other = (0, 0, 10, 10, 1), (0, 0, 10, 9.95, 1), (0, 0, 10, 10, 2)
    assert count_matches(found(one), found(near), 0.99) == 1 and count_matches(found(one), found(near), 0.999) == 0
    assert count_matches(found(one), found(other), 0.5) == 0
    assert count_matches(found(one, one), found(one), 0.5) == 1
    assert count_matches(found(), found(one), 0.5) == count_matches(found(one), found(), 0.5) == 0

    def best(*ids: int) -> Classes:
        return Classes(np.ones(len(ids), np.float32), np.array(ids, np.int32))

    assert count_matches(best(3, 4), best(3, 5), 0.5) == 1 and count_matches(best(3), best(4), 0.5) == 0


def test_rows_want_the_same_network(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="other heads or another input size"):
        list(
            verify.measure_rows(
                tiny.model, images.synthetic_images(1), others=[onnx_model.reshape(tiny.model, hw=(96, 96))]
            )
        )
