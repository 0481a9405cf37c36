"""int8 with some layers in float: which layers there are, and how much each one's int8 costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Collection, Dict, List, Sequence, Tuple

import numpy as np

from ...types import Array, Model
from . import _graph
from ._choose import open_int8
from .calibration import RangeMeter, Ranges
from .int8 import list_float_nodes, with_ranges
from .passes import drop_pairs

_ACTIVATIONS = ("LeakyRelu", "Relu", "Clip")


@dataclass(frozen=True)
class QuantizedLayer:
    """A convolution that is computed in int8, by the name of its output.

    `share` is its part of all convolutions' arithmetic, and `gain` the part of the heads' error that goes when its
    input and its weights stay in float, both in 0..1; `gain` can be below 0.
    """

    name: str
    share: float
    gain: float = 0.0


def list_layers(model: Model, *, keep_heads: bool = True) -> List[QuantizedLayer]:
    """List the convolutions that int8 is computed in, in the graph's order."""
    graph = _graph.prepare(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    cost = {
        node.output[0]: float(np.prod(shapes[node.output[0]]) * np.prod(weights[node.input[1]][1:]))
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in weights and shapes.get(node.output[0])
    }
    in_float = {name for node in list_float_nodes(graph, keep_heads) for name in node.output}
    total = max(1.0, sum(cost.values()))
    return [QuantizedLayer(name, each / total) for name, each in cost.items() if name not in in_float]


def with_float_layers(model: Model, ranges: Ranges, layers: Collection[str], *, keep_heads: bool = True) -> Model:
    """`with_ranges`, but with some layers' inputs, weights and arithmetic in float, and their activations.

    `layers` are names as `list_layers` has them. Raises as `with_ranges` does.
    """
    from ..onnx_model import parse_graph, with_graph

    if not layers:
        return with_ranges(model, ranges, keep_heads=keep_heads)
    nodes = _with_activations(_graph.prepare(model).graph, layers)
    outputs = {name for node in nodes for name in node.output}
    small = with_ranges(model, ranges, keep_heads=keep_heads, in_float=[node.name for node in nodes])
    # What only they read is not quantised for them.
    small = drop_pairs(small, lambda pair: all(outputs.issuperset(node.output) for node in pair.readers))
    named = replace(small, origin={**small.origin, "float_layers": ", ".join(sorted(layers))})
    return with_graph(named, parse_graph(small))


def _with_activations(graph: Any, layers: Collection[str]) -> List[Any]:
    """The nodes of layers, and the activations that alone read them."""
    readers: Dict[str, List[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    nodes = [node for node in graph.node if node.output[0] in layers]
    behind = [readers.get(node.output[0], []) for node in nodes]
    return nodes + [each[0] for each in behind if len(each) == 1 and each[0].op_type in _ACTIVATIONS]


def measure_gains(
    model: Model, ranges: Ranges, batches: Sequence[Array], *, keep_heads: bool = True, threads: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> List[QuantizedLayer]:  # fmt: skip
    """Measure each layer's gain on a few images, one layer in float at a time, as onnxruntime computes it.

    The most useful first: the most gain for its arithmetic and for one layer's overhead. `tick` is called after each.
    """
    layers = list_layers(model, keep_heads=keep_heads)
    meter = RangeMeter(model, threads)
    references = [meter.heads(batch) for batch in batches]
    whole = _error(model, with_ranges(model, ranges, keep_heads=keep_heads), batches, references, threads)
    measured: List[Tuple[float, QuantizedLayer]] = []
    for layer in layers:
        small = with_float_layers(model, ranges, [layer.name], keep_heads=keep_heads)
        gain = 1 - _error(model, small, batches, references, threads) / max(whole, 1e-30)
        measured.append((gain / (layer.share + 1 / len(layers)), replace(layer, gain=gain)))
        tick()
    return [layer for _, layer in sorted(measured, key=lambda each: -each[0])]


def _error(model: Model, small: Model, batches: Sequence[Array], references: List[List[Array]], threads: int) -> float:
    """The mean over heads of the square error, as a share of the head's square."""
    session = open_int8(small, threads)
    source, names = session.get_inputs()[0].name, [head.name for head in model.heads]
    errors = np.zeros(len(names))
    powers = np.full(len(names), 1e-30)
    for batch, heads in zip(batches, references):
        for i, (got, right) in enumerate(zip(session.run(names, {source: batch}), heads)):
            errors[i] += float(np.square(got - right, dtype=np.float64).sum())
            powers[i] += float(np.square(right, dtype=np.float64).sum())
    return float((errors / powers).mean())
