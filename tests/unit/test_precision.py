"""Precision as passes over the tiny net: what they keep, what they change, what they refuse."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgecsp import backends, importers
from edgecsp.errors import BadModel, CalibrationError, UnknownName, UsageError
from edgecsp.graph import onnx_model, precision
from edgecsp.graph.precision import calibration
from edgecsp.types import Array, Model
from support.int8 import off, plainly, run_once, without_notes
from support.tiny import Tiny


def batches(count: int = precision.MIN_IMAGES) -> Iterator[Array]:
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield rng.random((1, 3, 64, 64), np.float32)


@pytest.fixture(scope="module")
def ranges(tiny: Tiny) -> precision.Ranges:
    return precision.measure_ranges(tiny.model, batches(), threads=1)


@pytest.fixture(scope="module")
def int8(tiny: Tiny, ranges: precision.Ranges) -> Model:
    return precision.with_ranges(tiny.model, ranges)


# -- which precision, fp16 -------------------------------------------------------------------------------------


def test_of(tiny: Tiny, int8: Model) -> None:
    assert [precision.detect_precision(m) for m in (tiny.model, precision.to_fp16(tiny.model), int8)] == [
        "fp32",
        "fp16",
        "int8",
    ]
    with pytest.raises(BadModel, match="tiny is no ONNX"):
        precision.detect_precision(replace(tiny.model, onnx=b"\xff\xff"))


def test_half_keeps_its_ends_in_float32_and_its_numbers(tiny: Tiny) -> None:
    half = precision.to_fp16(tiny.model)
    proto = onnx.load_model_from_string(half.onnx)
    onnx.checker.check_model(proto, full_check=True)
    ends = (*proto.graph.input, *proto.graph.output)
    assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}
    kinds = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    assert [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT] == ["023_upsample.scales"]
    assert len(half.onnx) < 0.75 * len(tiny.model.onnx)
    again = importers.parse(half.onnx)
    assert again.heads == tiny.model.heads and again.origin["precision"] == "fp16"
    found = backends.open(half, "ort").run(tiny.batch)
    assert all(out.dtype == np.float32 for out in found) and 0 < off(found, list(tiny.heads)) < 1e-3


def test_half_refuses(tiny: Tiny, int8: Model) -> None:
    with pytest.raises(UsageError, match="graph in int8; fp16 is made from the fp32 one"):
        precision.to_fp16(int8)
    proto = onnx.load_model_from_string(tiny.model.onnx)
    weights = next(tensor for tensor in proto.graph.initializer if tensor.name == "000_conv.bias")
    large = numpy_helper.to_array(weights) * 1e7
    weights.CopyFrom(numpy_helper.from_array(large.astype(np.float32), weights.name))
    with pytest.raises(BadModel, match=r"000_conv\.bias holds .*fp16 ends at 65504"):
        precision.to_fp16(onnx_model.with_graph(tiny.model, proto))


def test_float32s_largest_number_becomes_halfs(tiny: Tiny) -> None:
    """DETRs write it for anchors that are never to be chosen."""
    proto = onnx.load_model_from_string(tiny.model.onnx)
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "000_conv.bias")
    values = numpy_helper.to_array(bias).copy()
    values[:2] = np.finfo(np.float32).max, -np.inf
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    half = onnx.load_model_from_string(precision.to_fp16(onnx_model.with_graph(tiny.model, proto)).onnx)
    rounded = next(numpy_helper.to_array(each) for each in half.graph.initializer if each.name == bias.name)
    assert rounded[:2].tolist() == [65504, -65504] and np.allclose(rounded[2:], values[2:], rtol=1e-3)


# -- ranges ----------------------------------------------------------------------------------------------------


def test_minmax_are_the_extremes_of_every_tensor(tiny: Tiny) -> None:
    ranges = precision.measure_ranges(tiny.model, batches(), "minmax", threads=1)
    heads = [plainly(tiny.model, batch) for batch in batches()]
    for i, head in enumerate(tiny.model.heads):
        low, high = ranges.tensors[head.name]
        assert low == pytest.approx(min(out[i].min() for out in heads), rel=1e-5)
        assert high == pytest.approx(max(out[i].max() for out in heads), rel=1e-5)
    low, high = ranges.tensors["images"]
    assert 0 <= low < 1e-3 and 1 - 1e-3 < high < 1
    assert ranges.images == precision.MIN_IMAGES and ranges.method == "minmax"


def test_one_picture_at_a_time_is_in_memory(tiny: Tiny) -> None:
    alive: List[weakref.ref] = []

    def watched() -> Iterator[Array]:
        for batch in batches():
            assert not any(ref() is not None for ref in alive[:-1])
            alive.append(weakref.ref(batch))
            yield batch

    precision.measure_ranges(tiny.model, watched(), threads=1)
    assert len(alive) == precision.MIN_IMAGES


@pytest.mark.parametrize("order", [1, -1])
def test_a_percentile_is_numpys_to_a_bin(order: int) -> None:
    rng = np.random.default_rng(3)
    parts = [(rng.standard_normal(50_000) * scale).astype(np.float32) for scale in (0.1, 1, 3, 0.5)][::order]
    histogram = calibration._Histogram()
    for part in parts:
        histogram.add(part, "x")
    low, high = histogram.range("percentile")
    wanted = np.percentile(np.abs(np.concatenate(parts)), 99.99)
    assert high == pytest.approx(wanted, abs=2 * histogram.top / calibration.BINS) and low == -high
    assert histogram.counts.sum() == 200_000
    # A side that holds less is not widened.
    histogram = calibration._Histogram()
    histogram.add(np.array([-0.25, 1, 2, 3], np.float32), "x")
    assert histogram.range("percentile") == (-0.25, 3.0) and histogram.range("minmax") == (-0.25, 3.0)


def test_entropy_lets_an_outlier_go_and_keeps_what_is_spread() -> None:
    rng = np.random.default_rng(4)
    lonely = calibration._Histogram()
    lonely.add(np.append(rng.standard_normal(200_000), 40).astype(np.float32), "x")
    assert 2.5 < lonely.range("entropy")[1] < 8
    even = calibration._Histogram()
    even.add(rng.random(200_000, np.float32), "x")
    assert even.range("entropy")[1] > 0.9


def test_what_cannot_be_measured_on(tiny: Tiny) -> None:
    with pytest.raises(CalibrationError, match=r"99 images are too few .* 100 at least"):
        precision.measure_ranges(tiny.model, batches(99), threads=1)
    with pytest.raises(UnknownName, match=r"no calibration method is called 'entropie'\. Did you mean 'entropy'"):
        precision.measure_ranges(tiny.model, batches(), "entropie")
    with pytest.raises(CalibrationError, match="images holds values that are no numbers"):
        precision.measure_ranges(tiny.model, (batch * np.float32("nan") for batch in batches()), threads=1)


def test_ranges_in_a_file(tiny: Tiny, ranges: precision.Ranges, tmp_path: Path) -> None:
    path = tmp_path / "new" / "ranges.json"
    ranges.save(path)
    assert precision.load(path) == ranges
    other = onnx_model.reshape(tiny.model, hw=(96, 96))
    with pytest.raises(CalibrationError, match=r"belong to the graph .{12} and tiny is .{12}; measure them again"):
        precision.with_ranges(other, precision.load(path))


BROKEN = {
    "no JSON": "{",
    "another kind": "[]",
    "no kind": "{}",
    "without tensors": json.dumps({"kind": calibration.KIND}),
    "an extra field": json.dumps({"kind": calibration.KIND, "tensors": {}, "more": 1}),
    "a range of three": json.dumps({"kind": calibration.KIND, "tensors": {"a": [1, 2, 3]}}),
    "infinite": json.dumps({"kind": calibration.KIND, "tensors": {"a": [0, float("inf")]}}),
    "types": json.dumps(
        {"kind": calibration.KIND, "tensors": {}, "model": 1, "method": "", "pictures": 1, "inputs": ""}
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_files_that_hold_no_ranges(what: str, tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(BROKEN[what])
    with pytest.raises(CalibrationError, match=r"ranges\.json holds no ranges \(.*--save-ranges"):
        precision.load(path)
    with pytest.raises(CalibrationError, match=r"cannot read .*range\.json.*did you mean .*ranges\.json"):
        precision.load(tmp_path / "range.json")


# -- int8 ------------------------------------------------------------------------------------------------------


def initializers(model: Model) -> Dict[str, Array]:
    return {i.name: numpy_helper.to_array(i) for i in onnx_model.parse_graph(model).graph.initializer}


def test_int8_is_symmetric_and_by_channel(tiny: Tiny, int8: Model) -> None:
    proto = onnx_model.parse_graph(int8)
    onnx.checker.check_model(proto, full_check=True)
    assert {(entry.domain, entry.version) for entry in proto.opset_import if entry.domain == ""} == {("", 13)}
    values = initializers(int8)
    pairs = [node for node in proto.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any()  # TensorRT takes no other
    made = {node.output[0]: node for node in pairs}
    convs = [node for node in proto.graph.node if node.op_type == "Conv"]
    for node in convs:
        if node.output[0] in ("head0", "head1"):
            assert values[node.input[1]].dtype == np.float32
            continue
        back = made[node.input[1]]
        kernel, scales = values[back.input[0]], values[back.input[1]]
        assert kernel.dtype == np.int8 and scales.shape == (len(kernel),)
        assert [(a.name, a.i) for a in back.attribute] == [("axis", 0)]
        assert values[node.input[2]].dtype == np.float32  # TensorRT reads no int32 bias
        assert node.input[0] in made


def test_maps_that_are_joined_or_moved_have_one_scale(int8: Model) -> None:
    graph, values = onnx_model.parse_graph(int8).graph, initializers(int8)
    scale = {n.output[0]: float(values[n.input[1]]) for n in graph.node if n.op_type == "DequantizeLinear"
             and values[n.input[1]].ndim == 0}  # fmt: skip
    seen = 0
    for node in graph.node:
        if node.op_type in ("Concat", "MaxPool", "Resize"):
            after = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == node.output[0]]
            scales = {scale[name] for name in node.input if name in scale}
            scales |= {float(values[n.input[1]]) for n in after}
            assert len(scales) == 1 and len(after) == 1
            seen += 1
    assert seen >= 5


def test_int8_tells_what_it_was_made_of_and_stays_the_same_model(
    tiny: Tiny, int8: Model, ranges: precision.Ranges
) -> None:
    again = importers.parse(int8.onnx)
    assert again == int8 and replace(again, origin=tiny.model.origin) == tiny.model
    assert again.origin["precision"] == "int8" and again.origin["calibration"] == "percentile, 100 pictures"
    assert again.origin["calibration_sha256"] == ranges.inputs and again.origin["sha256"] == tiny.model.origin["sha256"]
    assert precision.with_ranges(tiny.model, ranges).onnx == int8.onnx
    assert precision.quantize(tiny.model, batches(), threads=1).onnx == int8.onnx


def test_int8_finds_the_same_to_a_hundredth(tiny: Tiny, int8: Model, ranges: precision.Ranges) -> None:
    found = plainly(int8, tiny.batch)
    assert 1e-4 < off(found, list(tiny.heads)) < 0.02
    without = precision.with_ranges(tiny.model, ranges, keep_heads=False)
    assert 1e-4 < off(plainly(without, tiny.batch), list(tiny.heads)) < 0.025
    assert len(without.onnx) != len(int8.onnx)


def test_every_form_keeps_the_numbers(tiny: Tiny, int8: Model) -> None:
    wanted, plain = plainly(int8, tiny.batch), int8
    int8 = without_notes(int8)  # with them there are zero points, and better numbers: test_int8_zero_points.py
    assert [head.tolist() for head in plainly(int8, tiny.batch)] == [head.tolist() for head in wanted] and int8 == plain
    for form in (precision.to_uint8_activations, precision.quantize_biases):
        made = form(int8)
        onnx.checker.check_model(onnx_model.parse_graph(made), full_check=True)
        assert made.onnx != int8.onnx and off(plainly(made, tiny.batch), wanted) < 2e-3
        assert importers.parse(made.onnx) == int8
    fused = precision.fold_activation_qdq(int8)
    onnx.checker.check_model(onnx_model.parse_graph(fused), full_check=True)
    # A rounding less on each way through: nearer to fp32.
    assert off(plainly(fused, tiny.batch), list(tiny.heads)) < off(wanted, list(tiny.heads)) * 1.05
    users = {name: node.op_type for node in onnx_model.parse_graph(fused).graph.node for name in node.input}
    convs = [node for node in onnx_model.parse_graph(fused).graph.node if node.op_type == "Conv"]
    after = [users.get(node.output[0], "head") for node in convs]
    assert sorted(set(after)) == ["LeakyRelu", "Mul", "head"] or "QuantizeLinear" not in after
    whole = {
        i.name for i in onnx_model.parse_graph(precision.quantize_biases(int8)).graph.initializer if i.data_type == 6
    }
    assert len([name for name in whole if name.endswith("int32")]) == len(convs) - 2


@pytest.mark.parametrize("engine", list(backends.names(with_dummies=False)))
def test_engines_compute_int8_as_it_is_written(engine: str, tiny: Tiny, int8: Model) -> None:
    if "int8" not in backends.info(engine).precisions:
        pytest.skip(f"engine {engine} computes in {', '.join(backends.info(engine).precisions)}")
    found = run_once(int8, engine, tiny.batch)
    assert off(found, list(tiny.heads)) < 0.02 and off(found, plainly(int8, tiny.batch)) < 0.015


def test_what_is_not_made_int8(tiny: Tiny, int8: Model, ranges: precision.Ranges) -> None:
    with pytest.raises(UsageError, match="graph in int8 already"):
        precision.with_ranges(int8, ranges)
    with pytest.raises(UsageError, match="two stages"):
        precision.quantize(replace(tiny.model, second=tiny.model), batches())


def test_an_older_graph_is_brought_to_scales_by_channel(tiny: Tiny) -> None:
    proto = onnx_model.parse_graph(tiny.model)
    proto.opset_import[0].version = 12  # every operator in it is the same there, but for Resize's region
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.float32), "region"))
    next(node for node in proto.graph.node if node.op_type == "Resize").input[1] = "region"
    older = onnx_model.with_graph(tiny.model, proto)
    made = precision.with_ranges(older, precision.measure_ranges(older, batches(), threads=1))
    entries = {entry.domain: entry.version for entry in onnx_model.parse_graph(made).opset_import}
    assert entries[""] == 13 and off(plainly(made, tiny.batch), list(tiny.heads)) < 0.02
