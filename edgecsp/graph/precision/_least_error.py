"""The range of a map that has the least square error in 8 bits, as what reads the map sees it.

An activation takes away most of what lies below zero: what it takes away is no error, and needs no levels.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from ...types import Array

Activation = Callable[[Array], Array]
STEPS = 255  # of a form with zero points; of one without, the wider end has 127
_CANDIDATES = 96


def identity(values: Array) -> Array:
    """Return the values: what a map that no activation reads is seen as."""
    return values


def find_activations(graph: Any) -> Dict[str, Activation]:
    """Find the maps that only one activation reads, and it: leaky, relu, swish or mish."""
    readers: Dict[str, List[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    heads = {value.name for value in graph.output}
    activations = {name: _activation(name, nodes, readers) for name, nodes in readers.items() if name not in heads}
    return {name: each for name, each in activations.items() if each is not identity}


def _activation(name: str, nodes: List[Any], readers: Dict[str, List[Any]]) -> Activation:
    kinds = sorted(node.op_type for node in nodes)
    if kinds == ["LeakyRelu"]:
        slope = next((float(each.f) for each in nodes[0].attribute if each.name == "alpha"), 0.01)
        return lambda values: np.where(values < 0, slope * values, values)
    if kinds == ["Relu"]:
        return lambda values: np.maximum(values, 0)
    if kinds in (["Mul", "Sigmoid"], ["Mul", "Softplus"]):
        product = next(node for node in nodes if node.op_type == "Mul")
        gate = next(node for node in nodes if node.op_type != "Mul")
        gates = [gate.output[0]]
        if gate.op_type == "Softplus":
            gates = [node.output[0] for node in readers.get(gate.output[0], ()) if node.op_type == "Tanh"]
        if len(gates) == 1 and {*product.input} == {name, gates[0]}:
            return _swish if gate.op_type == "Sigmoid" else _mish
    return identity


def _swish(values: Array) -> Array:
    gated: Array = values / (1 + np.exp(-np.clip(values, -60, 60)))
    return gated


def _mish(values: Array) -> Array:
    gated: Array = values * np.tanh(np.logaddexp(0, values))
    return gated


def find_range(
    counts: Array, top: float, ends: Tuple[float, float], activation: Activation = identity, *, keep_high: bool = False
) -> Tuple[float, float]:
    """Find the lowest and the highest value to represent so that rounding and clipping cost least.

    `counts` (2, N): how often each magnitude of 0..top occurs, of values from 0 on and of negative ones; `ends`: the
    lowest and the highest value there are. Each end in its turn, twice; with `keep_high` the lowest alone.
    """
    bins = counts.shape[1]
    middles = (np.arange(bins) + 0.5) * (top / bins)
    values, weights = np.concatenate((-middles[::-1], middles)), np.concatenate((counts[1][::-1], counts[0]))
    values, weights = values[weights > 0], weights[weights > 0].astype(np.float64)
    width = top / bins / 2
    slopes = (activation(values + width) - activation(values - width)) / (2 * width)
    outputs, squares = activation(values), np.square(values)

    def cost(low: float, high: float) -> float:
        rounding = np.minimum(((high - low) / STEPS) ** 2 / 12, squares) * slopes**2
        clipped = np.square(outputs - activation(np.clip(values, low, high)))
        return float(np.where((values >= low) & (values <= high), rounding, clipped) @ weights)

    low, high = min(0.0, ends[0]), max(0.0, ends[1])
    shares = np.append(np.geomspace(1 / 128, 1, _CANDIDATES), 0)
    for _ in range(2):
        if ends[1] > 0 and not keep_high:
            high = min((ends[1] * shares[:-1]).tolist(), key=lambda end: cost(low, end))
        if ends[0] < 0:
            low = min((ends[0] * shares).tolist(), key=lambda end: cost(end, high) if high > end else np.inf)
    return low, high
