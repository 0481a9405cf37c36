"""`edgecsp doctor` and `edgecsp engines` as a user types them, and the line that `run` says of its engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecsp import backends
from edgecsp.graph import onnx_model
from edgecsp.system import cpu, install
from support import commands, media
from support.repository import REPO
from support.tiny import Tiny

# Everything that computes hides itself; null and the command line stay.
BARE = """
import sys
from edgecsp import backends, cli
found = backends.missing_packages
backends.missing_packages = lambda name: ["gone"] if not backends.info(name).is_dummy else found(name)
sys.argv[1:] = {words!r}
cli.main()
"""


def edgecsp(*words: object, code: int = 0, cwd: Path = REPO) -> subprocess.CompletedProcess[str]:
    return commands.edgecsp(*words, code=code, cwd=cwd)


def bare(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it where no engine computes: it exits with 6."""
    command = [sys.executable, "-c", BARE.format(words=list(words))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPO, check=False)
    return commands.check(done, 6)


def test_doctor_says_what_is_here_and_what_mends_the_rest() -> None:
    said: Any = json.loads(edgecsp("doctor", "--json", "-").stdout)
    assert said["packages"]["onnxruntime"] and said["packages"]["numpy"]
    assert said["cpu"]["threads"] == cpu.threads() and said["memory"]["total"] > 2**28
    rows = {row["engine"]: row for row in said["engines"]}
    assert set(rows) == set(backends.names())
    for name, row in rows.items():
        assert row["runs"] == any(backends.unavailable_reason(name, device) is None for device in row["devices"])
        assert all(device in row["devices"] and why for device, why in row["why_not"].items())
    choice = backends.choose()
    native = backends.native_precision(choice.engine, choice.device)
    why = f"{choice.why}; {backends.explain_precision(native)}"
    assert said["auto"] == {**choice._asdict(), "precision": native or "fp32", "why": why}
    text = edgecsp("doctor").stdout
    assert f"{cpu.threads()} threads by default" in text and f"is {said['auto']['engine']} on" in text
    for row in rows.values():
        assert all(why in text for why in row["why_not"].values())


def test_engines_are_the_doctors() -> None:
    listed = json.loads(edgecsp("engines", "--json", "-").stdout)
    assert listed == json.loads(edgecsp("doctor", "--json", "-").stdout)["engines"]
    text = edgecsp("engines").stdout
    assert text in edgecsp("doctor").stdout


def test_doctor_fails_where_nothing_computes() -> None:
    done = bare("doctor")
    assert f"needs gone, not installed here; type: {install.command('openvino')}" in done.stdout
    assert "no installed engine runs" in done.stdout
    said = json.loads(bare("doctor", "--json", "-").stdout)
    assert said["auto"]["engine"] is None and [row["engine"] for row in said["engines"] if row["runs"]] == ["null"]


@pytest.fixture(scope="module")
def desk(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    onnx_model.save(tiny.model, folder / "tiny.onnx")
    (folder / "a.jpg").write_bytes(media.jpeg(media.scene(0)))
    return folder


def test_run_says_which_engine_auto_is_and_why(desk: Path, tiny: Tiny) -> None:
    words = ["run", "a.jpg", "-m", "tiny.onnx", "--json", "-"]
    choice = backends.choose_for(tiny.model)
    (line,) = [line for line in edgecsp(*words, cwd=desk).stderr.splitlines() if "engine" in line]
    assert line == f"edgecsp: engine {choice.engine} on {choice.device} in {choice.precision}: {choice.why}"
    assert "engine" not in edgecsp(*words, "-q", cwd=desk).stderr
    assert "engine" not in edgecsp(*words, "--engine", "ort", cwd=desk).stderr


def test_run_on_null_says_that_it_finds_nothing(desk: Path) -> None:
    words = ["run", "a.jpg", "-m", "tiny.onnx", "--json", "-", "--engine", "null", "--conf", "0.001"]
    done = edgecsp(*words, cwd=desk)
    assert "is a dummy that computes nothing" in done.stderr
    assert json.loads(done.stdout)["detections"] == []


def test_run_takes_a_precision(desk: Path) -> None:
    words = ["run", "a.jpg", "-m", "tiny.onnx", "--json", "-", "--precision"]
    assert edgecsp(*words, "auto", cwd=desk).stdout == edgecsp(*words[:-1], cwd=desk).stdout
    on_ort = [*words, "fp32", "-e", "ort"]
    assert edgecsp(*on_ort, cwd=desk).stdout == edgecsp(*words[:-1], "-e", "ort", cwd=desk).stdout
    assert "edgecsp quantize" in edgecsp(*words, "int8", code=2, cwd=desk).stderr
    assert "Did you mean 'int8'" in edgecsp(*words, "int4", code=2, cwd=desk).stderr
    assert "openvino" in edgecsp(*words, "int8", "--engine", "opencv", code=6, cwd=desk).stderr
