"""`python -m benchmarks.engines`: its tables from figures, and what holds an engine to an instruction set."""

from __future__ import annotations

import os

import pytest

from benchmarks import engines
from edgecsp import zoo

MACHINE = {"name": "A CPU", "isa": ["AVX2"], "threads": 2, "peak_gflops": {"fp32": 100.4, "bf16": None}}
ROWS = [
    {"model": "codes", "engine": "ort", "precision": "fp32", "ms": 10.0},
    {"model": "codes", "engine": "openvino", "precision": "bf16", "ms": 4.0},
    {"model": "yolov3-tiny", "engine": "ort", "precision": "fp32", "ms": 20.0},
]


def test_a_table_has_milliseconds_and_times_onnxruntime() -> None:
    runs = [{"isa": "native", "machine": MACHINE, "rows": ROWS}, {"isa": "AVX2", "machine": MACHINE, "rows": ROWS[1:2]}]
    text = engines.tables({"threads": 2, "runs": runs})
    assert "A CPU (AVX2), 2 threads; GFLOP/s: fp32 100" in text
    assert "held to AVX2 (OV_CPU_MAX_ISA=AVX2)" in text
    assert "| model | 3x3 | ort fp32 | openvino bf16 |" in text
    assert "| codes | 68 % | 10.0 | 4.0 (2.50) |" in text and "| yolov3-tiny | 96 % | 20.0 |  |" in text


def test_the_share_of_winograd_is_that_of_the_convolutions_it_fits() -> None:
    name = "yolov3-tiny"
    layers = [each for each in zoo.net(name).layers if each.op == "conv"]
    others = sum(each.flops for each in layers if each.attrs["size"] != (3, 3))
    assert engines.winograd_share(name) == pytest.approx(1 - others / sum(each.flops for each in layers), abs=0.01)


def test_an_instruction_set_is_for_child_processes_and_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OV_CPU_MAX_ISA", raising=False)
    with engines.limit_isa("AVX2"):
        assert os.environ["OV_CPU_MAX_ISA"] == os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    with engines.limit_isa("native"):
        assert "OV_CPU_MAX_ISA" not in os.environ
