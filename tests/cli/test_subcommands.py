"""Commands that also work alone: `tune MODEL` and `tune list`, and what a file called list means."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from edgecsp import zoo
from edgecsp.cli import app
from edgecsp.errors import BadModel, UsageError
from support.commands import edgecsp, invoke

PAIRS = [name.split(" ") for name in typer.main.get_command(app).commands if " " in name]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_model_is_called_like_a_subcommand() -> None:
    assert len(PAIRS) >= 6
    assert {second for _, second in PAIRS}.isdisjoint(zoo.names())


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
def test_a_subcommand_is_in_the_help_of_its_command_and_has_its_own(pair: list, folder: Path) -> None:  # type: ignore[type-arg]
    first = edgecsp(pair[0], "--help", code=0).stdout
    assert f"\n  {pair[1]} " in first.partition("Subcommands:")[2]
    assert f"Usage: edgecsp {' '.join(pair)} " in edgecsp(*pair, "--help", code=0).stdout


def test_a_file_of_a_subcommands_name_is_named_by_its_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list").write_bytes(b"no model")
    code, _, err = invoke(capsys, "tune", "list")
    assert code == 0 and "nothing is cached" in err
    assert "list is a subcommand: edgecsp tune list ...; for a file or folder of that name" in err
    assert "type: edgecsp tune ./list" in err
    for words in (["./list"], ["--", "list"]):
        with pytest.raises(BadModel, match="list is not an ONNX file"):
            invoke(capsys, "tune", *words)
    assert "subcommand" not in capsys.readouterr().err


def test_a_subcommand_behind_options_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["tune", "--seconds", "1", "list"], ["bench", "-q", "compare"], ["batch", "-q", "summary"]):
        with pytest.raises(UsageError, match=f"{words[-1]} is a subcommand: edgecsp {words[0]} {words[-1]}"):
            invoke(capsys, *words)


def test_options_of_the_application_stand_before_a_subcommand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(capsys, "-q", "tune", "list") == (0, "", "")
    assert "No such option" in edgecsp("tune", "list", "--seconds", "3", code=2).stderr
