"""Precision as passes from graph to graph: what a graph computes in, int8 (Q/DQ), and fp16.

    precision.of(model)                              # "fp32", "fp16" or "int8"
    ranges = precision.measured(model, batches)      # what values pass through, on pictures
    small = precision.with_ranges(model, ranges)     # int8 weights, quantised activations
    small = precision.quantized(model, batches)      # the two in one
    half = precision.half(model)                     # fp16 weights and arithmetic, float32 in and out

The int8 graph is one file for every engine: symmetric int8 with zero points 0 (TensorRT takes no other), weights per
output channel, a Q/DQ pair on each side of an activation (onnxruntime computes no convolution in int8 otherwise).
`fused`, `unsigned` and `biased` turn it into what an engine is fast and right with; they lose nothing.
"""

from __future__ import annotations

from ..core import Model
from ._forms import biased, fused, unsigned
from ._half import half
from ._int8 import quantizable, quantized, with_ranges
from ._ranges import LEAST, METHODS, Ranges, load, measured

__all__ = [
    "LEAST", "METHODS", "Ranges", "biased", "fused", "half", "load", "measured", "of", "quantizable", "quantized",
    "unsigned", "with_ranges",
]  # fmt: skip


def of(model: Model) -> str:
    """ "int8" when it quantizes on its way, "fp16" when its weights are, else "fp32". Raises `BadModel`."""
    from onnx import TensorProto

    from ..onnx_model import graph_of

    graph = graph_of(model).graph
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node):
        return "int8"
    half = any(weights.data_type == TensorProto.FLOAT16 for weights in graph.initializer)
    return "fp16" if half else "fp32"
