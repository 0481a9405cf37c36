"""Options of `edgecsp run` from a file: --config, or the table [run] of edgecsp.toml in the current folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support import commands, media

OUTPUT = ("--json", "-", "--out", "out", "--overwrite")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    media.video(tmp_path / "clip.mp4", 4)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return commands.edgecsp("run", *words, cwd=folder)


def test_all_kinds_of_values_and_the_command_line_wins(folder: Path) -> None:
    (folder / "run.toml").write_text(
        'source = "clip.mp4"\nengine = "ort"\nconf = 0.9\nclasses = ["qr", 3]\nimgsz = [256, 320]\nmax_frames = 2\n'
        'plain_nms = true\noverwrite = false\nout = "marked"\njson = "boxes.jsonl"\n'
    )
    done = run(folder, "--config", "run.toml")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("edgecsp: options from run.toml\n")
    assert len((folder / "boxes.jsonl").read_text().splitlines()) == 2
    assert (folder / "marked" / "clip.mp4").is_file()
    done = run(folder, "--config=run.toml", "--max-frames", "1", "--json", "-", "--overwrite", "-v")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "input 320x256, on ort" in done.stderr


def test_the_table_of_the_folder_is_used_and_named(folder: Path) -> None:
    (folder / "edgecsp.toml").write_text(
        '[run]\nsource = ["clip.mp4"]\nengine = "null"\nmax_frames = 1\n\n[other]\na = 1\n'
    )
    done = run(folder, *OUTPUT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("edgecsp: options from edgecsp.toml\n")
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == [0]
    (folder / "edgecsp.toml").write_text("[other]\na = 1\n")
    done = run(folder, "clip.mp4", *OUTPUT, "-e", "null")
    assert done.returncode == 0 and "options from" not in done.stderr and len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nconf = 0.5\ncnf = 0.5\n", "line 3: run.cnf: no key is called 'cnf'. Did you mean 'conf'?"),
        ("conf = 1.5\n", "line 1: conf: 1.5 is invalid: must be a number from 0 to 1"),
        ("\nmax_frames = 1.5\n", "line 2: max_frames: 1.5 is invalid: must be an integer"),
        ('precision = "fp8"\n', "line 1: precision: 'fp8' is invalid: must be one of auto, fp32, fp16, bf16, int8"),
        ("imgsz = [64]\n", "line 1: imgsz: [64] is invalid: must be one side or [height, width] in pixels"),
        ('plain_nms = "yes"\n', "line 1: plain_nms: 'yes' is invalid: must be true or false"),
        ("out = 3\n", "line 1: out: 3 is invalid: must be a string"),
        ('classes = "qr"\n', "line 1: classes: 'qr' is invalid: must be a list of names"),
        ("run = 3\n", "line 1: run: must be a table: [run]"),
        ("conf = \n", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_key(folder: Path, text: str, words: str) -> None:
    (folder / "bad.toml").write_text(text)
    done = run(folder, "clip.mp4", "--config", "bad.toml", *OUTPUT)
    assert done.returncode == 2 and done.stdout == ""
    assert "bad.toml" in done.stderr and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (folder / "out").exists()


def test_a_file_that_is_not_there_and_help(folder: Path) -> None:
    (folder / "edgecsp.toml").write_text("[run\n")
    assert run(folder, "--help").returncode == 0
    (folder / "edgecsp.toml").unlink()
    (folder / "run.toml").write_text("")
    done = run(folder, "clip.mp4", "--config", "rnu.toml")
    assert done.returncode == 3 and "cannot read rnu.toml" in done.stderr and "did you mean run.toml?" in done.stderr
