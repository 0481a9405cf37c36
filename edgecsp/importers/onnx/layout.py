"""Read a graph's nodes: its operators, whether a head is raw, its cost. Nothing is changed."""

from __future__ import annotations

from typing import Any, FrozenSet, Iterator, NamedTuple, Optional, Sequence

from ...graph import limits as onnx_limits

# What lays numbers out anew and computes none; a sigmoid is part of a raw head.
_LAYOUT = {"Cast", "Concat", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Sigmoid"}
_LAYOUT |= {"Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
_LEAST_PATCH = 8
_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv"}


class GraphCost(NamedTuple):
    """Size and cost of a graph; `bflops` (2 per multiply-add, convolutions alone) is None when unknown."""

    nodes: int
    convolutions: int
    parameters: int
    weights: int
    bflops: Optional[float]


def operators(proto: Any) -> FrozenSet[str]:
    """List the names of all operators, also inside branches and loops."""
    return frozenset(node.op_type for node in _nodes(proto.graph))


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def last_operator(proto: Any, name: str) -> str:
    """Return the operator that computes an output, past layout operators; "" when there is none."""
    makers = {out: node for node in proto.graph.node for out in node.output}
    node = makers.get(name)
    while node is not None and node.op_type in _LAYOUT - {"Sigmoid"} and node.input:
        node = makers.get(node.input[0])
    return node.op_type if node is not None else ""


def has_arithmetic(proto: Any, name: str) -> Optional[bool]:
    """Whether the graph does arithmetic between its last convolutions and an output: None when that is unclear.

    False is a raw head: convolutions, a sigmoid, and nothing but layout after them.
    """
    makers = {out: node for node in proto.graph.node for out in node.output}
    todo, visited, ends = [name], {name}, set()
    while todo:
        node = makers.get(todo.pop())
        if node is None or node.op_type == "Constant":
            continue
        if node.op_type not in _LAYOUT:
            ends.add(node.op_type)
            continue
        data = node.input if node.op_type == "Concat" else node.input[:1]
        todo.extend(other for other in data if other not in visited)
        visited.update(data)
    if not ends:
        return None
    return not ends <= _CONVOLUTIONS


def has_patches(proto: Any) -> bool:
    """Whether an image is cut into patches first, as vision transformers do: a convolution as wide as its stride."""
    first = next((node for node in proto.graph.node if node.op_type in _CONVOLUTIONS), None)
    if first is None:
        return False
    sides = {each.name: list(each.ints) for each in first.attribute if each.name in ("kernel_shape", "strides")}
    stride = sides.get("strides", [1])
    return min(stride, default=0) >= _LEAST_PATCH and sides.get("kernel_shape", stride) == stride


def measure_cost(proto: Any) -> GraphCost:
    """Count nodes, convolutions, parameters and BFLOPs of a graph of static shapes."""
    import onnx

    try:
        full = onnx.shape_inference.infer_shapes(proto, data_prop=onnx_limits.can_propagate(proto))
    except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
        full = proto  # past 2 GB, or a node it cannot follow
    shapes = {tensor.name: list(tensor.dims) for tensor in proto.graph.initializer}
    for value in (*full.graph.value_info, *full.graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    convs = [node for node in proto.graph.node if node.op_type in _CONVOLUTIONS]
    sizes = [(shapes.get(_kernel(node)), shapes.get(node.output[0])) for node in convs]
    known = all(kernel and out and min(out) > 0 for kernel, out in sizes)
    multiplied = sum(_numel(kernel) * _numel(out[2:]) for kernel, out in sizes if kernel and out)
    parameters = sum(_numel(tensor.dims) for tensor in proto.graph.initializer if tensor.data_type in (1, 2, 3, 10, 16))
    weights = sum(_numel(kernel) for kernel, _ in sizes if kernel)
    return GraphCost(len(proto.graph.node), len(convs), parameters, weights, 2 * multiplied / 1e9 if known else None)


def _kernel(node: Any) -> str:
    place = 3 if node.op_type == "QLinearConv" else 1
    return node.input[place] if len(node.input) > place else ""


def _numel(dims: Sequence[int]) -> int:
    total = 1
    for side in dims:
        total *= side
    return total
