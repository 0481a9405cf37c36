"""Channels of a graph that have one scale, which the convolutions around them can change."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...types import Array

# f(s * x) = s * f(x) for every s > 0, channel by channel.
_HOMOGENEOUS = (
    "LeakyRelu", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Identity",
)  # fmt: skip


class Sets:
    """Disjoint sets of the numbers 0, 1, 2 ...; each is alone at first."""

    def __init__(self) -> None:
        self._parents: List[int] = []

    def __len__(self) -> int:
        return len(self._parents)

    def add(self, count: int) -> Array:
        """Add `count` numbers and return them."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def join(self, one: int, other: int) -> None:
        """Join the sets of two numbers."""
        self._parents[self.root(one)] = self.root(other)

    def root(self, number: int) -> int:
        """The number that stands for a set."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def roots(self) -> Array:
        """(N,) int64: `root` of every number."""
        return np.array([self.root(number) for number in range(len(self))], np.int64)


class Channels:
    """The channels of every map as numbers: those of one number have one scale.

    A convolution makes new ones; activations, pools, joins, slices and sums hand them on. Those that anything else
    reads or makes, the image's and the heads' are `fixed`. `maps`: (C,) numbers by the name of a map; `convolutions`:
    the nodes whose output can be scaled by their weights; `values`: the graph's constants.
    """

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self.values: Dict[str, Array] = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.maps: Dict[str, Array] = {}
        self._sets, self._fixed = Sets(), [np.zeros(0, np.int64)]
        self._shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        read = [name for node in graph.node for name in node.input]
        once = {name for name in self.values if read.count(name) == 1}
        self.convolutions = [node for node in graph.node if node.op_type == "Conv" and once.issuperset(node.input[1:])]
        scalable = {node.output[0] for node in self.convolutions}
        for value in graph.input:
            self._fix_map(value.name)
        for node in graph.node:
            if node.output[0] in scalable:
                self.maps[node.output[0]] = self._sets.add(len(self.values[node.input[1]]))
            else:
                self._hand_on(node)
        for value in graph.output:
            self._fix(value.name)
        roots = self._sets.roots()
        self.maps = {name: roots[ids] for name, ids in self.maps.items()}
        self.fixed = np.zeros(len(roots), bool)
        self.fixed[roots[np.concatenate(self._fixed)]] = True

    def _fix(self, name: str) -> None:
        if name in self.maps:
            self._fixed.append(self.maps[name])

    def _fix_map(self, name: str) -> None:
        """Note a map of channels that cannot be scaled; nothing for what is no map."""
        shape = self._shapes.get(name, [])
        if len(shape) == 4 and shape[1] > 0:
            self.maps[name] = self._sets.add(shape[1])
            self._fix(name)

    def _hand_on(self, node: Any) -> None:
        handed = self._handed(node)
        if handed is not None and len(handed) == len(node.output):
            self.maps.update(zip(node.output, handed))
            return
        for name in node.input if node.op_type != "Conv" else node.input[1:]:
            self._fix(name)
        if node.op_type == "Conv":  # its weights are another node's as well
            self._fix(node.input[0])
        for name in node.output:
            self._fix_map(name)

    def _handed(self, node: Any) -> Optional[List[Array]]:
        """The channels of each output; None for an operator that does not hand them on."""
        maps = [self.maps[name] for name in node.input if name in self.maps]
        axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
        if not maps or node.input[0] not in self.maps:
            return None
        if node.op_type in _HOMOGENEOUS:
            return [maps[0]]
        if node.op_type == "Concat" and axis in (1, -3) and len(maps) == len(node.input):
            return [np.concatenate(maps)]
        if node.op_type == "Add" and len(maps) == 2 and len(maps[0]) == len(maps[1]):
            for one, other in zip(maps[0].tolist(), maps[1].tolist()):
                self._sets.join(one, other)
            return [maps[0]]
        if node.op_type == "Slice":
            return self._sliced(maps[0], [self.values.get(name) for name in node.input[1:]])
        if node.op_type == "Split" and axis in (1, -3):
            sizes = [(self._shapes.get(name) or [0, 0])[1] for name in node.output]
            return np.split(maps[0], np.cumsum(sizes)[:-1]) if sum(sizes) == len(maps[0]) else None
        return None

    def _sliced(self, before: Array, constants: Sequence[Optional[Array]]) -> Optional[List[Array]]:
        if len(constants) < 3 or any(each is None for each in constants):
            return None
        starts, ends, axes, *rest = (np.asarray(each).tolist() for each in constants)
        after = before
        for start, end, axis, step in zip(starts, ends, axes, rest[0] if rest else [1] * len(axes)):
            if axis in (1, -3):
                after = after[slice(start, end, step)]
        return [after]
