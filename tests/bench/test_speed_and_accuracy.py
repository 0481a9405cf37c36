"""`edgecsp val` says how fast, `edgecsp bench --data` how good: the same figures by the same code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from edgecsp.bench import _rounds, peak, val
from edgecsp.bench.interference import SystemNoise
from edgecsp.bench.results import CaseResult
from edgecsp.errors import UsageError
from edgecsp.graph import onnx_model
from support import labelled
from support.commands import invoke
from support.tiny import Tiny

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
BRIEF = ("--threads", "1", "--duration", "0.2")
STAGES = ["decode", "preprocess", "inference", "post"]


@pytest.fixture
def model(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny net as a file; workers hardly warm up, and nobody measures the machine's peak."""
    monkeypatch.setattr(peak, "measure_peak", lambda *given, **more: {"fp32": 100.0, "int8": None})
    monkeypatch.setattr(_rounds, "WARM_S", 0.05)
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    return str(tmp_path / "tiny.onnx")


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Labelled images, one of which cannot be read."""
    root = labelled.coco(tmp_path / "data", names=[str(i) for i in range(3)])
    (root / "images/b.png").write_bytes(b"no image")
    return str(root)


def rows(capsys: Any, *words: str, code: int = 0) -> Any:
    """The rows of a command's report, and what it printed for people."""
    found, out, err = invoke(capsys, *words, *BRIEF, "--json", "-")
    assert found == code, err
    return json.loads(out)["rows"], err


def test_val_says_how_fast(model: str, data: str, capsys: Any) -> None:
    words = ("val", model, "-d", data, "-e", "ort,opencv", "--resize", "letterbox")
    measured, table = rows(capsys, *words, code=4)
    assert [row["engine"] for row in measured] == ["ort", "opencv"]
    for row in measured:
        speed = row["speed"]
        assert speed["rounds"] == val.SPEED_ROUNDS and speed["samples"] >= 3 * val.SPEED_ROUNDS
        assert list(speed["stages"]) == STAGES and min(speed["stages"].values()) > 0
        assert speed["interval_ms"][0] <= speed["median_ms"] <= speed["interval_ms"][1]
        assert speed["fps"] == pytest.approx(1e3 / speed["median_ms"])
        assert bool(speed["causes"]) == speed["unstable"]
    lines = table.splitlines()
    head = next(number for number, line in enumerate(lines) if line.split() == ["ms", *STAGES])
    first = next(line for line in lines[head:] if line.startswith("ort "))
    assert f" {measured[0]['speed']['median_ms']:.2f}" in first


def test_val_without_timing_opens_no_process(
    model: str, data: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rounds, "Process", None)
    found, out, err = invoke(capsys, "val", model, "-d", data, "-e", "ort", "--duration", "0")
    assert found == 4 and " ms " not in out and STAGES[0] not in out, err
    with pytest.raises(UsageError, match="--duration -1: seconds per row"):
        invoke(capsys, "val", model, "-d", data, "--duration", "-1")


def test_a_case_that_cannot_be_timed_keeps_its_accuracy(
    model: str, data: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"make": "support.subjects:killed", "calls": 0, "warm_s": 0.1}
    monkeypatch.setattr(_rounds.Bench, "_request", lambda self, case: request)
    (row,), err = rows(capsys, "val", model, "-d", data, "-e", "ort", code=4)
    assert row["AP"] is not None and row["speed"] is None
    assert row["reason"].startswith("its speed was not measured: ") and "was killed (signal 9)" in row["reason"]
    assert "only partly measured: ort in fp32: its speed was not measured" in err


def test_interference_is_marked_in_val_as_in_bench(tiny: Tiny) -> None:
    result = CaseResult(val.Case(tiny.model, "ort", "cpu", "fp32"))
    for ms in (10.0, 10.0, 16.0, 17.0):
        answer: Dict[str, Any] = {"cpu_ms": ms, "wall_s": 0.1, "stages": None, "peak_memory_bytes": 1, "per_sample": 1}
        result.timing.add({"ms": [ms] * 5, **answer})
        result.timing.noise.append(SystemNoise(0.7, 0.0, 0, 0))
    speed = val.speed_to_dict(result)
    assert speed is not None and speed["unstable"] and speed["causes"][0] == "other programs used up to 0.70 CPUs"


def test_bench_with_data_says_how_good(model: str, data: str, capsys: Any) -> None:
    words = ("-d", data, "-e", "ort")
    (measured,), table = rows(capsys, "bench", model, *words, "--rounds", "2", "--precision", "fp32")
    (accurate,), _ = rows(capsys, "val", model, *words, code=4)
    assert measured["ap"] == 100 * accurate["AP"] and measured["ap50"] == 100 * accurate["AP50"]
    head = next(line for line in table.splitlines() if line.split()[:1] == ["model"])
    assert "AP" in head.split() and "AP50" in head.split()
    code, _, err = invoke(capsys, "bench", model, *words, *BRIEF, "-q", "--rounds", "1", "--fail-if", "ap<100")
    assert code == 8 and "--fail-if 'ap<100'" in err
