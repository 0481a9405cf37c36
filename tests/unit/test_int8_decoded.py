"""int8 of an export that decodes its boxes itself, as ultralytics' do: boxes in pixels and scores in one tensor."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from edgecsp import backends, importers, pipeline
from edgecsp.cli import app
from edgecsp.graph import onnx_model, precision
from edgecsp.graph.precision import _choose
from edgecsp.processing.heads.decoded import Decoded
from edgecsp.types import Array, Input, Model
from support.exports import Graph
from support.tiny import Tiny

HW, STRIDE, CLASSES, REACH = (320, 320), 4, 3, 16


def sees_colours() -> Model:
    """A net of YOLOv8's layout: two layers, then boxes by a distribution (DFL), scores by a sigmoid, one output.

    At every cell of stride 4 the class of its strongest colour; its sides lie a few cells away, of eighty.
    """
    rng = np.random.default_rng(3)
    g = Graph()
    x, before = "images", 3
    for out, step in ((16, 2), (32, 2)):
        kernel = rng.normal(0, 0.35, (out, before, 3, 3))
        kernel[:3] = 0
        for channel in range(3):  # the colours themselves go through
            kernel[channel, channel] = 1 / 9
        x = g.node("Conv", x, g.const(kernel), g.const(np.zeros(out)), strides=[step, step], pads=[1, 1, 1, 1])
        x, before = g.node("Relu", x), out
    kernel = rng.normal(0, 0.3, (4 * REACH, before, 1, 1))
    box = g.node("Conv", x, g.const(kernel), g.const(-0.5 * np.abs(np.arange(4 * REACH) % REACH - 2.0)))
    kernel = np.zeros((CLASSES, before, 1, 1))
    for k in range(CLASSES):
        kernel[k, :3] = -8
        kernel[k, k] = 12
    score = g.node("Conv", x, g.const(kernel), g.const(np.full(CLASSES, -3.0)))
    cells = (HW[0] // STRIDE) * (HW[1] // STRIDE)
    both = g.node("Reshape", g.node("Concat", box, score, axis=1), g.const([1, 4 * REACH + CLASSES, cells], np.int64))
    g.nodes.append(onnx.helper.make_node("Split", [both, g.const([4 * REACH, CLASSES], np.int64)], ["b", "s"], axis=1))
    b = g.node("Reshape", "b", g.const([1, 4, REACH, cells], np.int64))
    b = g.node("Softmax", g.node("Transpose", b, perm=[0, 2, 1, 3]), axis=1)
    b = g.node("Conv", b, g.const(np.arange(REACH).reshape(1, REACH, 1, 1)))
    b = g.node("Reshape", b, g.const([1, 4, cells], np.int64))
    g.nodes.append(onnx.helper.make_node("Split", [b, g.const([2, 2], np.int64)], ["lt", "rb"], axis=1))
    y, at = np.mgrid[: HW[0] // STRIDE, : HW[1] // STRIDE].reshape(2, -1) + 0.5
    middles = g.const(np.stack([at, y])[None])
    low, high = g.node("Sub", middles, "lt"), g.node("Add", middles, "rb")
    centre = g.node("Div", g.node("Add", low, high), g.const(2.0))
    boxes = g.node("Mul", g.node("Concat", centre, g.node("Sub", high, low), axis=1), g.const(float(STRIDE)))
    g.node("Concat", boxes, g.node("Sigmoid", "s"), out="output0", axis=1)
    data = g.save({"output0": (1, 4 + CLASSES, cells)}, shape=(1, 3, *HW))
    head = Decoded("output0", CLASSES, channels_first=True)
    model = Model("colours", Input(HW, "stretch"), (head,), ("red", "green", "blue"), onnx=data)
    return onnx_model.with_graph(model, onnx.load_model_from_string(data))


def batches(count: int = precision.MIN_IMAGES, first: int = 0) -> Iterator[Array]:
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        cloud = cv2.resize(rng.random((5, 5, 3), np.float32), HW[::-1], interpolation=cv2.INTER_CUBIC)
        yield np.ascontiguousarray(np.clip(cloud, 0, 1).transpose(2, 0, 1)[None])


@pytest.fixture(scope="module")
def model() -> Model:
    return sees_colours()


@pytest.fixture(scope="module")
def ranges(model: Model) -> precision.Ranges:
    return precision.measure_ranges(model, batches(), "minmax", threads=1)


def quantised(model: Model) -> List[str]:
    """The values of the fp32 graph that an int8 graph rounds."""
    graph = onnx.load_model_from_string(model.onnx).graph
    return sorted(node.input[0] for node in graph.node if node.op_type == "QuantizeLinear")


def agreeing(model: Model, small: Model, engine: str) -> float:
    """The share of the places where fp32 has a box at which int8 has the same, IoU 0.9 or more."""
    wanted = found = 0
    one, two = (backends.open(each, engine, threads=1) for each in (model, small))
    for batch in batches(8, first=500):
        (a,), (b,) = (session.run(batch) for session in (one, two))
        at = np.nonzero(a[0, 4:].max(0) > 0.25)[0]
        same = (a[0, 4:].argmax(0) == b[0, 4:].argmax(0))[at] & (b[0, 4:].max(0) > 0.2)[at]
        wanted, found = wanted + len(at), found + int((same & (overlap(a[0, :4, at], b[0, :4, at]) > 0.9)).sum())
    assert wanted > 100
    return found / wanted


def overlap(a: Array, b: Array) -> Array:
    """The IoU of boxes [cx, cy, w, h], row by row."""
    low, high = (
        pick(a[:, :2] + s * a[:, 2:] / 2, b[:, :2] + s * b[:, 2:] / 2)
        for pick, s in ((np.maximum, -1), (np.minimum, 1))
    )
    both = np.prod(np.maximum(0, high - low), axis=1)
    shared: Array = both / (np.prod(a[:, 2:], axis=1) + np.prod(b[:, 2:], axis=1) - both)
    return shared


@pytest.mark.parametrize("engine", ["ort", "openvino"], indirect=True)
def test_it_finds_what_fp32_finds(engine: str, model: Model, ranges: precision.Ranges) -> None:
    assert agreeing(model, precision.with_ranges(model, ranges), engine) > 0.9


def test_nothing_behind_the_last_convolutions_is_quantised(model: Model, ranges: precision.Ranges) -> None:
    inside = ["conv0", "conv2", "images", "relu1", "relu3"]
    assert quantised(precision.with_ranges(model, ranges)) == inside
    # The convolution of a distribution's mean is none of the last: those are the two before.
    without = precision.with_ranges(model, ranges, keep_heads=False)
    assert quantised(without) == sorted([*inside, "conv4", "conv5"])


# -- the method -----------------------------------------------------------------------------------------------------


def outliers() -> Iterator[Array]:
    """Dark pictures, and a few bright pixels in each: what minmax goes by."""
    for i, batch in enumerate(batches()):
        dark = batch * np.float32(0.5)
        if i % EVERY != EVERY - 1:  # not on those that are held out
            dark[0, :, 5, 7] = 40
        yield dark


EVERY = _choose.EVERY


def test_the_best_method_is_taken_and_recorded(model: Model, tmp_path: Path) -> None:
    ranges = precision.choose_ranges(model, outliers(), threads=1)
    assert set(ranges.tried) == set(precision.METHODS)
    assert ranges.tried[ranges.method] >= max(ranges.tried.values()) - _choose.MARGIN
    assert ranges.method != "minmax" and ranges.tried["minmax"] < ranges.tried[ranges.method] - 0.1, ranges.tried
    # The ranges are those of all the pictures by that method, as if it had been asked for.
    plain = precision.measure_ranges(model, outliers(), ranges.method, threads=1, equalized=True)
    assert ranges.inputs == plain.inputs
    for name, ends in plain.tensors.items():  # bins of a histogram that grew in another order
        assert ranges.tensors[name] == pytest.approx(ends, rel=0.02, abs=0.02), name
    small = precision.with_ranges(model, ranges)
    assert small.origin["calibration"] == f"{ranges.method}, 100 pictures"
    assert f"{ranges.method} 0." in small.origin["calibration_tried"]
    ranges.save(tmp_path / "r.json")
    assert precision.load(tmp_path / "r.json") == ranges


def test_ranges_of_before_are_read(model: Model, ranges: precision.Ranges, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    ranges.save(path)
    said: Dict[str, Any] = json.loads(path.read_text())
    del said["tried"]
    path.write_text(json.dumps(said))
    assert precision.load(path) == ranges


def test_a_model_that_finds_nothing_is_judged_by_its_heads(tiny: Tiny) -> None:
    quiet = replace(tiny.model, conf=1.0)
    pictures = [tiny.batch * np.float32(i / 100) for i in range(precision.MIN_IMAGES)]
    ranges = precision.choose_ranges(quiet, pictures, threads=1)
    assert all(0.9 < value < 1 for value in ranges.tried.values()), ranges.tried


def test_few_pictures_are_held_out(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the choice costs is bounded however many pictures there are."""
    asked: List[int] = []
    real = _choose._agreement
    monkeypatch.setattr(_choose, "_agreement", lambda *a: (asked.append(len(a[2])), real(*a))[1])
    precision.choose_ranges(tiny.model, (tiny.batch for _ in range(400)), threads=1)
    assert asked == [_choose.MOST] * len(precision.METHODS)


def test_quantize_says_which_it_took(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx_model.save(model, "colours.onnx")
    Path("calib").mkdir()
    for i, batch in enumerate(batches()):
        cv2.imwrite(f"calib/{i:03}.png", np.rint(batch[0].transpose(1, 2, 0)[:, :, ::-1] * 255).astype(np.uint8))

    def typed(*words: str) -> str:
        done = CliRunner().invoke(app, ["quantize", "colours.onnx", "--threads", "1", *words], catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    said = typed("--calib", "calib", "--save-ranges", "r.json")
    chosen = json.loads(Path("r.json").read_text())["method"]
    assert re.search(rf"method      {chosen}, of .*\b{chosen} 0\.", said) and "2 of 5 convolutions, 3 stay" in said
    first = Path("colours-int8.onnx").read_bytes()
    typed("--calib", "r.json", "-o", "again.onnx")
    assert Path("again.onnx").read_bytes() == first
    other = next(name for name in precision.METHODS if name != chosen)
    assert "method  " not in typed("--calib", "calib", "--method", other, "-o", "other.onnx")
    assert importers.load("other.onnx").origin["calibration"].startswith(other)
    with pipeline.load("colours-int8.onnx", "ort") as detector:
        assert len(detector("calib/000.png")) > 0
