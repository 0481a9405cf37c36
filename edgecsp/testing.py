"""Tests that every engine must pass, for the authors of engines; needs pytest.

    from edgecsp.testing import EngineContract

    class TestToy(EngineContract):
        engine = "toy"          # the name of the entry point

pytest then opens the engine as edgecsp does and runs the tests of the class; they are skipped, with the reason, where
the engine does not run. edgecsp's own engines pass the same tests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
import pytest

from . import backends
from .backends import registry
from .errors import BadModel, BuildFailed, EngineUnavailable, UsageError
from .graph import onnx_model
from .graph.export import RandomWeights
from .graph.layers import Net
from .processing import preprocess
from .types import Array, Model

TOLERANCE = 1e-4  # of a head's largest value, in fp32

__all__ = ["TOLERANCE", "EngineContract", "ContractSample", "make_sample"]


class ContractSample(NamedTuple):
    """A model of (1, 3, 64, 64) with YOLO heads in logits, a batch for it, and the heads that the model computes."""

    model: Model
    batch: Array
    heads: Tuple[Array, ...]


def make_sample() -> ContractSample:
    """Make a small network with two heads and random weights; its heads are those of the reference engine."""
    net = Net(3, 64, 64)
    x = net.conv(net.conv(net.input, 8, 3, stride=2), 16, 3, stride=2, act="mish")
    half = net.conv(net.slice(x, 8, 16), 8, 3)
    x = net.conv(net.concat(half, x), 16, 1)
    low = net.conv(net.maxpool(x, 2, 2), 24, 3, act="leaky")
    low = net.shortcut(low, net.maxpool(x, 2, 2))
    anchors = ((8.0, 10.0), (14.0, 9.0))
    net.yolo(net.conv(low, 16, 1, bn=False, act="linear"), classes=3, anchors_wh=anchors)
    x = net.concat(net.upsample(low, 2), x)
    net.yolo(net.conv(x, 16, 1, bn=False, act="linear"), classes=3, anchors_wh=anchors, scale_xy=1.05)
    model = onnx_model.build(net, RandomWeights(7), name="sample", labels=("a", "b", "c"))
    batch = np.random.default_rng(7).random((1, 3, 64, 64), np.float32)
    session = backends.open(model, backends.REFERENCE, device="cpu", threads=1)
    heads = tuple(session.run(batch))
    session.close()
    return ContractSample(model, batch, heads)


class EngineContract:
    """The tests; set `engine` in a class derived from this one."""

    engine = ""

    @pytest.fixture
    def name(self) -> str:
        """The engine's name; skips the test where the engine does not run."""
        reason = backends.unavailable_reason(self.engine)
        if reason:
            pytest.skip(f"engine {self.engine} {reason}")
        return self.engine

    @pytest.fixture(scope="session")
    def sample(self) -> ContractSample:
        """The model that the engine computes."""
        return make_sample()

    def test_it_is_found_and_described(self) -> None:
        """Its package adds it under the name that its info has, and asking for each device raises nothing."""
        session = registry.find(self.engine)
        info, broken = session.info, issubclass(session, registry.UnloadableSession)
        assert not broken, f"engine {self.engine!r} {session.unavailable_reason(info.devices[0])}"
        assert info.name == self.engine
        assert info.summary.endswith("."), f"the summary is a sentence with its full stop: {info.summary!r}"
        assert "fp32" in info.precisions, "every engine computes in fp32: it is what most graphs are"
        assert all(
            isinstance(backends.unavailable_reason(self.engine, each), (str, type(None))) for each in info.devices
        )

    def test_auto_takes_one_of_its_precisions(self, name: str) -> None:
        """`Session.auto_precision` answers with a precision of the engine, or None, for every device that runs."""
        info = backends.info(name)
        runs = [device for device in info.devices if backends.unavailable_reason(name, device) is None]
        assert all(backends.native_precision(name, device) in (None, *info.precisions_on(device)) for device in runs)

    def test_heads_are_the_models(self, name: str, sample: ContractSample) -> None:
        """The heads in the model's order and shapes, float32, equal to the reference's within `TOLERANCE`."""
        session = backends.open(sample.model, name)
        _assert_close(session.run(sample.batch), _expected(name, sample.heads))
        session.close()
        session = backends.open(sample.model, name, precision="fp32")
        _assert_close(session.run(sample.batch), _expected(name, sample.heads))
        session.close()

    def test_twice_the_same_and_the_first_arrays_stay_the_callers(self, name: str, sample: ContractSample) -> None:
        """A later `run` does not write over an earlier one's arrays, and the caller may write into them."""
        session = backends.open(sample.model, name)
        first = session.run(sample.batch)
        copies = [out.copy() for out in first]
        session.run(np.zeros_like(sample.batch))
        again = session.run(sample.batch)
        for a, b, c in zip(first, copies, again):
            assert (a == b).all(), "a later run wrote into the arrays of an earlier one"
            assert (b == c).all(), "the same batch gave two results"
        first[0][:] = 0
        _assert_close(session.run(sample.batch), _expected(name, sample.heads))
        session.close()

    def test_the_batch_is_not_touched_and_may_be_a_view(self, name: str, sample: ContractSample) -> None:
        """A batch that is not contiguous, and one that is read-only."""
        session = backends.open(sample.model, name)
        wide = np.zeros((1, 3, 64, 80), np.float32)
        wide[..., 8:72] = sample.batch
        before = wide.copy()
        _assert_close(session.run(wide[..., 8:72]), _expected(name, sample.heads))
        assert (wide == before).all(), "the engine wrote into the batch"
        locked = sample.batch.copy()
        locked.flags.writeable = False
        _assert_close(session.run(locked), _expected(name, sample.heads))
        session.close()

    @pytest.mark.parametrize("resize", ["darknet", "stretch", "letterbox", "crop"])
    def test_bytes_of_an_image_give_what_its_planes_give(self, name: str, sample: ContractSample, resize: str) -> None:
        """Bit for bit, from a session that takes both; an engine that takes no bytes is given none."""
        image = np.random.default_rng(5).integers(0, 256, (80, 100, 3), np.uint8)
        for colour, std in (("rgb", (1.0, 1.0, 1.0)), ("bgr", (0.229, 0.3, 0.7))):
            spec = replace(sample.model.input, resize=resize, colour=colour, std=std)
            session = backends.open(replace(sample.model, input=spec), name, accepts_uint8=True)
            accepts = backends.info(name).accepts_uint8 and preprocess.has_pixels(spec)
            assert session.accepts_uint8 == accepts
            planes = session.run(preprocess.prepare(image, spec)[0])
            if accepts:
                laid = preprocess.pixels(image, spec)[0]
                session.warm_up(laid)
                for got, expected in zip(session.run(laid), planes):
                    assert got.dtype == np.float32 and (got == expected).all(), "bytes and planes give other heads"
                wide = np.concatenate((laid, laid), 2)
                assert all((a == b).all() for a, b in zip(session.run(wide[:, :, : laid.shape[2]]), planes))
            session.close()

    def test_other_sizes_and_batches(self, name: str, sample: ContractSample) -> None:
        """A graph of batch 2, and one that is higher than wide."""
        pair = np.concatenate((sample.batch, np.zeros_like(sample.batch)))
        session = backends.open(onnx_model.reshape(sample.model, batch=2), name)
        _assert_close([out[:1] for out in session.run(pair)], _expected(name, sample.heads))
        session.close()
        session = backends.open(onnx_model.reshape(sample.model, hw=(96, 32)), name, threads=1)
        shapes = [out.shape for out in session.run(np.zeros((1, 3, 96, 32), np.float32))]
        session.close()
        sides = [(head.shape[1], head.shape[2] * 96 // 64, head.shape[3] * 32 // 64) for head in sample.heads]
        assert shapes == [(1, *side) for side in sides]

    def test_two_sessions_do_not_meet(self, name: str, sample: ContractSample) -> None:
        """One is opened, used and closed while the other is open."""
        session = backends.open(sample.model, name)
        other = backends.open(onnx_model.reshape(sample.model, hw=(32, 32)), name)
        other.run(np.zeros((1, 3, 32, 32), np.float32))
        other.close()
        _assert_close(session.run(sample.batch), _expected(name, sample.heads))
        session.close()

    def test_concurrency_is_that_of_its_devices(self, name: str, sample: ContractSample) -> None:
        """More than one on `concurrent_devices` alone."""
        info = backends.info(name)
        session = backends.open(sample.model, name, threads=2, concurrency=2)
        assert session.concurrency == (2 if info.devices[0] in info.concurrent_devices else 1)
        _assert_close(session.run(sample.batch), _expected(name, sample.heads))
        session.close()

    def test_closed_means_closed(self, name: str, sample: ContractSample) -> None:
        """`run` after `close` is an error, `close` after `close` is not."""
        session = backends.open(sample.model, name)
        session.run(sample.batch)
        session.close()
        with pytest.raises(Exception, match=r".") as caught:
            session.run(sample.batch)
        assert not isinstance(caught.value, AssertionError)
        session.close()

    def test_a_device_it_does_not_have(self, name: str, sample: ContractSample) -> None:
        """The error names the devices that it has."""
        with pytest.raises(EngineUnavailable, match=f"engine '{name}' runs on .*; device 'abacus' was requested"):
            backends.open(sample.model, name, device="abacus")

    def test_a_graph_it_cannot_build(self, name: str, sample: ContractSample) -> None:
        """A truncated graph and one with an unknown operator raise `BuildFailed`, which names the model."""
        model = sample.model
        with pytest.raises((BadModel, BuildFailed), match=model.name):
            backends.open(replace(model, onnx=model.onnx[: len(model.onnx) // 2]), name)
        with pytest.raises(BuildFailed, match=model.name):
            backends.open(_spoil(model, is_dummy=backends.info(name).is_dummy), name)

    def test_threads(self, name: str, sample: ContractSample) -> None:
        """At least one."""
        with pytest.raises(UsageError, match="--threads 0: at least 1"):
            backends.open(sample.model, name, threads=0)
        backends.open(sample.model, name, threads=1).close()

    def test_a_package_that_is_missing(
        self, name: str, sample: ContractSample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error says what to install."""
        session, command = registry.find(name), backends.install_command(name)
        monkeypatch.setattr(session, "info", replace(session.info, requires=("nosuchpackage",)))
        with pytest.raises(EngineUnavailable) as caught:
            backends.open(sample.model, name)
        assert "needs nosuchpackage, " in str(caught.value) and f"type: {command}" in str(caught.value)
        assert backends.missing_packages(name) == ["nosuchpackage"]


def _expected(engine: str, heads: Tuple[Array, ...]) -> Tuple[Array, ...]:
    """What the engine must give where the model computes `heads`: a dummy their shapes, and no object in them."""
    return tuple(np.full_like(head, -30) for head in heads) if backends.info(engine).is_dummy else heads


def _assert_close(got: List[Array], expected: Sequence[Array]) -> None:
    assert len(got) == len(expected), f"{len(got)} heads; the model has {len(expected)}"
    for index, (a, b) in enumerate(zip(got, expected)):
        assert a.shape == b.shape and a.dtype == np.float32, f"head {index} is {a.shape} {a.dtype}, not {b.shape}"
        off = np.abs(a - b).max() / np.abs(b).max()
        assert off <= TOLERANCE, f"head {index} is off by {off:.2g} of its largest value"


def _spoil(model: Model, *, is_dummy: bool) -> Model:
    """The model with an operator that no engine has; for a dummy, which reads shapes alone, without a shape."""
    import onnx

    proto = onnx.load_model_from_string(model.onnx)
    if is_dummy:
        del proto.graph.output[-1].type.tensor_type.shape.dim[:]
    else:
        proto.graph.node[0].op_type = "Abacus"
    return replace(model, onnx=proto.SerializeToString())
