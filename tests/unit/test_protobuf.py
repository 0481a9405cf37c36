"""The wire format, field by field: as onnx reads it, and what is damaged is an error of ours."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from edgecsp.errors import BadModel
from edgecsp.graph import onnx_model, precision, wire
from support.effort import examples
from support.tiny import Tiny


def test_reads_what_onnx_reads(tiny: Tiny) -> None:
    proto = onnx.load_model_from_string(tiny.model.onnx)
    (graph,) = wire.parts(tiny.model.onnx, 7)
    ops = [bytes(op).decode() for node in wire.parts(graph, 1) for op in wire.parts(node, 4)]
    assert ops == [node.op_type for node in proto.graph.node]
    weights = [dict(wire.fields(tensor)) for tensor in wire.parts(graph, 5)]
    assert [bytes(w[8]).decode() for w in weights] == [w.name for w in proto.graph.initializer]
    assert [w[2] for w in weights] == [w.data_type for w in proto.graph.initializer]
    assert dict(wire.fields(tiny.model.onnx))[1] == proto.ir_version


def test_every_kind_of_field() -> None:
    tensor = TensorProto(dims=[1, 300, 2**40], data_type=1, name="a" * 200, float_data=[1.5], double_data=[2.5])
    found = list(wire.fields(tensor.SerializeToString()))
    assert [value for number, value in found if number == 1] == [1, 300, 2**40]
    assert bytes(dict(found)[8]) == b"a" * 200
    assert np.frombuffer(dict(found)[4], "<f4").tolist() == [1.5]
    # 1-wire is 8 bytes and 5-wire 4, which onnx itself never writes.
    assert [(n, bytes(v)) for n, v in wire.fields(b"\x09" + b"12345678" + b"\x15" + b"1234")] == [
        (1, b"12345678"), (2, b"1234"),
    ]  # fmt: skip


@examples(300)
@given(st.binary(max_size=60))
def test_what_is_no_message_is_an_error_of_ours(data: bytes) -> None:
    try:
        for _, value in wire.fields(data):
            assert isinstance(value, (int, memoryview))
    except BadModel:
        pass


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x0a\x05abc", "middle of a field of 5"),
        (b"\x0a", "middle of a number"),
        (b"\x0b", "type 3"),
        (b"\xff" * 11, "middle of a number"),
    ],
)
def test_damage_is_told(data: bytes, said: str) -> None:
    with pytest.raises(BadModel, match=said):
        list(wire.fields(data))


def test_precision_is_read_from_the_graph(tiny: Tiny) -> None:
    assert (
        precision.detect_precision(tiny.model) == "fp32"
        and precision.detect_precision(precision.to_fp16(tiny.model)) == "fp16"
    )
    proto = onnx_model.parse_graph(tiny.model)
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float16), "one"))
    assert precision.detect_precision(onnx_model.with_graph(tiny.model, proto)) == "fp16"
    proto.graph.node[3].op_type = "DequantizeLinear"
    assert precision.detect_precision(onnx_model.with_graph(tiny.model, proto)) == "int8"


def test_a_model_is_read_by_its_metadata_alone(tiny: Tiny) -> None:
    assert onnx_model.read_described(tiny.model.onnx) == tiny.model
    assert onnx_model.read_described(tiny.model.onnx).onnx == tiny.model.onnx
    proto = onnx.load_model_from_string(tiny.model.onnx)
    del proto.metadata_props[:]
    with pytest.raises(BadModel, match="street does not describe itself"):
        onnx_model.read_described(proto.SerializeToString(), "street")
