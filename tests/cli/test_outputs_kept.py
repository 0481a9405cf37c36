"""What `run`, `export` and `quantize` must not replace, and what a run without a frame leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecsp.graph import onnx_model
from support import media
from support.commands import invoke
from support.tiny import Tiny


@pytest.fixture
def here(tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model, an image, a mask and a settings file."""
    monkeypatch.chdir(tmp_path)
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    for name in ("x.png", "other.png", "mask.png"):
        cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), 90, np.uint8))
    (tmp_path / "o.toml").write_text("conf = 0.5\n")
    return tmp_path


@pytest.mark.parametrize("option", ["--json", "--csv", "--save-json"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other.png", "other.png is there and is no text; give another name for the rows"),
        ("tiny.onnx", "writing tiny.onnx would replace a source"),
        ("mask.png", "writing mask.png would replace a source"),
        ("o.toml", "writing o.toml would replace a source"),
    ],
)
def test_rows_replace_no_other_file(
    here: Path, capsys: pytest.CaptureFixture[str], option: str, name: str, words: str
) -> None:
    before = (here / name).read_bytes()
    given = ("x.png", "-m", "tiny.onnx", "--mask", "mask.png", "--config", "o.toml", "-e", "ort")
    with pytest.raises(Exception, match=words):
        invoke(capsys, "run", *given, option, name)
    assert (here / name).read_bytes() == before and not (here / "runs").exists()


def test_rows_of_an_earlier_run_are_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "rows.jsonl").write_text("ünï\n" * 400)  # longer than what is looked at, and no ASCII
    assert invoke(capsys, "run", "x.png", "-m", "tiny.onnx", "-e", "ort", "--json", "rows.jsonl")[0] == 0
    assert len((here / "rows.jsonl").read_text().splitlines()) == 1


def test_a_run_without_a_frame_replaces_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media.video(here / "clip.mp4", 10)
    for name in ("rows.jsonl", "rows.csv", "rows.json"):
        (here / name).write_text("precious\n")
    outputs = ("--json", "rows.jsonl", "--csv", "rows.csv", "--save-json", "rows.json")
    with pytest.raises(Exception, match="ends before 10 s"):
        invoke(capsys, "run", "clip.mp4", "-m", "tiny.onnx", "-e", "ort", "--start", "10", *outputs)
    assert all((here / name).read_text() == "precious\n" for name in ("rows.jsonl", "rows.csv", "rows.json"))


def test_a_part_is_counted_from_the_first_frame(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MPEG-TS begins at 1.4 s, a recorder's segment anywhere."""
    media.video(here / "clip.ts", 20, times=[36000 + i / 20 for i in range(20)])

    def run(*words: str) -> Any:
        _, out, _ = invoke(capsys, "run", "clip.ts", "-m", "tiny.onnx", "-e", "ort", "--json", "-", *words)
        return [json.loads(line)["pts_s"] for line in out.splitlines()]

    times = run()
    assert len(times) == 20 and times[0] > 1000
    assert run("--end", "0.5") == times[:10] and run("--start", "0.5") == times[10:]
    with pytest.raises(Exception, match=r"clip.ts has no frame from 0.51 s to 0.52 s"):
        run("--start", "0.51", "--end", "0.52")


def test_export_does_not_replace_its_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / "tiny.onnx").read_bytes()
    with pytest.raises(Exception, match=r"writing tiny.onnx would replace a source"):
        invoke(capsys, "export", "tiny.onnx", "-f", "onnx", "-o", ".", "--imgsz", "96")
    assert (here / "tiny.onnx").read_bytes() == before


@pytest.mark.parametrize("place", ["folder", "o.toml/x.onnx"])
def test_quantize_checks_its_place_first(here: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    (here / "folder").mkdir()
    with pytest.raises(Exception, match=f"cannot write {place}"):  # not that there are no such images
        invoke(capsys, "quantize", "tiny.onnx", "--calib", "nothing.such", "-o", place)


@pytest.mark.parametrize("text", ["", " , "])
def test_no_class_is_no_filter(here: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(Exception, match=r"--classes '.*': names none; leave the option out for all"):
        invoke(capsys, "run", "x.png", "-m", "tiny.onnx", "-e", "ort", "--classes", text)


def test_options_of_ray_need_ray(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--workers", "3"), ("--cpus", "2")):
        with pytest.raises(Exception, match="--workers and --cpus are for --ray"):
            invoke(capsys, "batch", "x.png", "--out", "out", *words)
