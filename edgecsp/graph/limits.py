"""Limits for all ONNX graphs, checked before an engine loads them.

    onnx_limits.check(proto, "model.onnx")          # other files, loops, recursion
    onnx_limits.check_sizes(proto, "model.onnx")    # tensors too large to be meant, with a static input

An engine resolves a tensor's `external_data` against the working directory, so a model could read any file of the
user's into a head; it runs a Loop for as long as the graph says; and it computes what does not depend on the input
while it opens the file, however large that is.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, Sequence, Set, Tuple

from ..errors import BadModel

LOOPS = ("Loop", "Scan", "SequenceMap")  # an If ends by itself
MAX_NODES = 100_000  # with the local functions inlined; the largest detectors have a few thousand
MAX_CONSTANT_BYTES = 1 << 31  # what is computed from constants alone; a file cannot hold more than 2 GB of them either
MAX_TENSOR_BYTES = 1 << 33  # any other value: 8192 x 8192 pixels of 32 channels in float32
SMALL = 64  # elements up to which a constant is a shape or an axis, that inferring shapes needs the values of
_WIDTHS = {2: 1, 3: 1, 4: 2, 5: 2, 7: 8, 9: 1, 10: 2, 11: 8, 13: 8, 14: 8, 15: 16, 16: 2}  # TensorProto.DataType

_Key = Tuple[str, str, str]


def check(proto: Any, filename: str) -> None:
    """Refuse data in other files, loops, and functions that do not end, anywhere in an `onnx.ModelProto`.

    Raises `BadModel`.
    """
    for tensor in _initializers(proto.graph):
        _check_tensor(tensor, filename)
    calls = {_key(each.domain, each): _calls(each, filename) for each in proto.functions}
    _count(_calls(proto.graph, filename), calls, {}, filename)


def _calls(graph: Any, filename: str) -> List[_Key]:
    """What each node of a graph or a function calls, also inside branches. Raises `BadModel`."""
    called = []
    for node in _nodes(graph, filename):
        if node.op_type in LOOPS:
            raise BadModel(
                f"{filename} holds a {node.op_type} ({node.name!r}), and nothing says that it ends; export the model "
                "without loops (a detector needs none)"
            )
        called.append(_key(node.domain, node))
    return called


def _key(domain: str, named: Any) -> _Key:
    name = named.op_type if hasattr(named, "op_type") else named.name
    return domain, name, getattr(named, "overload", "")


def _nodes(graph: Any, filename: str) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            kind = attribute.type
            if kind in (1, 2, 3, 6, 7, 8):  # numbers and texts: AttributeProto.AttributeType
                continue
            sparse = (attribute.sparse_tensor, *attribute.sparse_tensors)
            parts = [part for each in sparse for part in (each.values, each.indices)]
            for tensor in (attribute.t, *attribute.tensors, *parts):
                _check_tensor(tensor, filename)
            for inner in (attribute.g, *attribute.graphs):
                for tensor in _initializers(inner):
                    _check_tensor(tensor, filename)
                yield from _nodes(inner, filename)


def _initializers(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for each in graph.sparse_initializer:
        yield from (each.values, each.indices)


def _check_tensor(tensor: Any, filename: str) -> None:
    if tensor.data_location == 1:  # EXTERNAL
        place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "?")
        raise BadModel(
            f"{filename} keeps the tensor {tensor.name!r} in another file ({place!r}), which is not read; "
            "export the model into one file"
        )


def _count(nodes: List[_Key], calls: Dict[_Key, List[_Key]], known: Dict[_Key, int], filename: str) -> int:
    """How many nodes there are with every function in its callers' place; -1 in `known` marks one under way."""
    total = len(nodes)
    for key in nodes:
        if key not in calls:
            continue
        if key not in known:
            known[key] = -1
            known[key] = _count(calls[key], calls, known, filename)
        if known[key] < 0:
            raise BadModel(
                f"{filename}: its function {key[1]!r} calls itself, and does not end; export it without functions"
            )
        total += known[key]
    if total > MAX_NODES:
        raise BadModel(
            f"{filename} has {total:,} nodes when its functions are expanded, and {MAX_NODES:,} are the most; "
            "export it without functions"
        )
    return total


def check_sizes(proto: Any, filename: str, hw: Tuple[int, int] = (0, 0)) -> None:
    """Refuse tensors that are larger than can be meant, as far as shape inference knows their sizes.

    `hw` is the size of an image whose sides the graph leaves open. Raises `BadModel`.
    """
    from onnx.shape_inference import InferenceError

    dims = proto.graph.input[0].type.tensor_type.shape.dim
    sides = [dim.dim_value or other for dim, other in zip(dims, (1, 3, *hw))]
    try:
        values = shapes(proto, sides)
        _check_values(proto, values, filename)
        if not all(dims and min(dims) > 0 for dims, _ in values.values()) and can_propagate(proto):
            _check_values(proto, shapes(proto, sides, propagate=True), filename)
    except (ValueError, RuntimeError, InferenceError):
        return  # a graph that does not fit together is for the engine to refuse: it computes nothing of it


def _check_values(proto: Any, values: Dict[str, Tuple[List[int], int]], filename: str) -> None:
    fixed = constant_names(proto.graph)
    folded = 0
    for name, (dims, kind) in values.items():
        size = math.prod(dims) * _WIDTHS.get(kind, 4)
        folded += size if name in fixed else 0
        if size > MAX_TENSOR_BYTES or folded > MAX_CONSTANT_BYTES:
            raise BadModel(
                f"{filename}: its tensor {name!r} would be {'x'.join(map(str, dims))}, {size / 1e9:,.1f} GB; at most "
                f"{MAX_CONSTANT_BYTES >> 30} GB are computed from constants and {MAX_TENSOR_BYTES >> 30} GB for one "
                "tensor. The file is damaged, or was not made to be run"
            )


def can_propagate(proto: Any) -> bool:
    """Whether onnx may follow the values of shapes: it would write out a Range of any length to do so."""
    return all(node.op_type != "Range" for node in _nodes(proto.graph, "the model"))


def shapes(proto: Any, sides: Sequence[int], *, propagate: bool = False) -> Dict[str, Tuple[List[int], int]]:
    """The shape and the type of a graph's values, by name: ONNX's own shape inference, without the weights.

    `sides` is the shape of its input; `propagate` follows what is computed of shapes
    (see `can_propagate`). Raises what the inference raises.
    """
    from onnx import helper, shape_inference

    graph = proto.graph
    small = [const for const in graph.initializer if math.prod(const.dims) <= SMALL]
    large = [const for const in graph.initializer if math.prod(const.dims) > SMALL]
    image = graph.input[0]
    taken = helper.make_tensor_value_info(image.name, image.type.tensor_type.elem_type, sides)
    inputs = [taken, *(helper.make_tensor_value_info(const.name, const.data_type, const.dims) for const in large)]
    outputs = [helper.make_empty_tensor_value_info(value.name) for value in graph.output]
    light = helper.make_model(
        helper.make_graph(graph.node, "sizes", inputs, outputs, small),
        opset_imports=proto.opset_import,
        functions=proto.functions,
    )
    known = shape_inference.infer_shapes(light, data_prop=propagate).graph
    return {
        value.name: ([dim.dim_value for dim in value.type.tensor_type.shape.dim], value.type.tensor_type.elem_type)
        for value in (taken, *known.value_info, *known.output)
    }


def constant_names(graph: Any) -> Set[str]:
    """The values that do not depend on the input: what an engine computes while it opens the file."""
    fixed = {const.name for const in graph.initializer}
    for node in graph.node:
        if fixed.issuperset(filter(None, node.input)):
            fixed.update(node.output)
    return fixed
