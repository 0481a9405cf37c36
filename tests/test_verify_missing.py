"""`edgecsp verify --engine X` where X is not here says why and fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Tiny
from typer.testing import CliRunner

from edgecsp import backends, onnx_model
from edgecsp.cli import app


@pytest.fixture
def missing(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model's file; OpenVINO and trt are not installed, whatever is here."""
    real = backends.why_not

    def why_not(engine: str, device: str = "auto") -> Any:
        gone = engine in ("openvino", "trt")
        return f"needs {engine}, not installed here; type: pip install 'x'" if gone else real(engine, device)

    monkeypatch.setattr(backends, "why_not", why_not)
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    return str(tmp_path / "tiny.onnx")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_an_engine_that_is_missing_is_said_and_fails(missing: str, more: Any) -> None:
    done = CliRunner().invoke(app, ["verify", missing, "--engine", "trt,openvino", "--threads", "1", *more])
    assert done.exit_code == 6
    assert "not verified: trt on cuda: needs trt, not installed" in done.stderr
    assert "not verified: openvino on cpu: needs openvino, not installed" in done.stderr
    if more:
        assert all(row["why"] for row in json.loads(done.stdout)["rows"])
    else:
        assert done.stdout == "", "a table without a row is none"


def test_the_others_are_verified_all_the_same(missing: str) -> None:
    done = CliRunner().invoke(app, ["verify", missing, "--engine", "ort,openvino", "--threads", "1"])
    assert done.exit_code == 6 and "ort        cpu       fp32" in done.stdout and "openvino on cpu" in done.stderr
    assert "cuda" not in done.stderr, "onnxruntime ran; nobody asked for its GPU"


def test_nobody_asked_and_nothing_fails(missing: str) -> None:
    done = CliRunner().invoke(app, ["verify", missing, "--threads", "1"])
    assert done.exit_code == 0 and "ort        cpu       fp32" in done.stdout
