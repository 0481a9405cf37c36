"""`edgecsp verify --engine X` where X is not here says why and fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Tuple

import pytest

from edgecsp import backends
from edgecsp.graph import onnx_model
from support.commands import invoke
from support.tiny import Tiny


@pytest.fixture
def missing(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model's file; OpenVINO and trt are not installed, whatever is here."""
    real = backends.unavailable_reason

    def why_not(engine: str, device: str = "auto") -> Any:
        gone = engine in ("openvino", "trt")
        return f"needs {engine}, not installed here; type: pip install 'x'" if gone else real(engine, device)

    monkeypatch.setattr(backends, "unavailable_reason", why_not)
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    return str(tmp_path / "tiny.onnx")


def typed(capsys: Any, *words: str) -> Tuple[int, str, str]:
    """The exit code, stdout and stderr of `edgecsp verify`."""
    return invoke(capsys, "verify", *words, "--threads", "1")


@pytest.mark.parametrize("more", [(), ("--json", "-")])
def test_an_engine_that_is_missing_is_said_and_fails(missing: str, more: Any, capsys: Any) -> None:
    code, out, err = typed(capsys, missing, "--engine", "trt,openvino", *more)
    assert code == 6
    assert "not verified: trt on cuda: needs trt, not installed" in err
    assert "not verified: openvino on cpu, openvino on gpu, openvino on npu: needs openvino, not installed" in err
    if more:
        assert all(row["why"] for row in json.loads(out)["rows"])
    else:
        assert out == "", "a table without a row is none"


def test_the_others_are_verified_all_the_same(missing: str, capsys: Any) -> None:
    code, out, err = typed(capsys, missing, "--engine", "ort,openvino")
    assert code == 6 and "ort        cpu       fp32" in out and "openvino on cpu" in err
    assert "cuda" not in err, "onnxruntime ran; nobody asked for its GPU"


def test_nobody_asked_and_nothing_fails(missing: str, capsys: Any) -> None:
    code, out, _ = typed(capsys, missing)
    assert code == 0 and "ort        cpu       fp32" in out
