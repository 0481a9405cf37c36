"""`--json`: a file, whole or not at all, or stdout, which then holds the document alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List

import pytest

from edgecsp.cli._json import JsonOutput
from edgecsp.errors import OutputError
from support.commands import edgecsp, invoke

COMMANDS = [
    ["models", "list"], ["models", "show", "codes"], ["engines"], ["doctor"], ["tune", "list"], ["up", "schema"]
]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_file_has_what_stdout_has(words: List[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = invoke(capsys, *words, "--json", "-")
    assert err == "" and out.endswith("\n")
    file = tmp_path / "new" / "out.json"
    again, table, _ = invoke(capsys, *words, "--json", str(file))
    assert again == code and list(file.parent.iterdir()) == [file]
    document, written = json.loads(out), json.loads(file.read_text())
    if words == ["doctor"]:  # what is free changes
        document.pop("memory"), written.pop("memory")
    assert document == written
    plain = words in (["up", "schema"], ["tune", "list"])  # nothing was tuned, and a schema is JSON alone
    assert plain or (table and not table.startswith(("{", "[")))


def test_a_place_that_cannot_be_written_is_an_error_of_output(tmp_path: Path) -> None:
    done = edgecsp("engines", "--json", tmp_path, code=5)
    assert done.stdout == "" and "it is a folder" in done.stderr


def test_a_failure_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    file.write_text("older")
    with pytest.raises(ZeroDivisionError), JsonOutput(str(file)):
        raise ZeroDivisionError
    assert file.read_text() == "older" and list(tmp_path.iterdir()) == [file]
    with pytest.raises(OutputError, match="it is a folder"):
        JsonOutput(str(tmp_path))


def test_a_file_that_holds_something_else_is_not_replaced(tmp_path: Path) -> None:
    model, text = tmp_path / "model.onnx", tmp_path / "report.txt"
    model.write_bytes(b"\x08\x07")
    done = edgecsp("engines", "--json", model, code=2)
    assert "holds no JSON; give another name" in done.stderr and model.read_bytes() == b"\x08\x07"
    for _ in range(2):
        edgecsp("engines", "--json", text, code=0)
    assert json.loads(text.read_text())


def test_an_option_is_no_file(tmp_path: Path) -> None:
    done = edgecsp("bench", "codes", "--json", "--quiet", code=2, cwd=tmp_path)
    assert "--json --quiet: must be a file, or - for stdout" in done.stderr and not list(tmp_path.glob("--*"))


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    with JsonOutput(str(file)) as output:
        output.write({"a": [float("nan"), 1.5, {"b": float("inf")}]}, indent=None)
    assert file.read_text() == '{"a": [null, 1.5, {"b": null}]}\n'
    assert output.paths == [file]
    with JsonOutput(None) as nothing:
        nothing.write({})
    assert nothing.paths == [] and not nothing.is_stdout
