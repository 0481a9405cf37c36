"""int8 with zero points for CPUs: the notes they are made of, and ranges of the least error behind activations."""

from __future__ import annotations

from typing import Any, Iterator, List

import numpy as np
import pytest
from onnx import checker, helper, numpy_helper

from edgecsp import backends, importers
from edgecsp.graph import onnx_model, precision
from edgecsp.graph.precision import _least_error, calibration
from edgecsp.types import Array, Model
from support.int8 import off, plainly, run_once, without_notes
from support.tiny import Tiny


def noise() -> Iterator[Array]:
    rng = np.random.default_rng(7)
    return (rng.random((1, 3, 64, 64), np.float32) for _ in range(precision.MIN_IMAGES))


@pytest.fixture(scope="module")
def int8(tiny: Tiny) -> Model:
    return precision.quantize(tiny.model, noise(), "mse", threads=1)


def quantizers(model: Model) -> List[Any]:
    return [node for node in onnx_model.parse_graph(model).graph.node if node.op_type == "QuantizeLinear"]


def zeros(model: Model) -> List[Array]:
    constants = {each.name: each for each in onnx_model.parse_graph(model).graph.initializer}
    return [numpy_helper.to_array(constants[node.input[2]]) for node in quantizers(model)]


def test_zero_points_are_nearer_to_fp32_and_alike_in_both_types(tiny: Tiny, int8: Model) -> None:
    symmetric, forms = plainly(int8, tiny.batch), []
    for form, dtype in ((precision.to_uint8_activations, np.uint8), (precision.to_zero_points, np.int8)):
        made = form(int8)
        checker.check_model(onnx_model.parse_graph(made), full_check=True)
        assert importers.parse(made.onnx) == int8
        assert {zero.dtype for zero in zeros(made)} == {np.dtype(dtype)} and len(
            {int(each) for each in zeros(made)}
        ) > 3
        forms.append(plainly(made, tiny.batch))
    wanted = list(tiny.heads)
    assert off(forms[0], wanted) < 0.8 * off(symmetric, wanted)
    for one, other in zip(*forms):
        np.testing.assert_array_equal(one, other)


def test_the_image_keeps_each_of_its_bytes(int8: Model) -> None:
    made = precision.to_uint8_activations(int8)
    constants = {each.name: each for each in onnx_model.parse_graph(made).graph.initializer}
    (node,) = (node for node in quantizers(made) if node.input[0] == "images")
    scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
    assert zero == 0 and scale == pytest.approx(1 / 255, rel=1e-3)


def test_the_file_itself_stays_symmetric(int8: Model) -> None:
    assert {(int(zero), zero.dtype) for zero in zeros(int8)} == {(0, np.dtype(np.int8))}
    assert all(node.doc_string.startswith("range ") for node in quantizers(int8))


def test_a_file_without_notes_keeps_its_numbers(tiny: Tiny, int8: Model) -> None:
    older = without_notes(int8)
    assert {int(zero) for zero in zeros(precision.to_uint8_activations(older))} == {128}
    assert precision.to_zero_points(older).onnx == older.onnx


@pytest.mark.parametrize("note", ["", "range", "range 0 nan", "range 1e999 2", "range 0 0", "range 3 2", "range a b"])
def test_a_note_that_is_none_is_passed_over(note: str, int8: Model) -> None:
    assert precision.to_zero_points(without_notes(int8, note)).onnx == without_notes(int8, note).onnx


ENGINES = [name for name in backends.names(with_dummies=False) if "int8" in backends.info(name).precisions]


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_compute_zero_points_as_onnx_has_them(engine: str, tiny: Tiny, int8: Model) -> None:
    found = run_once(int8, engine, tiny.batch)
    assert off(found, list(tiny.heads)) < 0.01
    assert off(found, plainly(precision.to_uint8_activations(int8), tiny.batch)) < 0.01


def test_the_activation_behind_a_map_is_found() -> None:
    nodes = [
        helper.make_node("LeakyRelu", ["a"], ["a2"], alpha=0.25), helper.make_node("Relu", ["b"], ["b2"]),
        helper.make_node("Sigmoid", ["c"], ["gate"]), helper.make_node("Mul", ["c", "gate"], ["c2"]),
        helper.make_node("Softplus", ["d"], ["plus"]), helper.make_node("Tanh", ["plus"], ["tanh"]),
        helper.make_node("Mul", ["d", "tanh"], ["d2"]),
        helper.make_node("Sigmoid", ["e"], ["other"]), helper.make_node("Mul", ["e", "a2"], ["e2"]),
        helper.make_node("Relu", ["f"], ["f2"]), helper.make_node("Add", ["f", "f2"], ["f3"]),
    ]  # fmt: skip
    found = _least_error.find_activations(helper.make_graph(nodes, "g", [], []))
    values = np.array([-2.0, 3.0])
    wanted = {"a": (-0.5, 3.0), "b": (0.0, 3.0), "c": (-0.2384, 2.8577), "d": (-0.2525, 2.9865)}
    assert {name: tuple(np.round(each(values), 4).tolist()) for name, each in found.items()} == wanted


def test_levels_go_where_an_activation_leaves_something() -> None:
    rng = np.random.default_rng(2)
    values = (6 * rng.standard_normal(100_000)).astype(np.float32)

    def swish(x: Array) -> Array:
        return x / (1 + np.exp(-x))

    def lost(low: float, high: float) -> float:
        step = (high - low) / 255
        kept = (np.rint(np.clip(values, low, high) / step) * step).clip(low, high)
        return float(np.square(swish(kept) - swish(values)).mean())

    found = {}
    for name, activation in (("swish", swish), ("none", _least_error.identity)):
        histogram = calibration._Histogram(activation)
        histogram.add(values, "x")
        found[name] = histogram.range("mse")
    assert -10 < found["swish"][0] < -3 and found["none"][0] < -15
    assert lost(*found["swish"]) < 0.8 * lost(*found["none"])
    grid = [lost(low, high) for low in np.linspace(-20, -2, 12) for high in np.linspace(12, 27, 12)]
    assert lost(*found["swish"]) < 1.05 * min(grid)


def test_peak_keeps_the_highest_value_and_gives_up_what_the_activation_takes_away() -> None:
    rng = np.random.default_rng(2)
    values = np.append(3 * rng.standard_normal(100_000), [-60, 60]).astype(np.float32)
    found = {}
    for name, activation in (("swish", _least_error._swish), ("none", _least_error.identity)):
        histogram = calibration._Histogram(activation)
        histogram.add(values, "x")
        found[name] = histogram.range("peak")
    assert found["none"] == (-60, 60)  # no activation, nothing to give up
    assert found["swish"][1] == 60 and -15 < found["swish"][0] < -1
