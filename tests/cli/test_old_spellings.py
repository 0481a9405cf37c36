"""Old spellings work and say what to type; they go in 0.3, with edgecsp/cli/_old_spellings.py and this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Tuple

import pytest

from edgecsp.errors import EdgecspError
from support.commands import edgecsp, invoke


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text('[[streams]]\nsource = "rtsp://camera/live"\n')
    (tmp_path / "data").mkdir()
    return tmp_path


def typed(capsys: pytest.CaptureFixture[str], words: str) -> Tuple[object, str, List[str]]:
    """Exit code or error, stdout, and lines of stderr."""
    code: object
    try:
        code, out, err = invoke(capsys, *words.split())
    except EdgecspError as error:
        code, (out, err) = str(error), capsys.readouterr()
    return code, out, err.splitlines()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tune --list", "tune list"),
        ("tune --list codes --json -", "tune list codes --json -"),
        ("tune codes --forget", "tune forget codes"),
        ("up --schema", "up schema"),
        ("up --check site.toml", "up check site.toml"),
        ("up site.toml --check", "up check site.toml"),
        ("batch --summary data", "batch summary data"),
        ("batch --summary=data --check", "batch summary data --verify"),
        ("batch --json --summary data", "batch summary data --json -"),
        ("engines --json", "engines --json -"),
        ("models list --json", "models list --json -"),
        ("models show codes --json", "models show codes --json -"),
        ("models show --json codes", "models show codes --json -"),
        ("models show codes --json --imgsz 416", "models show codes --imgsz 416 --json -"),
        ("verify --json nothing.onnx", "verify nothing.onnx --json -"),
        ("import x.cfg x.weights --classes 3", "import x.cfg x.weights --num-classes 3"),
        ("models import x.cfg x.weights --classes=3", "models import x.cfg x.weights --num-classes=3"),
        ("data check data --images nothing", "data check data --image-dir nothing"),
    ],
)
def test_an_old_spelling_does_the_same_and_warns(
    old: str, new: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, errors = typed(capsys, old)
    warnings = [line for line in errors if "removed in edgecsp 0.3; type: " in line]
    assert warnings and all(line.startswith("edgecsp: ") for line in warnings)
    wanted = typed(capsys, new)
    assert (code, out, [line for line in errors if line not in warnings]) == wanted
    assert not any("removed in" in line for line in wanted[2])


def test_a_warning_says_what_to_type(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def warning(words: str) -> str:
        return typed(capsys, words)[2][0]

    assert warning("tune --list").endswith("type: edgecsp tune list")
    assert "--json without a file is deprecated" in warning("engines --json")
    said = warning("models show --json codes")
    assert "'codes' was read as an argument" in said and "--json=codes" in said and "--json - codes" in said


def test_a_warning_is_json_where_the_log_is(folder: Path) -> None:
    done = edgecsp("engines", "--json", "--log-json", code=0)
    assert json.loads(done.stdout) and json.loads(done.stderr)["level"] == "warning"
    assert "removed in" in edgecsp("-q", "engines", "--json", code=0).stderr


def test_the_new_spelling_of_a_file_is_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, name in (("codes --json x.json", "x.json"), ("codes --json=codes", "codes")):
        code, out, errors = typed(capsys, f"models show {words}")
        assert (code, errors) == (0, []) and "BFLOPs" in out
        assert json.loads(Path(name).read_text())["name"] == "codes"
    # Where nothing can follow, any name is a file's.
    assert typed(capsys, "engines --json table")[2] == [] and Path("table").is_file()


def test_an_old_spelling_that_cannot_be_read_says_how_it_was_read(folder: Path) -> None:
    done = edgecsp("models", "show", "codes", "--json", "out", code=2)
    assert "unexpected extra argument" in done.stderr and "'out' was read as an argument" in done.stderr
    assert not (folder / "out").exists()
