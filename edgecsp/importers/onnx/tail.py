"""Append nodes to another exporter's graph: what a family's own decoder does between its outputs and plain rows.

tail = GraphTail(proto)
scores = tail.node("Sigmoid", "logits")
rows = tail.node("Concat", "pred_boxes", scores, axis=2)
detections = tail.output(rows, (1, 300, 84))

Operators keep to what every opset from 11 on writes alike, so that no other opset need be declared.
"""

from __future__ import annotations

from typing import Any, Sequence, Tuple

import numpy as np

from ...types import Array
from .graph import GraphOutput, free_name, set_dims


class GraphTail:
    """The end of a graph, open for more nodes. Arrays are batches of one image."""

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        graph = proto.graph
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._taken |= {value.name for value in (*graph.input, *graph.output, *graph.initializer)}

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        name = self._name("constant")
        self._proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node of one output; return the output's name."""
        from onnx import helper

        name = self._name(op.lower())
        self._proto.graph.node.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """Lay a tensor out as `shape`, -1 being what is left."""
        return self.node("Reshape", name, self.const(shape, np.int64))

    def take(self, name: str, columns: Sequence[int], axis: int) -> str:
        """Select columns of an axis, in the order given."""
        return self.node("Gather", name, self.const(columns, np.int64), axis=axis)

    def cast(self, name: str) -> str:
        """Cast to float32."""
        from onnx import TensorProto

        return self.node("Cast", name, to=TensorProto.FLOAT)

    def distances(self, bins: str, count: int) -> str:
        """Expected distances (1, N, 4) of distributions (1, N, 4 x `count`) over 0 ... count - 1, given as logits.

        Source: Generalized Focal Loss (arXiv 2006.04388), 3.2.
        """
        chances = self.node("Softmax", self.reshape(bins, (1, -1, 4, count)), axis=3)
        return self.reshape(self.node("MatMul", chances, self.const(np.arange(count)[:, None])), (1, -1, 4))

    def around(self, centres: Array, distances: str) -> str:
        """Corners of boxes that reach `distances` (1, N, 4) left, up, right and down from `centres` (N, 2)."""
        signed = self.node("Mul", distances, self.const((-1, -1, 1, 1)))
        return self.node("Add", signed, self.const(np.concatenate((centres, centres), 1)[None]))

    def output(self, name: str, shape: Tuple[int, ...], title: str = "detections") -> GraphOutput:
        """Make a tensor an output of the graph, of this shape, 0 being any."""
        from onnx import TensorProto, helper

        title = self._name(title)
        self._proto.graph.node.append(helper.make_node("Identity", [name], [title], name=title))
        value = helper.make_tensor_value_info(title, TensorProto.FLOAT, ())
        set_dims(value, shape)
        self._proto.graph.output.append(value)
        return GraphOutput(title, shape)

    def _name(self, word: str) -> str:
        name = free_name(word, self._taken)
        self._taken.add(name)
        return name


def grid(hw: Tuple[int, int], strides: Sequence[int], offset: float) -> Tuple[Array, Array]:
    """Points of all cells of an input's grids, (N, 2) x and y in pixels, and each cell's stride, (N, 1).

    The cells of every stride in turn, row by row; `offset` is a point's place in its cell, 0.5 being the middle.
    Grids are as large as convolutions make them: sides that are no multiple of a stride are rounded up.
    """
    points, steps = [], []
    for stride in strides:
        y, x = np.mgrid[: -(-hw[0] // stride), : -(-hw[1] // stride)].astype(np.float32)
        points.append((np.stack((x, y), -1).reshape(-1, 2) + np.float32(offset)) * stride)
        steps.append(np.full((len(points[-1]), 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(steps)
