"""One body over every registered engine: the oracle's heads, the same twice, closed means closed, no quiet CPU.

`test_engines_agree.py` beside it holds the engines against each other on the zoo and on real weights.
"""

from __future__ import annotations

import numpy as np
import pytest

from edgecsp import backends
from edgecsp.errors import EngineUnavailable, UnknownName, UsageError
from edgecsp.graph import precision
from edgecsp.system import cpu
from edgecsp.testing import ContractSample, EngineContract, make_sample
from edgecsp.types import Model
from support.engines import require_engine
from support.tiny import Tiny


def assert_close(got: list, wanted: tuple) -> None:
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted):
        assert a.shape == b.shape and a.dtype == np.float32
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


class TestEveryEngine(EngineContract):
    """The tests that are shipped for the authors of engines, on the tiny net and what the oracle computes of it."""

    @pytest.fixture(params=backends.names(), autouse=True)
    def every(self, request: pytest.FixtureRequest) -> str:
        self.engine = request.param
        return request.param

    @pytest.fixture
    def name(self, every: str) -> str:
        return require_engine(every)

    @pytest.fixture
    def sample(self, tiny: Tiny) -> ContractSample:
        return ContractSample(tiny.model, tiny.batch, tiny.heads)


def test_the_shipped_sample_is_no_empty_test() -> None:
    sample = make_sample()
    assert [head.shape for head in sample.heads] == [(1, 16, 8, 8), (1, 16, 16, 16)]
    assert all(head.std() > 0.1 and np.isfinite(head).all() for head in sample.heads)


def test_unknown_engines_are_answered_with_the_nearest(tiny: Tiny) -> None:
    with pytest.raises(UnknownName, match=r"no engine is called 'openvin'\. Did you mean 'openvino'\?"):
        backends.open(tiny.model, "openvin")
    for odd in ("__init__", "", "..errors", "_private"):
        with pytest.raises(UnknownName):
            backends.open(tiny.model, odd)


# -- auto ----------------------------------------------------------------------------------------------------


def here(monkeypatch: pytest.MonkeyPatch, **reasons: str) -> None:
    """A machine on which all engines run but those named, for the reasons given."""
    monkeypatch.setattr(backends, "unavailable_reason", lambda name, device="auto": reasons.get(name))


def test_auto_takes_the_first_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "is_x86", lambda: True)
    here(monkeypatch)
    assert backends.choose()[:2] == ("trt", "cuda")
    here(monkeypatch, trt="has no GPU")
    assert backends.choose() == ("openvino", "cpu", "the first choice on an x86 CPU")
    here(monkeypatch, trt="has no GPU", openvino="needs openvino; type: pip install x")
    choice = backends.choose()
    assert choice[:2] == ("ort", "cpu")
    # What would be better on that device is said, with how to have it; what is for another device is not.
    assert "openvino needs openvino; type: pip install x" in choice.why and "GPU" not in choice.why
    monkeypatch.setattr(cpu, "is_x86", lambda: False)
    here(monkeypatch, trt="has no GPU")
    assert backends.choose() == ("ort", "cpu", "the one that runs everywhere")
    here(monkeypatch, trt="x", ort="y", openvino="z")
    assert backends.choose()[:2] == ("ncnn", "cpu")
    here(monkeypatch, trt="x", ort="y", openvino="z", ncnn="w")
    assert backends.choose()[:2] == ("opencv", "cpu")


def test_auto_minds_the_device_and_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "is_x86", lambda: True)
    here(monkeypatch, trt="has no GPU")
    assert backends.choose(precision="fp16").engine == "ort"
    assert backends.choose(precision="int8").engine == "openvino"
    with pytest.raises(UnknownName, match="Did you mean 'int8'"):
        backends.choose(precision="int7")
    monkeypatch.undo()
    with pytest.raises(EngineUnavailable, match=r"no installed engine runs on device 'abacus'; see: edgecsp doctor$"):
        backends.choose(device="abacus")
    if backends.unavailable_reason("trt") and backends.unavailable_reason("ort", "cuda"):
        with pytest.raises(EngineUnavailable, match=r"(?s)device 'cuda'.*\n  trt .*\n  ort "):
            backends.choose(device="cuda")


def test_auto_opens_what_it_chose(tiny: Tiny) -> None:
    assert backends.choose("ort") == ("ort", "cpu", "requested")
    with pytest.raises(EngineUnavailable, match="no installed engine runs on device 'abacus'"):
        backends.open(tiny.model, "auto", device="abacus")
    session = backends.open(tiny.model)
    assert_close(session.run(tiny.batch), tiny.heads)
    session.close()


# -- precision -----------------------------------------------------------------------------------------------


def relabelled(model: Model, found: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The model as if its graph were in that precision."""
    monkeypatch.setattr(precision, "detect_precision", lambda _: found)
    return model


def test_what_the_graph_is_not(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"tiny is a graph in fp32.*edgecsp quantize MODEL --calib"):
        backends.open(tiny.model, "ort", precision="int8")
    with pytest.raises(UsageError, match=r"fp32 was requested and tiny is a graph in int8.*--precision int8"):
        backends.open(relabelled(tiny.model, "int8", monkeypatch), "ort", precision="fp32")
    with pytest.raises(UsageError, match="int8 was requested and tiny is a graph in fp16"):
        backends.open(relabelled(tiny.model, "fp16", monkeypatch), "ort", precision="int8")


def test_what_the_engine_has_not(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        EngineUnavailable, match=r"'opencv' computes in fp32.*requested in fp16; type: --engine ort or trt"
    ):
        backends.open(tiny.model, "opencv", precision="fp16")
    with pytest.raises(EngineUnavailable, match="tiny is fp16; type: --engine ort or trt"):
        backends.open(relabelled(tiny.model, "fp16", monkeypatch), "opencv")
