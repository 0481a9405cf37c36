"""The cost of an ONNX graph as the paper counts it: a multiplication and an addition are two operations."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple

from ..types import Model


def count_cost(model: Model) -> Tuple[float, int]:
    """Count BFLOPs for one image and parameters, of convolutions and matrix products alone."""
    from onnx import shape_inference

    from ..graph.onnx_model import parse_graph

    graph = shape_inference.infer_shapes(parse_graph(model)).graph
    shapes: Dict[str, List[int]] = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes.update({constant.name: list(constant.dims) for constant in graph.initializer})
    fixed = {constant.name for constant in graph.initializer}
    flops = parameters = 0
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in fixed:
            fixed.add(node.output[0])  # weights in int8
        cost = _cost(node, shapes)
        if cost is not None:
            flops += cost
            parameters += math.prod(shapes.get(node.input[1], [])) if node.input[1] in fixed else 0
    return flops / 1e9, parameters


def _cost(node: Any, shapes: Dict[str, List[int]]) -> Optional[int]:
    """Operations of a node that multiplies by weights; None for other nodes and unknown shapes."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return None
    taken, weights, output = (shapes.get(name) for name in (node.input[0], node.input[1], node.output[0]))
    if not (taken and weights and output):
        return None
    if node.op_type == "Conv":
        return 2 * math.prod(output) * math.prod(weights[1:])
    if node.op_type == "ConvTranspose":
        return 2 * math.prod(taken) * math.prod(weights[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return 2 * math.prod(output) * (taken[0] if transposed else taken[-1])
