"""int8 plans on the doubles: what stays in fp16, what the DLA is calibrated by, and which layers it leaves to the GPU.

No GPU and no DLA has run this; the names are held against the real bindings (test_names.py).
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgecsp.backends import SessionOptions, _trt_calibration, recipes, trt
from edgecsp.errors import BuildFailed
from edgecsp.graph import onnx_model, precision
from edgecsp.types import Model
from support import stage
from support.int8 import off
from support.tiny import Tiny

play = stage.play
VERSIONS = ["8.2", "8.6.1", "10.3.0"]


@pytest.fixture(scope="module")
def int8(tiny: Tiny) -> Model:
    """The tiny model in int8, with its third convolution in float."""
    rng = np.random.default_rng(1)
    batches = (rng.random((1, 3, 64, 64), np.float32) for _ in range(precision.MIN_IMAGES))
    ranges = precision.measure_ranges(tiny.model, batches, "mse", threads=1)
    layer = precision.list_layers(tiny.model)[2].name
    return precision.with_float_layers(tiny.model, ranges, [layer])


def open_plan(model: Model, **changes: Any) -> trt.TrtSession:
    recipe = replace(recipes.load("jetson-orin"), precision="int8", **changes)
    return trt.TrtSession(model, SessionOptions("cuda", 1, "int8"), recipe=recipe)


def float_nodes(model: Model) -> set:
    nodes = onnx_model.parse_graph(model).graph.node
    back = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    return {node.name for node in nodes if node.op_type == "Conv" and node.input[1] not in back}


@pytest.mark.parametrize("version", [*VERSIONS, "11.4.0.106"])
def test_heads_and_layers_of_a_budget_are_kept_in_fp16(version: str, play: stage.Play, int8: Model) -> None:
    played = play(version, chip="8.7")
    open_plan(int8).close()
    steps = played.steps()
    wanted = {f"{name}.precision = DataType.HALF" for name in float_nodes(int8)}
    assert len(wanted) == 3  # two heads and the budget's layer
    kept = {step for step in steps if ".precision = " in step}
    assert kept == (set() if version.startswith("11") else wanted)
    assert not any(step.startswith("calibration") for step in steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_dla_is_given_floats_and_the_files_own_steps(
    version: str, play: stage.Play, int8: Model, tiny: Tiny
) -> None:
    played = play(version, chip="8.7")
    session = open_plan(int8, dla_core=0)
    # What is built is the float graph: its numbers are those of weights in int8, with no activation rounded.
    assert off(session.run(tiny.batch), list(tiny.heads)) < 0.01
    session.close()
    lines = [step.partition(" ")[2] for step in played.steps() if step.startswith("calibration ")]
    number = {"8.2": "8200", "8.6.1": "8601", "10.3.0": "100300"}[version]
    assert lines[0] == f"TRT-{number}-EntropyCalibration2"
    found = {name: struct.unpack(">f", bytes.fromhex(digits))[0] for name, digits in (
        line.rsplit(": ", 1) for line in lines[1:])}  # fmt: skip
    maps = {name for node in onnx_model.parse_graph(tiny.model).graph.node for name in (*node.input, *node.output)}
    assert found == precision.list_steps(int8) and set(found) <= maps and len(found) > 8
    assert found["images"] == pytest.approx(1 / 127, rel=0.02)


def test_a_step_is_written_as_the_digits_of_its_float() -> None:
    text = _trt_calibration.format_cache({"images": 1.0, "a: b": 0.5}, "8.5.2.2")
    assert text == "TRT-8502-EntropyCalibration2\nimages: 3f800000\na: b: 3f000000\n"


def test_where_tensorrt_calibrates_no_more(play: stage.Play, int8: Model) -> None:
    play("11.4.0.106", chip="8.7")
    with pytest.raises(BuildFailed, match=r"11\.4\.0\.106 has no calibration, which int8 on the DLA needs"):
        open_plan(int8, dla_core=0)


def test_layers_that_the_dla_leaves_to_the_gpu_are_noted_with_the_plan(play: stage.Play, int8: Model) -> None:
    play("10.3.0", fails="dla", chip="8.7")
    (resize,) = (node.name for node in onnx_model.parse_graph(int8).graph.node if node.op_type == "Resize")
    for is_new in (True, False):
        session = open_plan(int8, dla_core=0)
        assert session.plan.is_new is is_new and session.plan.notes == {"gpu_layers": [resize]}
        session.close()
    with pytest.raises(BuildFailed, match=rf"1 layers of tiny cannot run on the DLA: {resize}; .*gpu_fallback = true"):
        open_plan(int8, dla_core=0, gpu_fallback=False)


def test_an_int8_file_as_floats(int8: Model, tiny: Tiny) -> None:
    plain = precision.to_float(int8)
    assert precision.detect_precision(plain) == "fp32" and "float_layers" not in plain.origin
    kinds = {node.op_type for node in onnx_model.parse_graph(plain).graph.node}
    assert kinds == {node.op_type for node in onnx_model.parse_graph(tiny.model).graph.node}
    shapes = [sorted(tuple(each.dims) for each in onnx_model.parse_graph(model).graph.initializer if each.dims)
              for model in (plain, tiny.model)]  # fmt: skip
    assert shapes[0] == shapes[1]
