"""fp32 -> fp16: half the bytes, and on a GPU of that kind twice the speed. And back, to compute in fp32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import BadModel, UsageError
from ...types import Model

_LARGEST = float(np.finfo(np.float16).max)
_NEVER = float(np.finfo(np.float32).max)  # DETRs write it where they mean "never", as fp16's largest does
# Inputs that ONNX wants in float32 whatever the data is: Resize's region and scales.
_STAYS = {"Resize": (1, 2), "Upsample": (1,)}


def to_fp16(model: Model) -> Model:
    """The same model with fp16 weights and arithmetic; its input and its heads stay float32.

    Raises `UsageError` for a graph that is not fp32, `BadModel` for weights that fp16 cannot hold.
    """
    from onnx import TensorProto, helper

    from ..onnx_model import parse_graph, with_graph
    from . import detect_precision

    current = detect_precision(model)
    if current != "fp32":
        raise UsageError(f"{model.name} is a graph in {current}; fp16 is made from the fp32 one")
    proto = parse_graph(model)
    graph = proto.graph
    stays = {name for node in graph.node for at in _STAYS.get(node.op_type, ()) for name in node.input[at : at + 1]}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in stays:
            _round(tensor, model.name)
    for node in graph.node:
        _retype(node, model.name)
    ends = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [f"{name}.half" if name in ends else name for name in names]
    image = graph.input[0].name
    first = helper.make_node("Cast", [image], [f"{image}.half"], f"{image}.half", to=TensorProto.FLOAT16)
    last = [
        helper.make_node("Cast", [f"{value.name}.half"], [value.name], value.name, to=TensorProto.FLOAT)
        for value in graph.output
    ]
    nodes = [first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return with_graph(replace(model, origin={**model.origin, "precision": "fp16"}), proto)


def to_fp32(model: Model) -> Model:
    """The same fp16 model with its weights and arithmetic in fp32; what was rounded away stays away.

    Raises `BadModel`.
    """
    from ..onnx_model import parse_graph, with_graph

    proto = parse_graph(model)
    widen(proto)
    return with_graph(replace(model, origin={**model.origin, "precision": "fp32 of fp16"}), proto)


def widen(proto: Any) -> None:
    """Make all of an `onnx.ModelProto` that is fp16 float32. Raises `BadModel` for a damaged tensor."""
    for graph in (proto.graph, *proto.functions):
        _widen(graph)


def _widen(graph: Any) -> None:
    """Every fp16 tensor of a graph or a function, and of its branches, becomes float32; so does what casts to fp16."""
    from onnx import TensorProto, numpy_helper

    if hasattr(graph, "initializer"):  # a function's inputs have no type
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT

    tensors = [*getattr(graph, "initializer", ())]
    for node in graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                _widen(inner)
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for tensor in tensors:
        if tensor.data_type == TensorProto.FLOAT16:
            try:
                values = numpy_helper.to_array(tensor).astype(np.float32)
            except ValueError as error:
                raise BadModel(f"tensor {tensor.name!r} is damaged ({error})") from error
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    del graph.value_info[:]  # it names types that are no longer


def _retype(node: Any, name: str) -> None:
    """A node's own float32 becomes fp16: the tensors it carries, and what it casts to."""
    from onnx import AttributeProto, TensorProto

    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
            _round(attribute.t, name)
        elif attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _round(tensor: Any, name: str) -> None:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    values = np.where(np.abs(values) >= _NEVER, np.sign(values) * np.float32(_LARGEST), values)
    if values.size and not np.abs(values).max() <= _LARGEST:
        raise BadModel(f"{name}: {tensor.name} holds {np.abs(values).max():g}, and fp16 ends at {_LARGEST:g}")
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
