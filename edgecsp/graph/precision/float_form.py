"""An int8 model as the float model that it was made of, and its steps: who quantises by a table takes both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

import numpy as np

from ...types import Array, Model
from .passes import drop_pairs


def to_float(model: Model) -> Model:
    """An int8 model without its pairs, with float weights of the values that int8 has: an fp32 graph.

    Its activations are not rounded, so that it is close to the model that int8 was made from.
    """
    from onnx import numpy_helper

    from ..onnx_model import parse_graph, with_graph

    origin = {key: value for key, value in model.origin.items() if key not in ("precision", "float_layers")}
    plain = replace(drop_pairs(model, lambda pair: True), origin=origin)
    proto = parse_graph(plain)
    graph = proto.graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    weights = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in values]
    for node in weights:
        rows = [numpy_helper.to_array(values[name]) for name in node.input]
        graph.initializer.append(numpy_helper.from_array(_multiply(node, rows), node.output[0]))
    gone = {name for node in weights for name in node.output}
    nodes = [node for node in graph.node if not gone.intersection(node.output)]
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    return with_graph(plain, proto)


def _multiply(node: Any, rows: List[Array]) -> Array:
    """The floats of a constant's DequantizeLinear: (values - zero) * scale along its axis."""
    axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
    shape = [1] * rows[0].ndim
    if rows[1].size > 1:
        shape[axis] = -1
    scale, zero = (each.reshape(shape if each.size > 1 else ()) for each in (rows[1], [*rows, np.zeros(1)][2]))
    floats: Array = (rows[0].astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)
    return floats


def list_steps(model: Model) -> Dict[str, float]:
    """The step of every quantised map, by its name in `to_float`'s graph: a range is 127 of them on either side."""
    from onnx import numpy_helper

    from ..onnx_model import parse_graph

    graph = parse_graph(model).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    steps: Dict[str, float] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in values and node.input[1] in values:
            maker = makers.get(node.input[0])
            if maker is None or maker.op_type != "DequantizeLinear":
                steps[node.input[0]] = float(numpy_helper.to_array(values[node.input[1]]).max())
    return steps


def list_float_convolutions(model: Model) -> List[str]:
    """Names of an int8 graph's convolutions that stay in float: the heads', and those that a budget keeps."""
    from ..onnx_model import parse_graph

    graph = parse_graph(model).graph
    back = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    kinds = ("Conv", "ConvTranspose", "Gemm")
    return [node.name for node in graph.node if node.op_type in kinds and node.input[1] not in back]
