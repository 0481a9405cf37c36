"""`--precision fp32` of a half-precision file computes in fp32."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgecsp import backends, importers
from edgecsp.errors import UsageError
from edgecsp.graph import onnx_model, precision
from edgecsp.types import Model
from support.tiny import Tiny


@pytest.fixture(scope="module")
def half(tiny: Tiny) -> Model:
    return precision.to_fp16(tiny.model)


def rounded(model: Model) -> Model:
    """The fp32 graph with its weights rounded as fp16 has them: what is to be computed."""
    proto = onnx.load_model_from_string(model.onnx)
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and "scales" not in tensor.name:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return onnx_model.with_graph(model, proto)


@pytest.mark.parametrize("engine", ["ort", "openvino", "opencv"], indirect=True)
def test_the_weights_are_the_files_and_the_arithmetic_is_fp32(engine: str, tiny: Tiny, half: Model) -> None:
    wanted = backends.open(rounded(tiny.model), "ort", threads=1).run(tiny.batch)
    session = backends.open(half, engine, precision="fp32", threads=1)
    in_half = backends.open(half, "ort", threads=1).run(tiny.batch)
    for got, right, other in zip(session.run(tiny.batch), wanted, in_half):
        scale = np.abs(right).max()
        assert np.abs(got - right).max() / scale < 1e-5
        assert np.abs(other - right).max() / scale > 3e-5, "in fp16 it is another number"
    session.close()


def test_nothing_of_fp16_is_left(tiny: Tiny, half: Model) -> None:
    proto = onnx.load_model_from_string(precision.to_fp32(half).onnx)
    onnx.checker.check_model(proto, full_check=True)
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in proto.graph.initializer}
    assert all(a.i != TensorProto.FLOAT16 for node in proto.graph.node for a in node.attribute if a.name == "to")
    again = importers.parse(precision.to_fp32(half).onnx)
    assert precision.detect_precision(again) == "fp32" and again.heads == tiny.model.heads


def test_int8_has_no_way_back(tiny: Tiny) -> None:
    int8 = precision.quantize(tiny.model, [tiny.batch] * precision.MIN_IMAGES, threads=1)
    with pytest.raises(UsageError, match="rounding cannot be undone"):
        backends.open(int8, "ort", precision="fp32")
