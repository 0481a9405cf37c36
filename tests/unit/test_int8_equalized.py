"""Channels of uneven ranges in int8: equalised they hold, and equalising changes nothing of what a graph computes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Iterator, List

import numpy as np
import pytest

from edgecsp import backends
from edgecsp.errors import CalibrationError
from edgecsp.graph import onnx_model, precision
from edgecsp.graph.precision import calibration, equalize
from edgecsp.importers import darknet
from edgecsp.types import Array, Model
from support import oracle
from support.int8 import off, plainly
from support.tiny import Tiny

CHAIN = """\
[net]
width=32
height=32
channels=3
[convolutional]
filters=16
size=3
pad=1
activation=leaky
[convolutional]
filters=16
groups=16
size=3
pad=1
activation=leaky
[convolutional]
filters=16
size=1
activation=leaky
[convolutional]
size=1
filters=16
activation=linear
[yolo]
mask=0,1
anchors=8,10, 14,9
classes=3
num=2
"""


def batches(hw: int = 32) -> Iterator[Array]:
    rng = np.random.default_rng(5)
    for _ in range(precision.MIN_IMAGES):
        yield rng.random((1, 3, hw, hw), np.float32)


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A depthwise chain."""
    folder = tmp_path_factory.mktemp("chain")
    recorder = oracle.Recorder(seed=2)
    oracle.darknet(CHAIN, np.zeros((3, 32, 32), np.float32), recorder)
    (folder / "chain.cfg").write_text(CHAIN)
    (folder / "chain.weights").write_bytes(recorder.data)
    return darknet.load(folder / "chain.cfg", folder / "chain.weights").model


@pytest.fixture(scope="module")
def uneven(even: Model) -> Model:
    """The same function, with channels that differ 64-fold in range."""
    first = next(node.output[0] for node in onnx_model.parse_graph(even).graph.node if node.op_type == "Conv")
    return equalize.scale_channels(even, {first: np.geomspace(1, 64, 16).tolist()})


def test_a_depthwise_chain_of_uneven_channels_holds_once_it_is_equalised(even: Model, uneven: Model) -> None:
    batch = next(batches())
    wanted = backends.open(even, "ort").run(batch)

    def lost(model: Model, *, equalized: bool) -> float:
        ranges = precision.measure_ranges(model, batches(), threads=1, equalized=equalized)
        return off(plainly(precision.with_ranges(model, ranges), batch), wanted)

    holds = lost(uneven, equalized=True)
    assert holds < 1.5 * lost(even, equalized=False) and holds < 0.01 < 2.5 * holds < lost(uneven, equalized=False)


def test_equalising_is_exact_and_leaves_what_is_not_linear(tiny: Tiny) -> None:
    found = equalize.find_scales(tiny.model, [tiny.batch], 1)
    nodes = onnx_model.parse_graph(tiny.model).graph.node
    convolutions: List[str] = [node.output[0] for node in nodes if node.op_type == "Conv"]
    heads = {head.name for head in tiny.model.heads}
    assert found and heads.isdisjoint(found) and set(found) < set(convolutions)
    assert convolutions[1] not in found  # mish is behind it
    scaled = equalize.scale_channels(tiny.model, found)
    assert scaled.onnx != tiny.model.onnx
    for got, wanted in zip(backends.open(scaled, "ort").run(tiny.batch), tiny.heads):
        assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_mse_has_the_least_error_of_all_ranges() -> None:
    rng = np.random.default_rng(4)
    values = np.append(rng.standard_normal(20_000), (8, 12)).astype(np.float32)

    def error(limit: float) -> float:
        step = limit / 127
        return float(np.square(np.clip(np.rint(values / step), -127, 127) * step - values).mean())

    histogram = calibration._Histogram()
    histogram.add(values, "x")
    limit = histogram.range("mse")[1]
    assert 4 < limit < 12 and error(limit) <= 1.1 * min(error(each) for each in np.linspace(2, 12, 100))


def test_of_what_an_activation_removes_little_is_kept() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate((rng.random(100_000), -8 * rng.random(1000))).astype(np.float32)
    lows = []
    for slope in (1.0, 0.01):
        histogram = calibration._Histogram(lambda x, slope=slope: np.where(x < 0, slope * x, x))
        histogram.add(values, "x")
        lows.append(histogram.range("mse")[0])
    assert lows[1] > lows[0] + 1


def test_scales_are_kept_with_their_ranges(uneven: Model, tmp_path: Path) -> None:
    ranges = precision.measure_ranges(uneven, batches(), threads=1, equalized=True)
    path = tmp_path / "ranges.json"
    ranges.save(path)
    assert precision.load(path) == ranges and ranges.scales
    assert precision.with_ranges(uneven, precision.load(path)).onnx == precision.with_ranges(uneven, ranges).onnx
    content = json.loads(path.read_text())
    next(iter(content["scales"].values()))[0] = -1
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match="no positive number"):
        precision.load(path)
    # Of a graph without scales the file is as it was.
    replace(ranges, scales={}).save(path)
    assert "scales" not in json.loads(path.read_text())
