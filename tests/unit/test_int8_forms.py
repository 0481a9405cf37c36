"""The int8 graph as engines take it: what each pass takes away, and that the numbers stay or come nearer to fp32's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Set

import cv2
import numpy as np
import pytest
from onnx import checker, numpy_helper

from edgecsp import backends, importers
from edgecsp.graph import onnx_model, precision
from edgecsp.processing import preprocess
from edgecsp.system import cpu
from edgecsp.types import Array, Model
from edgecsp.zoo import store
from support.int8 import off, plainly
from support.repository import REPO


@pytest.fixture(scope="module")
def codes() -> Model:
    """The bundled model in int8: pools, joins of joins, slices and sums."""
    return precision.with_ranges(store.resolve("codes"), precision.load(REPO / "calib" / "codes.json"))


@pytest.fixture(scope="module")
def image() -> Array:
    rng = np.random.default_rng(3)
    return cv2.resize(rng.integers(0, 256, (24, 32, 3), np.uint8), (640, 480))


def quantized(model: Model) -> Set[str]:
    """Names of the tensors that are quantised on their way."""
    graph = onnx_model.parse_graph(model).graph
    return {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}


def check(model: Model, original: Model) -> None:
    checker.check_model(onnx_model.parse_graph(model), full_check=True)
    assert importers.parse(model.onnx) == original


def test_pairs_behind_what_only_moves_values_are_idle(codes: Model, image: Array) -> None:
    batch, _ = preprocess.prepare(image, codes.input)
    folded = precision.fold_move_qdq(codes)
    check(folded, codes)
    gone = quantized(codes) - quantized(folded)
    makers = {name: node.op_type for node in onnx_model.parse_graph(codes).graph.node for name in node.output}
    assert Counter(makers[name] for name in gone) == {"Concat": 21, "MaxPool": 6, "Slice": 2, "Resize": 1}
    for got, wanted in zip(plainly(folded, batch), plainly(codes, batch)):
        np.testing.assert_array_equal(got, wanted)


def test_a_pair_of_another_scale_stays(codes: Model) -> None:
    proto = onnx_model.parse_graph(codes)
    pool = next(node for node in proto.graph.node if node.op_type == "MaxPool")
    pair = next(node for node in proto.graph.node if node.input[0] == pool.output[0])
    proto.graph.initializer.append(numpy_helper.from_array(np.array(1.5, np.float32), "another"))
    pair.input[1] = "another"
    assert pool.output[0] in quantized(precision.fold_move_qdq(onnx_model.with_graph(codes, proto)))


def test_narrow_maps_are_quantised_once_they_are_pooled(codes: Model, image: Array) -> None:
    batch, _ = preprocess.prepare(image, codes.input)
    for channels, count in ((8, 0), (16, 1), (32, 2)):
        made = precision.quantize_after_pools(codes, channels)
        check(made, codes)
        assert len(quantized(codes) - quantized(made)) == count
        for got, wanted in zip(plainly(made, batch), plainly(codes, batch)):
            np.testing.assert_array_equal(got, wanted)


def test_heads_in_float_read_floats(codes: Model, image: Array) -> None:
    batch, _ = preprocess.prepare(image, codes.input)
    folded = precision.fold_float_qdq(codes)
    check(folded, codes)
    graph = onnx_model.parse_graph(codes).graph
    readers = {node.input[0]: node for node in graph.node}
    gone = quantized(codes) - quantized(folded)
    assert [readers[readers[readers[name].output[0]].output[0]].output[0] for name in sorted(gone)] == [
        head.name for head in codes.heads
    ]
    wanted = backends.open(store.resolve("codes"), "ort").run(batch)
    # A rounding less; what is lost before it is lost.
    assert off(plainly(folded, batch), wanted) < off(plainly(codes, batch), wanted) * 1.05


def test_sums_and_their_activations_are_one(codes: Model) -> None:
    folded = precision.fold_activation_qdq(codes)
    check(folded, codes)
    graph = onnx_model.parse_graph(folded).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    before = [makers[node.input[0]] for node in graph.node if node.op_type == "LeakyRelu"]
    assert set(before) == {"Conv", "Add"} and before.count("Add") == 5


def test_an_images_bytes_are_its_steps(codes: Model, image: Array) -> None:
    batch, _ = preprocess.prepare(image, codes.input)
    for keep_pair in (True, False):
        made = precision.to_uint8_input(codes, keep_pair=keep_pair)
        check(made, codes)
        assert ("images" in quantized(made)) == keep_pair
    # 255 steps lose nothing of a byte, int8's 127 do.
    exact, kept = (plainly(precision.to_uint8_input(codes, keep_pair=keep), batch) for keep in (False, True))
    assert off(kept, exact) < 1e-6 < off(plainly(codes, batch), exact)


@pytest.mark.parametrize("change", [{"mean": (1.0, 2.0, 3.0)}, {"std": (1.0, 1.0, 2.0)}, {"resize": "darknet"}])
def test_images_that_are_no_bytes_of_one_step_stay_in_int8(codes: Model, change: dict) -> None:
    other = replace(codes, input=replace(codes.input, **change))
    assert precision.to_uint8_input(other, keep_pair=False) is other


@pytest.mark.skipif(not cpu.is_x86(), reason="which layers OpenVINO computes in int8 on other CPUs is its own affair")
def test_openvino_computes_convolutions_in_int8_and_nothing_between_them(codes: Model) -> None:
    """On an image's bytes: what is not a layer of the network is the way of the float heads out of it."""
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    from edgecsp.backends import openvino as backend

    if not backend._is_int8_fused():
        pytest.skip("OpenVINO's releases of 2024 are given the pairs that they need")
    compiled = backend._compile(openvino.Core(), codes, backends.SessionOptions(precision="int8"), True)
    nodes = [(node, node.get_rt_info()) for node in compiled.get_runtime_model().get_ordered_ops()]
    facts = [(str(info["layerType"].astype(str)), str(info["runtimePrecision"].astype(str))) for _, info in nodes]
    convolutions = Counter("u8" if kind == "u8" else "float" for layer, kind in facts if layer == "Convolution")
    assert convolutions == {"u8": 40, "float": 2}  # the heads
    others = Counter(layer for layer, _ in facts if layer in ("FakeQuantize", "Subgraph", "Eltwise"))
    # The pair behind the first pool, and the sums that are no part of a convolution.
    assert sum(others.values()) <= 5, others
    first = next(node for node, info in nodes if str(info["layerType"].astype(str)) == "Convolution")
    sources = {str(node.get_rt_info()["layerType"].astype(str)) for node in walk_back(first.input_value(0).get_node())}
    assert sources <= {"Input", "Reorder"}, "something stands between the image's bytes and the first convolution"


def walk_back(node: object) -> list:
    """A node and what it is made from."""
    inputs = [value.get_node() for value in node.input_values()]  # type: ignore[attr-defined]
    return [node, *(each for before in inputs for each in walk_back(before))]
