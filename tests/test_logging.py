"""Messages go through `logging`: silent in a library, lines or JSON on stderr in a command, and never with a login."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from typer.testing import CliRunner

from edgecsp.cli import _logging, app
from edgecsp.graph import onnx_model
from edgecsp.system.progress import NO_PROGRESS, NoProgress, Progress
from edgecsp.system.redaction import RedactionFilter
from support.documents import blocks
from support.progress import RecordedProgress
from support.repository import REPO
from support.tiny import Tiny

FILES = [path for folder in ("edgecsp", "benchmarks", "calib") for path in sorted((REPO / folder).rglob("*.py"))]
PACKAGE = sorted((REPO / "edgecsp").rglob("*.py"))
URL = "rtsp://eve:hunter2@door/live?token=hunter2"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The package's logger, put back as it was."""
    logger = logging.getLogger("edgecsp")
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    import cv2
    import numpy as np

    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


@pytest.fixture
def words(tiny: Tiny, picture: Path, tmp_path: Path) -> List[str]:
    """A run that has an INFO line (what it wrote) and a WARNING (a file that is no image)."""
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    (tmp_path / "broken.png").write_bytes(b"no image")
    return ["run", str(tmp_path), "--model", str(tmp_path / "tiny.onnx"), "--engine", "ort", "--json", "-"]


def edgecsp(*given: object) -> Tuple[int, str, List[str]]:
    # in an empty folder: errors name files that lie beside the one that is not there
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgecsp", *map(str, given)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    return done.returncode, done.stdout, done.stderr.splitlines()


# -- the library -------------------------------------------------------------------------------------------------------


def test_the_package_alone_is_silent_and_leaves_the_root_logger_alone() -> None:
    code = (
        "import logging, edgecsp, edgecsp.pipeline\n"
        "logging.getLogger('edgecsp.pipeline').error('not seen')\n"
        "assert logging.getLogger().handlers == [] and logging.getLogger().level == logging.WARNING\n"
        "assert [type(each) for each in logging.getLogger('edgecsp').handlers] == [logging.NullHandler]\n"
        "logging.basicConfig(format='%(name)s|%(message)s')\n"
        "logging.getLogger('edgecsp.pipeline').warning('seen')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "edgecsp.pipeline|seen\n")


def test_a_module_has_one_logger_of_its_name_and_none_configures_the_root() -> None:
    wrong = []
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            module = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if module == "logging" and node.func.attr in ("basicConfig", "captureWarnings"):
                wrong.append(f"{path}, line {node.lineno}: {node.func.attr}")
            if module == "logging" and node.func.attr == "getLogger" and not node.args:
                wrong.append(f"{path}, line {node.lineno}: the root logger")
        assigned = re.findall(r"^(\w+) = logging\.getLogger\((.+)\)", path.read_text("utf-8"), re.MULTILINE)
        loggers = [(name, of) for name, of in assigned if of in ("__name__", "__package__")]
        if loggers and loggers not in ([("LOG", "__name__")], [("LOG", "__package__")]):
            wrong.append(f"{path}: {loggers}")
    assert wrong == []


def test_messages_are_not_handed_down_as_callables() -> None:
    found = [
        f"{path.relative_to(REPO)}, line {node.lineno}: {node.arg}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.arg) and node.arg.strip("_") in ("tell", "note")
    ]
    assert found == []


# -- the command line --------------------------------------------------------------------------------------------------


def test_lines_look_as_they_did(words: List[str], picture: Path) -> None:
    code, out, lines = edgecsp(*words)
    assert code == 4 and json.loads(out)["source"] == str(picture)
    assert re.fullmatch(r"1 frame in [\d.]+ s \([\d.]+ fps\): .*", lines[0])
    assert lines[-1].startswith(f"edgecsp: {picture.with_name('broken.png')} ")


@pytest.mark.parametrize("first", [False, True])
def test_quiet_hides_what_is_information_and_no_warning(words: List[str], picture: Path, first: bool) -> None:
    code, out, lines = edgecsp(*(("-q", *words) if first else (*words, "-q")))
    assert code == 4 and json.loads(out)["source"] == str(picture)
    assert len(lines) == 1 and lines[0].startswith(f"edgecsp: {picture.with_name('broken.png')} ")


def test_quiet_holds_for_commands_that_have_no_such_option(tiny: Tiny, tmp_path: Path) -> None:
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    for quiet in (False, True):
        out = tmp_path / f"repository{quiet}"
        code, _, lines = edgecsp("export", tmp_path / "tiny.onnx", "-f", "triton", "-o", out, *["-q"] * quiet)
        assert code == 0 and [line.split(":")[0] for line in lines] == ["serve it"] * (not quiet)


@pytest.mark.parametrize("first", [False, True])
def test_verbose_shows_more(words: List[str], first: bool) -> None:
    wanted = "edgecsp: opened tiny, input 64x64, on ort"
    assert not any(line.startswith(wanted) for line in edgecsp(*words)[2])
    lines = edgecsp(*(("-v", *words) if first else (*words, "-v")))[2]
    assert sum(line.startswith(wanted) for line in lines) == 1


@pytest.mark.parametrize("first", [False, True])
def test_json_is_one_object_a_line(words: List[str], picture: Path, first: bool) -> None:
    code, out, lines = edgecsp(*(("--log-json", *words) if first else (*words, "--log-json")))
    assert code == 4 and json.loads(out)["source"] == str(picture), "stdout is data"
    rows: List[Dict[str, Any]] = list(map(json.loads, lines))
    assert [sorted(row) for row in rows] == [["level", "logger", "message", "time"]] * len(rows)
    assert [row["level"] for row in rows] == ["info", "warning"]
    assert rows[0]["message"].startswith("1 frame in ")
    assert rows[1]["message"].startswith(f"{picture.with_name('broken.png')} ")
    assert all(row["logger"].startswith("edgecsp.") for row in rows)
    assert all(datetime.fromisoformat(row["time"]).tzinfo is not None for row in rows)


def test_what_ends_a_command_is_json_too() -> None:
    code, out, lines = edgecsp("run", "nowhere.jpg", "--log-json")
    (row,) = map(json.loads, lines)
    assert (code, out) == (3, "") and (row["level"], row["message"]) == ("error", "no such file or folder: nowhere.jpg")
    assert edgecsp("run", "nowhere.jpg", "-q") == (3, "", ["edgecsp: no such file or folder: nowhere.jpg"])


def test_no_bar_and_no_table_between_json() -> None:
    """On a terminal, where bars are drawn."""
    for json_too in (False, True):
        leader, follower = pty.openpty()
        code = (
            "from edgecsp.cli import _logging, _progress, _print; "
            f"_logging.configure(log_json={json_too})\n"
            "with _progress.bar('doing', 3) as progress:\n"
            "    progress.advance(); _logging.inform('half way'); progress.update(completed=3)\n"
            "_print.console(to_stderr=True).print('a table')\n"
        )
        subprocess.run([sys.executable, "-c", code], stderr=follower, timeout=60, check=True)
        os.close(follower)
        shown = os.read(leader, 1 << 16).decode()
        os.close(leader)
        assert ("doing" in shown, "a table" in shown) == (not json_too, not json_too)
        assert "half way" in shown
        if json_too:
            (row,) = map(json.loads, shown.splitlines())
            assert row["message"] == "half way"
        else:
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            assert "edgecsp: half way" in re.split(r"[\r\n]+", plain), "on a line of its own, above the bar"


# -- redaction ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_json", [False, True])
def test_no_login_reaches_stderr(log: logging.Logger, log_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    _logging.configure(verbose=True, log_json=log_json)
    logger = logging.getLogger("edgecsp.media.sources")
    logger.debug("opening %s", URL)
    logger.warning(f"cannot open {URL}")
    try:
        raise OSError(f"refused: {URL}")
    except OSError:
        logger.exception("no stream at %s", URL, stack_info=True)
    _logging.inform(f"serving {URL}")
    shown = capsys.readouterr().err
    assert shown.count("rtsp://door/live?token=***") >= 5
    assert "Traceback (most recent call last)" in shown
    assert "hunter2" not in shown and "eve" not in shown.replace("level", "")


@pytest.mark.parametrize("options", [{}, {"verbose": True}, {"quiet": True}, {"log_json": True}])
def test_every_handler_that_is_installed_redacts(log: logging.Logger, options: Dict[str, bool]) -> None:
    _logging.configure(**options)
    assert len(log.handlers) == 1
    assert all(any(isinstance(each, RedactionFilter) for each in handler.filters) for handler in log.handlers)


def test_every_class_and_call_that_makes_a_handler_adds_the_filter() -> None:
    """A module that makes a handler, other than the NullHandler, adds the filter to it."""
    for path in PACKAGE:
        text = path.read_text("utf-8")
        if re.search(r"logging\.(Stream|File)?Handler\b", text):
            assert "addFilter(RedactionFilter())" in text, path


def test_a_host_programs_handler_can_have_the_filter(log: logging.Logger) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(RedactionFilter())
    log.addHandler(handler)
    try:
        raise OSError(URL)
    except OSError:
        logging.getLogger("edgecsp.serve").exception("%s and %d", URL, 3)
    log.removeHandler(handler)
    first, *more = stream.getvalue().splitlines()
    assert first == "ERROR rtsp://door/live?token=*** and 3"
    assert any("OSError: rtsp://door/live?token=***" in line for line in more) and "hunter2" not in stream.getvalue()


# -- progress ----------------------------------------------------------------------------------------------------------


def test_a_bar_that_nobody_watches_takes_every_call() -> None:
    bar: Progress = NO_PROGRESS
    bar.update(description="x", total=3, completed=1)
    bar.advance()
    assert isinstance(bar, NoProgress)


def test_val_counts_its_images(tmp_path: Path) -> None:
    from edgecsp.bench.accuracy import inspection

    bar = RecordedProgress()
    for name in "abc":
        (tmp_path / name).write_bytes(b"no image")
    inspection.inspect_images([str(tmp_path / name) for name in "abc"], progress=bar)
    assert [completed for completed, _, _ in bar.steps] == [1, 2, 3]


def test_options_before_the_command_do_not_outlive_it(log: logging.Logger) -> None:
    runner = CliRunner()
    runner.invoke(app, ["-q", "--log-json", "engines", "--json", "-"])
    assert _logging.is_json() and log.level == logging.WARNING
    runner.invoke(app, ["engines", "--json", "-"])
    assert not _logging.is_json() and log.level == logging.INFO


def test_the_programs_of_the_document_log_without_credentials() -> None:
    first, second = blocks("python", "docs/logging.md")
    last = "logging.getLogger('edgecsp.x').info('opens %s', 'rtsp://eve:hunter2@door/live')\n"
    for program in (first, f"import logging\nlogging.getLogger('edgecsp').setLevel('INFO')\n{second}"):
        done = subprocess.run([sys.executable, "-c", program + last], capture_output=True, text=True, cwd=REPO)
        assert done.returncode == 0 and done.stdout == "", done.stderr
        assert "rtsp://" in done.stderr
    assert "hunter2" not in done.stderr and "rtsp://door/live" in done.stderr
