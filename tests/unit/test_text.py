"""Text from outside on a terminal, in a log and in a CSV file: it says what it says, and does nothing."""

from __future__ import annotations

import ast
import csv
import io
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgecsp
from edgecsp.bench import accuracy
from edgecsp.cli import _logging, _print
from edgecsp.cli.render import accuracy as _scores
from edgecsp.errors import EngineUnavailable
from edgecsp.media.sinks import CsvSink
from edgecsp.system import text
from edgecsp.types import Detections, Frame, Stream

HOSTILE = "a\x1b[2J\x9b31m\x07\r\nedgecsp: all is well\u202egnp\u2066\u2028\x7f\x00"
PACKAGE = Path(edgecsp.__file__).parent


@given(st.text())
def test_printable_is_one_line_without_controls(word: str) -> None:
    shown = text.printable(word)
    assert len(shown.splitlines()) <= 1
    assert all(sign == " " or (ord(sign) >= 32 and not 127 <= ord(sign) < 160) for sign in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    shown.encode("utf-8")
    if word.isprintable():
        assert shown == word


@pytest.mark.parametrize("word", ["person", "traffic light", "人", "🐕 dog", "café", "a-b", "[red]x[/red]", "a\\b"])
def test_names_stay(word: str) -> None:
    assert text.printable(word) == word
    assert text.cell(word) == word


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1"])
def test_a_cell_is_no_formula(word: str) -> None:
    assert text.cell(word).startswith("'")
    assert text.cell(word)[1:] == text.printable(word)


@pytest.mark.parametrize("value", [-1.5, 0, -3, 1e-5, None, True])
def test_numbers_are_no_text(value: Any) -> None:
    assert text.cell(value) is value


def test_csv_of_detections(tmp_path: Path) -> None:
    labels = ("=cmd|' /C calc'!A0", HOSTILE, "-dash", "plain")
    boxes = np.array([[-1.5, 0, 5, 5]] * 4, np.float32)
    found = Detections(boxes, np.full(4, 0.5, np.float32), np.arange(4, dtype=np.int32), labels)
    frame = Frame(np.zeros((9, 9, 3), np.uint8), Stream("@x\x1b[1m.png", "image"))
    with CsvSink(tmp_path / "rows.csv") as sink:
        sink.write(frame, found)
    data = (tmp_path / "rows.csv").read_bytes().decode()
    assert "\x1b" not in data
    rows = list(csv.DictReader(io.StringIO(data)))
    assert [row["label"] for row in rows] == [f"'{labels[0]}", text.printable(HOSTILE), "'-dash", "plain"]
    assert {row["source"] for row in rows} == {"'@x\\x1b[1m.png"}
    assert {row["x0"] for row in rows} == {"-1.5"}, "a number stays one"


def test_csv_of_a_confusion() -> None:
    counted = accuracy.Confusion(("=1+1", HOSTILE), 0.25, 0.5, np.zeros((3, 3), int))
    lines = _scores.matrix(counted)
    assert "\x1b" not in lines
    assert len(lines.splitlines()) == 4
    assert next(csv.reader(io.StringIO(lines)))[1:3] == ["'=1+1", text.printable(HOSTILE)]


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    _print.print("edgecsp:", HOSTILE, file=sys.stderr)
    assert capsys.readouterr().err == f"edgecsp: {text.printable(HOSTILE)}\n"


def test_print_on_a_terminal_that_lacks_a_sign() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    _print.print("人\udcff", file=stream, flush=True)
    assert stream.buffer.getvalue() == b"\\u4eba\\udcff\n"  # type: ignore[attr-defined]


def test_a_console_shows_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    from edgecsp.cli.render import bench

    table = Table("model", "[bold]head")
    table.add_row("[red]danger[/red] :smile:", "x\x1b]0;title\x07\u202ey")
    console = bench.console_on(False)
    console.print(table)
    console.print("[red]line[/red]\x1b[2J")
    shown = capsys.readouterr().out
    assert "[red]danger[/red] :smile:" in shown
    assert "[bold]head" in shown
    assert "[red]line[/red]\\x1b[2J" in shown
    assert not set(shown) & set("\x1b\x07\u202e")


def test_a_log_line_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("edgecsp")
    before = list(logger.handlers)
    try:
        _logging.configure()
        try:
            raise KeyError(HOSTILE)
        except KeyError:
            logging.getLogger("edgecsp.plans").exception("no plan in %s at rtsp://eve:hunter2@door/x", HOSTILE)
    finally:
        logger.handlers[:] = before
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("edgecsp: no plan in a\\x1b[2J")
    assert all(line.startswith("    ") for line in lines[1:])
    assert "Traceback (most recent call last):" in "".join(lines)
    assert not set("".join(lines)) & set("\x1b\x07\u202e\x9b")
    assert "hunter2" not in "".join(lines)


def test_every_command_prints_through_it() -> None:
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        if path.name == "_print.py":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print"]
        ours = [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "_print"
        ]  # fmt: skip
        assert not used or ours, f"{path}: from ._print import print"
        made = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Console"
        ]
        # One measures a table and prints nothing.
        assert len(made) <= (path.name == "_bench_shown.py"), f"{path}: _print.console"


def test_a_hostile_file_name_is_printed_as_it_is(tmp_path: Path) -> None:
    name = "x\x1b]0;owned\x07\nedgecsp: wrote everything\u202egpj.png"
    done, data = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))
    assert done
    (tmp_path / name).write_bytes(data.tobytes())
    (tmp_path / ("y" + name)).write_bytes(b"no picture at all")
    ran = subprocess.run(
        [sys.executable, "-m", "edgecsp", "run", str(tmp_path), "--engine", "ort", "--out", str(tmp_path / "out")],
        capture_output=True, timeout=120,
    )  # fmt: skip
    said = (ran.stdout + ran.stderr).decode()
    assert "owned" in said
    assert not set(said) & set("\x1b\x07\u202e"), said
    assert "\nedgecsp: wrote everything" not in said
    missing = subprocess.run(
        [sys.executable, "-m", "edgecsp", "run", str(tmp_path / "no\x1b[2J.mp4")], capture_output=True, timeout=60
    )
    assert missing.returncode == 3
    assert b"\x1b" not in missing.stderr


def test_an_errors_indented_lines_stay_lines_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    _logging.configure()
    _logging.fail(EngineUnavailable("nothing runs\n  ort: \x1b[2J\n  trt: no\nedgecsp: all is well"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.strip() for line in lines] == [
        "edgecsp: nothing runs",
        "ort: \\x1b[2J",
        "trt: no\\nedgecsp: all is well",
    ]
    assert all(line.startswith("  ") for line in lines[1:])
