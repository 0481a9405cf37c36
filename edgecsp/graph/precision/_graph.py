"""A model's graph as int8 is made of it, and a session that gives what lies between its nodes."""

from __future__ import annotations

from typing import Any, List, Tuple

from ...errors import BadModel
from ...types import Model

OPSET = 13  # the first with scales per channel


def prepare(model: Model) -> Any:
    """The graph at an opset that has scales per channel, every node named, shapes inferred. Raises `BadModel`."""
    from onnx import shape_inference, version_converter

    from ..onnx_model import parse_graph

    proto = parse_graph(model)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    try:
        if opset < OPSET:
            proto = version_converter.convert_version(proto, OPSET)
        proto = shape_inference.infer_shapes(proto)
    except (RuntimeError, ValueError) as error:
        raise BadModel(f"{model.name} is of opset {opset} and cannot be brought to {OPSET}: {error}") from error
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{index:03d}_{node.op_type}"
    return proto


def open_observed(model: Model, threads: int) -> Tuple[Any, List[str]]:
    """A session that also gives every float tensor between its nodes, and their names."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, shape_inference

    from ..onnx_model import parse_graph

    proto = parse_graph(model)
    known = shape_inference.infer_shapes(proto).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*known.value_info, *known.output)}
    heads = {value.name for value in proto.graph.output}
    names = [name for node in proto.graph.node for name in node.output if kinds.get(name) == TensorProto.FLOAT]
    for name in names:
        if name not in heads:
            proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # between images we count, not it
    try:
        session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BadModel(f"onnxruntime {ort.__version__} cannot run {model.name}: {error}") from error
    return session, names
