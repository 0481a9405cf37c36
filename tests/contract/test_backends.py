"""One body over every registered engine: the oracle's heads, the same twice, closed means closed, no quiet CPU."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Iterator

import numpy as np
import pytest
from conftest import Tiny

from edgecsp import backends, onnx_model
from edgecsp.errors import BuildFailed, EngineUnavailable, UnknownName, UsageError


@pytest.fixture(params=backends.names())
def engine(request: pytest.FixtureRequest) -> str:
    lacking = backends.missing(request.param)
    if lacking:
        pytest.skip(f"engine {request.param} needs {', '.join(lacking)}, not installed here")
    return request.param


@pytest.fixture
def session(engine: str, tiny: Tiny) -> Iterator[backends.Session]:
    opened = backends.open(tiny.model, engine, device=backends.module(engine).DEVICES[0])
    yield opened
    opened.close()


def assert_close(got: list, wanted: tuple) -> None:
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted):
        assert a.shape == b.shape and a.dtype == np.float32
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


def test_says_what_it_is(engine: str) -> None:
    module = backends.module(engine)
    assert re.match(r"\w+: .+\.$", module.__doc__.splitlines()[0])
    assert module.DEVICES and module.PRECISIONS and isinstance(module.EXTRA, str) and module.REQUIRES


def test_gives_the_oracles_heads(session: backends.Session, tiny: Tiny) -> None:
    assert_close(session.run(tiny.batch), tiny.heads)


def test_twice_the_same_and_the_first_arrays_stay_the_callers(session: backends.Session, tiny: Tiny) -> None:
    first = session.run(tiny.batch)
    kept = [out.copy() for out in first]
    session.run(np.zeros_like(tiny.batch))
    again = session.run(tiny.batch)
    for a, b, c in zip(first, kept, again):
        assert (a == b).all() and (b == c).all()
    first[0][:] = 0  # and may be written to
    assert_close(session.run(tiny.batch), tiny.heads)


def test_the_batch_is_not_touched_and_may_be_a_view(session: backends.Session, tiny: Tiny) -> None:
    wide = np.zeros((1, 3, 64, 80), np.float32)
    wide[..., 8:72] = tiny.batch
    before = wide.copy()
    assert_close(session.run(wide[..., 8:72]), tiny.heads)
    assert (wide == before).all()


def test_other_sizes_and_batches(engine: str, tiny: Tiny) -> None:
    pair = np.concatenate((tiny.batch, np.zeros_like(tiny.batch)))
    session = backends.open(onnx_model.reshaped(tiny.model, batch=2), engine)
    assert_close([out[:1] for out in session.run(pair)], tiny.heads)
    session.close()
    session = backends.open(onnx_model.reshaped(tiny.model, hw=(96, 32)), engine, threads=1)
    assert [out.shape for out in session.run(np.zeros((1, 3, 96, 32), np.float32))] == [(1, 16, 6, 2), (1, 16, 12, 4)]
    session.close()


def test_two_sessions_do_not_meet(engine: str, session: backends.Session, tiny: Tiny) -> None:
    other = backends.open(onnx_model.reshaped(tiny.model, hw=(32, 32)), engine)
    other.run(np.zeros((1, 3, 32, 32), np.float32))
    other.close()
    assert_close(session.run(tiny.batch), tiny.heads)


def test_closed_means_closed(engine: str, tiny: Tiny) -> None:
    session = backends.open(tiny.model, engine)
    session.run(tiny.batch)
    session.close()
    with pytest.raises(Exception, match=r".") as caught:
        session.run(tiny.batch)
    assert not isinstance(caught.value, AssertionError)
    session.close()


def test_a_device_it_does_not_have(engine: str, tiny: Tiny) -> None:
    with pytest.raises(EngineUnavailable, match=f"engine '{engine}' runs on .*; device 'abacus' was asked for"):
        backends.open(tiny.model, engine, device="abacus")


def test_a_graph_it_cannot_build(engine: str, tiny: Tiny) -> None:
    with pytest.raises(BuildFailed, match="tiny"):
        backends.open(replace(tiny.model, onnx=tiny.model.onnx[: len(tiny.model.onnx) // 2]), engine)


def test_threads(engine: str, tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="--threads 0: at least 1"):
        backends.open(tiny.model, engine, threads=0)
    assert backends.usable_cores() >= 1


def test_a_package_that_is_missing(engine: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    module = backends.module(engine)
    monkeypatch.setattr(module, "REQUIRES", ("nosuchpackage",))
    extra = rf"edgecsp\[{module.EXTRA}\]" if module.EXTRA else "edgecsp"
    with pytest.raises(EngineUnavailable, match=f"needs nosuchpackage, .*type: pip install '{extra}'"):
        backends.open(tiny.model, engine)
    assert backends.missing(engine) == ["nosuchpackage"]


def test_unknown_engines_are_answered_with_the_nearest(tiny: Tiny) -> None:
    with pytest.raises(UnknownName, match=r"no engine is called 'otr'\. Did you mean 'ort'\?"):
        backends.open(tiny.model, "otr")
    for odd in ("__init__", "", "..errors", "_private"):
        with pytest.raises(UnknownName):
            backends.open(tiny.model, odd)


def test_auto(tiny: Tiny) -> None:
    engine, why = backends.choose("auto", "cpu")
    assert engine in backends.names() and why
    assert backends.choose("ort", "cpu") == ("ort", "asked for")
    with pytest.raises(EngineUnavailable, match="no installed engine runs on device 'abacus'"):
        backends.open(tiny.model, "auto", device="abacus")
    session = backends.open(tiny.model)
    assert_close(session.run(tiny.batch), tiny.heads)
    session.close()
