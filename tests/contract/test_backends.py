"""One body over every registered engine: the oracle's heads, the same twice, closed means closed, no quiet CPU.

`test_engines_agree.py` beside it holds the engines against each other on the zoo and on real weights.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Iterator

import numpy as np
import onnx
import pytest

from edgecsp import backends
from edgecsp.backends import registry
from edgecsp.errors import BadModel, BuildFailed, EngineUnavailable, UnknownName, UsageError
from edgecsp.graph import onnx_model, precision
from edgecsp.processing import preprocess
from edgecsp.system import cpu
from edgecsp.types import Model
from support.engines import require_engine
from support.tiny import Tiny


@pytest.fixture(params=backends.names())
def engine(request: pytest.FixtureRequest) -> str:
    return require_engine(request.param)


@pytest.fixture
def session(engine: str, tiny: Tiny) -> Iterator[backends.Session]:
    opened = backends.open(tiny.model, engine)
    yield opened
    opened.close()


def wanted_of(engine: str, heads: tuple) -> tuple:
    """What the engine is to give where the oracle gives `heads`: null has their shapes, and no object in them."""
    return heads if not backends.info(engine).is_dummy else tuple(np.full_like(head, -30) for head in heads)


def assert_close(got: list, wanted: tuple) -> None:
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted):
        assert a.shape == b.shape and a.dtype == np.float32
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


def test_says_what_it_is(engine: str) -> None:
    info = backends.info(engine)
    assert info.name == engine and re.match(r".+\.$", info.summary)
    assert info.devices and info.precisions and isinstance(info.extra, str) and info.requires


def test_gives_the_oracles_heads(engine: str, session: backends.Session, tiny: Tiny) -> None:
    assert_close(session.run(tiny.batch), wanted_of(engine, tiny.heads))


def test_twice_the_same_and_the_first_arrays_stay_the_callers(
    engine: str, session: backends.Session, tiny: Tiny
) -> None:
    first = session.run(tiny.batch)
    kept = [out.copy() for out in first]
    session.run(np.zeros_like(tiny.batch))
    again = session.run(tiny.batch)
    for a, b, c in zip(first, kept, again):
        assert (a == b).all() and (b == c).all()
    first[0][:] = 0  # and may be written to
    assert_close(session.run(tiny.batch), wanted_of(engine, tiny.heads))


def test_the_batch_is_not_touched_and_may_be_a_view(engine: str, session: backends.Session, tiny: Tiny) -> None:
    wide = np.zeros((1, 3, 64, 80), np.float32)
    wide[..., 8:72] = tiny.batch
    before = wide.copy()
    assert_close(session.run(wide[..., 8:72]), wanted_of(engine, tiny.heads))
    assert (wide == before).all()
    locked = tiny.batch.copy()
    locked.flags.writeable = False
    assert_close(session.run(locked), wanted_of(engine, tiny.heads))


@pytest.mark.parametrize("resize", ["darknet", "stretch", "letterbox", "crop"])
def test_a_pictures_bytes_give_what_its_planes_give(engine: str, tiny: Tiny, picture: np.ndarray, resize: str) -> None:
    """Bit for bit, from a session that takes both; an engine that takes no bytes is given none."""
    for colour, std in (("rgb", (1.0, 1.0, 1.0)), ("bgr", (0.229, 0.3, 0.7))):
        spec = replace(tiny.model.input, resize=resize, colour=colour, std=std)
        session = backends.open(replace(tiny.model, input=spec), engine, accepts_uint8=True)
        takes = backends.info(engine).accepts_uint8 and preprocess.has_pixels(spec)
        assert session.accepts_uint8 == takes
        planes = session.run(preprocess.prepare(picture, spec)[0])
        if takes:
            laid = preprocess.pixels(picture, spec)[0]
            for got, wanted in zip(session.run(laid), planes):
                assert got.dtype == np.float32 and (got == wanted).all()
            wide = np.concatenate((laid, laid), 2)
            assert all((a == b).all() for a, b in zip(session.run(wide[:, :, : laid.shape[2]]), planes))
        session.close()


def test_other_sizes_and_batches(engine: str, tiny: Tiny) -> None:
    pair = np.concatenate((tiny.batch, np.zeros_like(tiny.batch)))
    session = backends.open(onnx_model.reshape(tiny.model, batch=2), engine)
    assert_close([out[:1] for out in session.run(pair)], wanted_of(engine, tiny.heads))
    session.close()
    session = backends.open(onnx_model.reshape(tiny.model, hw=(96, 32)), engine, threads=1)
    assert [out.shape for out in session.run(np.zeros((1, 3, 96, 32), np.float32))] == [(1, 16, 6, 2), (1, 16, 12, 4)]
    session.close()


def test_two_sessions_do_not_meet(engine: str, session: backends.Session, tiny: Tiny) -> None:
    other = backends.open(onnx_model.reshape(tiny.model, hw=(32, 32)), engine)
    other.run(np.zeros((1, 3, 32, 32), np.float32))
    other.close()
    assert_close(session.run(tiny.batch), wanted_of(engine, tiny.heads))


def test_closed_means_closed(engine: str, tiny: Tiny) -> None:
    session = backends.open(tiny.model, engine)
    session.run(tiny.batch)
    session.close()
    with pytest.raises(Exception, match=r".") as caught:
        session.run(tiny.batch)
    assert not isinstance(caught.value, AssertionError)
    session.close()


def test_a_device_it_does_not_have(engine: str, tiny: Tiny) -> None:
    with pytest.raises(EngineUnavailable, match=f"engine '{engine}' runs on .*; device 'abacus' was requested"):
        backends.open(tiny.model, engine, device="abacus")


def test_a_graph_it_cannot_build(engine: str, tiny: Tiny) -> None:
    with pytest.raises((BadModel, BuildFailed), match="tiny"):
        backends.open(replace(tiny.model, onnx=tiny.model.onnx[: len(tiny.model.onnx) // 2]), engine)
    proto = onnx.load_model_from_string(tiny.model.onnx)
    if not backends.info(engine).is_dummy:
        proto.graph.node[0].op_type = "Abacus"
    else:
        del proto.graph.output[-1].type.tensor_type.shape.dim[:]
    with pytest.raises(BuildFailed, match="tiny"):
        backends.open(replace(tiny.model, onnx=proto.SerializeToString()), engine)


def test_threads(engine: str, tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="--threads 0: at least 1"):
        backends.open(tiny.model, engine, threads=0)
    backends.open(tiny.model, engine, threads=1).close()


def test_a_package_that_is_missing(engine: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    session = registry.find(engine)
    monkeypatch.setattr(session, "info", replace(session.info, requires=("nosuchpackage",)))
    extra = rf"edgecsp\[{session.info.extra}\]" if session.info.extra else "edgecsp"
    with pytest.raises(EngineUnavailable, match=f"needs nosuchpackage, .*type: pip install '{extra}'"):
        backends.open(tiny.model, engine)
    assert backends.missing_packages(engine) == ["nosuchpackage"]


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


def test_fp32_is_offered_by_all_and_is_what_a_float_graph_is(engine: str, tiny: Tiny) -> None:
    assert "fp32" in backends.info(engine).precisions
    session = backends.open(tiny.model, engine, precision="fp32")
    assert_close(session.run(tiny.batch), wanted_of(engine, tiny.heads))
    session.close()


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
