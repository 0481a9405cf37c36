"""What a terminal of 80 columns shows: lines that fit, words that are whole, colours that stay out of pipes."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import List

import pytest
import typer

from edgecsp.cli import _print, app
from edgecsp.graph import onnx_model
from support import commands, labelled, media
from support.tiny import Tiny

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals on Windows")
COMMANDS = dict(commands.list_commands(typer.main.get_command(app)))
LABELS = ("red", "green", "dark blue")


def record(*words: object, cwd: Path, columns: int = 80, code: int = 0, **variables: str) -> List[str]:
    from support import terminal

    _, lines = terminal.record(*words, cwd=cwd, columns=columns, code=code, **variables)
    return lines


@pytest.fixture(scope="module")
def desk(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    onnx_model.save(
        onnx_model.with_graph(replace(tiny.model, labels=LABELS), onnx_model.parse_graph(tiny.model)),
        folder / "tiny.onnx",
    )
    labelled.coco(folder / "drawn")
    (folder / "a.jpg").write_bytes(media.jpeg(media.scene(0)))
    return folder


def require_fit(lines: List[str], columns: int = 80) -> None:
    assert not [line for line in lines if len(line) > columns]
    assert not [line for line in lines if re.search(r"--[\w-]+-$", line)], "a line ends inside an option's name"


@pytest.mark.parametrize("words", [[], *sorted(name.split() for name in COMMANDS)], ids=" ".join)
def test_help_fits(words: List[str]) -> None:
    from typer.testing import CliRunner

    lines = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).output.splitlines()
    assert lines[0].startswith("Usage: ")
    require_fit(lines)


def test_no_summary_is_cut(tmp_path: Path) -> None:
    """In the lists of commands, where click cuts summaries with three dots."""
    lists = {group: " ".join(" ".join(record(*group, "--help", cwd=tmp_path)).split()) for group in ((), ("models",))}
    for name, command in COMMANDS.items():
        group = (name.split()[0],) if name.split()[0] == "models" else ()
        first = re.split(r"(?<=\.)\s", " ".join(command.help.split("\n\n")[0].split()))[0]
        if name.split()[0] != "data":
            assert first.rstrip(".") in lists[group].replace("- ", "-"), name
    assert not re.search(r"\w\.\.\. ", lists[()].partition("Commands:")[2])


@pytest.mark.parametrize("words", [["models", "list"], ["engines"], ["models", "show", "codes"]], ids=" ".join)
def test_a_terminal_shows_the_words_of_a_pipe(words: List[str], tmp_path: Path) -> None:
    piped = commands.edgecsp(*words, code=0, cwd=tmp_path).stdout
    for columns in (80, 120):
        lines = record(*words, cwd=tmp_path, columns=columns)
        require_fit(lines, columns)
        assert list_words(lines) == list_words(piped.splitlines())


def list_words(lines: List[str]) -> List[str]:
    """The words before the chart of `models show`, which is as wide as there is room."""
    return " ".join(lines).partition("BFLOPs per layer")[0].split()


def test_doctor_fits(tmp_path: Path) -> None:
    require_fit(record("doctor", cwd=tmp_path))


def test_run_fits(desk: Path) -> None:
    lines = record("run", "a.jpg", "-m", "tiny.onnx", "--json", "x.jsonl", cwd=desk)
    require_fit(lines)
    assert any(line.startswith("edgecsp: engine ") for line in lines)
    lines = record("run", "nowhere-at-all.jpg", "-m", "tiny.onnx", cwd=desk, code=3)
    assert lines[0] == "edgecsp: no such file or folder: nowhere-at-all.jpg"


@pytest.mark.skipif(importlib.util.find_spec("faster_coco_eval") is None, reason="faster-coco-eval is not installed")
def test_val_fits(desk: Path) -> None:
    words = ["val", "tiny.onnx", "-d", "drawn", "-e", "ort,opencv", "--precision", "fp32", "--duration", "0.05"]
    lines = record(*words, cwd=desk)
    require_fit(lines)
    (head,) = [line for line in lines if line.startswith("model ")]
    assert head.split() == ["model", "engine", "AP", "AP50", "AP75", "APS", "APM", "APL"]
    (rows,) = [lines[i + 1 : i + 3] for i, line in enumerate(lines) if line is head]
    assert [row.split()[:4] for row in rows] == [["tiny", "ort", "cpu", "fp32"], ["tiny", "opencv", "cpu", "fp32"]]
    (times,) = [line for line in lines if line.split()[:1] == ["ms"]]
    assert times.split()[:3] == ["ms", "decode", "preprocess"]


def test_classes_of_many_rows_stand_in_several_tables(desk: Path) -> None:
    from edgecsp.bench import accuracy, val
    from edgecsp.cli.render import accuracy as tables
    from edgecsp.zoo import store

    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    model = store.resolve(str(desk / "tiny.onnx"))
    data = accuracy.read(desk / "drawn", labels=model.labels)
    (row,) = val.measure_results(val.list_cases([model], ("ort",), precisions=("fp32",)), data)
    lines = list(tables.tables([row] * 6))
    assert max(map(len, lines)) <= 80 and sum(line.startswith("class ") for line in lines) == 2
    for name in LABELS:
        figures = [line for line in lines if line.startswith(f"{name} ")]
        assert sum(len(line.replace(name, "x").split()) - 3 for line in figures) == 2 * 6


def test_bench_fits(desk: Path) -> None:
    words = ["bench", "tiny.onnx", "-e", "ort,opencv", "--duration", "0.05", "--rounds", "1", "--threads", "1"]
    lines = record(*words, cwd=desk)
    require_fit(lines)
    heads = " ".join(line for line in lines if re.match(r" *model +engine", line)).split()
    assert {"fps", "ms", "p90", "p99", "p99.9", "IQR", "CPU"} <= set(heads)


def test_colours_are_for_terminals_that_want_them(tmp_path: Path) -> None:
    from support import terminal

    def colours(text: str) -> List[str]:
        return re.findall(r"\x1b\[(\d+)m", text)

    coloured = terminal.record("models", "list", cwd=tmp_path)[0]
    assert colours(coloured)[:4] == ["1", "0", "32", "0"], "the head, and the bundled model"
    assert colours(terminal.record("models", "rm", "codes", cwd=tmp_path, code=2)[0]) == ["31", "0"]
    assert not colours(terminal.record("models", "list", cwd=tmp_path, NO_COLOR="1")[0])
    assert not colours(terminal.record("models", "list", cwd=tmp_path, TERM="dumb")[0])
    assert not colours(commands.edgecsp("models", "list", code=0).stdout)


def test_json_on_a_terminal_is_a_line_each(tmp_path: Path) -> None:
    """Wrapped JSON is no JSON."""
    from support import terminal

    name = "a-rather-long-name-of-a-folder " * 4
    text, _ = terminal.record("run", name, "--log-json", cwd=tmp_path, code=3)
    assert len(text.splitlines()) == 1 and len(text) > 120


@pytest.mark.parametrize(
    ("line", "wrapped"),
    [
        ("short", "short"),
        ("edgecsp: " + "word " * 8 + "end", "edgecsp: word word word word word word\n    word word end"),
        ("key         a value of several words in a row", "key         a value of several words in\n            a row"),
        ("    indented " + "word " * 8, "    indented word word word word word\n        word word word"),
        ("see https://example.org/a/very/long/address/of/a/page", "see\n    https://example.org/a/very/long/address/of/a/page"),
        ("this needs a package; type: pip install 'x y'", "this needs a package; type:\n    pip install 'x y'"),
    ],
)  # fmt: skip
def test_lines_are_wrapped_at_words(line: str, wrapped: str) -> None:
    assert _print.wrap(line, 40) == wrapped


@pytest.mark.parametrize(
    ("words", "description"),
    [
        (["import", "tiny.cfg", "tiny.weights"], "importing tiny.cfg"),
        (["verify", "tiny.onnx", "--engine", "ort"], "comparing tiny"),
        (["quantize", "tiny.onnx", "--calib", "film.mp4", "--method", "minmax"], "converting tiny"),
        (["batch", "a.jpg", "--out", "rows", "-m", "tiny.onnx", "-e", "ort"], "starting"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_waits_have_a_bar_in_terminals_alone(
    words: List[str], description: str, desk: Path, tiny: Tiny, tmp_path: Path
) -> None:
    from support import terminal

    if words[0] == "batch":
        pytest.importorskip("pyarrow", reason="pyarrow (extra ray) is not installed")
    for file in (tiny.cfg, tiny.weights, desk / "tiny.onnx", desk / "a.jpg"):
        shutil.copy(file, tmp_path)
    media.video(tmp_path / "film.mp4", 100, size=(64, 48))
    text, lines = terminal.record(*words, cwd=tmp_path)
    assert description in text and description not in "\n".join(lines), "shown, and gone at the end"
    require_fit(lines)
    shutil.rmtree(tmp_path / "rows", ignore_errors=True)
    assert description not in commands.edgecsp(*words, code=0, cwd=tmp_path).stderr
