"""Precision as passes from graph to graph: what a graph computes in, int8 (Q/DQ), and fp16.

    precision.detect_precision(model)                              # "fp32", "fp16" or "int8"
    ranges = precision.measure_ranges(model, batches)      # what values pass through, on images
    ranges = precision.best(model, batches)          # the same by the method whose int8 boxes are nearest to fp32's
    small = precision.with_ranges(model, ranges)     # int8 weights, quantised activations
    small = precision.quantize(model, batches)      # the two in one
    half = precision.half(model)                     # fp16 weights and arithmetic, float32 in and out
    wide = precision.single(half)                    # the same weights, fp32 arithmetic

The int8 graph is one file for every engine: symmetric int8 with zero points 0 (TensorRT takes no other), weights per
output channel, a Q/DQ pair on each side of an activation (onnxruntime computes no convolution in int8 otherwise).
Beside each step the file notes the measured range, of which `passes` makes zero points for CPUs, where they are free.
It turns the graph into what an engine needs. `equalize` brings the channels of maps to one range first;
`mixed` keeps layers in float.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ...errors import BadModel
from ...types import Model
from .. import wire

if TYPE_CHECKING:
    from ._choose import choose_ranges
    from .calibration import METHODS, MIN_IMAGES, Ranges, load, measure_ranges
    from .float_form import list_float_convolutions, list_steps, to_float
    from .fp16 import to_fp16, to_fp32
    from .int8 import check_quantizable, format_trials, quantize, with_ranges
    from .mixed import QuantizedLayer, list_layers, measure_gains, with_float_layers
    from .passes import (
        fold_activation_qdq,
        fold_float_qdq,
        fold_move_qdq,
        quantize_after_pools,
        quantize_biases,
        to_uint8_activations,
        to_uint8_input,
        to_zero_points,
    )

__all__ = [
    "METHODS", "MIN_IMAGES", "QuantizedLayer", "Ranges", "check_quantizable", "choose_ranges", "detect_precision",
    "fold_activation_qdq", "fold_float_qdq", "fold_move_qdq", "format_trials", "list_float_convolutions", "list_layers",
    "list_steps", "load", "measure_gains", "measure_ranges", "quantize", "quantize_after_pools", "quantize_biases",
    "to_float", "to_fp16", "to_fp32",
    "to_uint8_activations", "to_uint8_input", "to_zero_points", "with_float_layers", "with_ranges",
]  # fmt: skip

_FILES = ("calibration", "int8", "mixed", "passes", "float_form", "fp16", "_choose")
_QUANTIZES = (b"QuantizeLinear", b"DequantizeLinear")


def __getattr__(name: str) -> Any:
    # Every start imports this for `detect_precision`, and few need more.
    for file in _FILES if name in __all__ else ():
        module = importlib.import_module(f"{__name__}.{file}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def detect_precision(model: Model) -> str:
    """ "int8" when it quantizes on its way, "fp16" when its weights are, else "fp32". Raises `BadModel`."""
    # Every start asks this, so that it goes without the onnx package. Field numbers are onnx.proto's: ModelProto.graph
    # 7, GraphProto.node 1 and initializer 5, NodeProto.op_type 4, TensorProto.data_type 2 (FLOAT16 is 10).
    half = False
    try:
        for graph in wire.parts(model.onnx, 7):
            for node in wire.parts(graph, 1):
                if any(bytes(op) in _QUANTIZES for op in wire.parts(node, 4)):
                    return "int8"
            for weights in wire.parts(graph, 5):
                half = half or next((kind for number, kind in wire.fields(weights) if number == 2), 0) == 10
    except BadModel as error:
        raise BadModel(f"{model.name} is no ONNX file: {error}") from error
    return "fp16" if half else "fp32"
