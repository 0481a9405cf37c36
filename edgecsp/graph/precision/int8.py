"""fp32 -> int8: onnxruntime's quantiser, with ranges and places of our own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Collection, Dict, Iterable, List, Sequence, Set, Tuple

import numpy as np

from ...errors import UsageError
from ...types import Array, Model
from . import _graph, _notes, equalize
from .calibration import Ranges, measure_ranges

# What is computed in int8. Sigmoid, Tanh, Softplus and products stay in float: mish and swish lose too much.
OPS = (
    "Conv", "Gemm", "MatMul", "Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Slice",
    "Split", "LeakyRelu", "Relu", "Clip",
)  # fmt: skip
# Operators that move values and make none: what goes in and what comes out has one scale.
MOVES = ("MaxPool", "Concat", "Resize", "Slice", "Split", "Identity", "Reshape", "Transpose")
_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "ForceQuantizeNoInputCheck": True,  # a pool or a join is in int8 also where it comes first
    "QuantizeBias": False,  # TensorRT reads no int32 bias; who wants one makes it: `biased`
}


def quantize(
    model: Model, batches: Iterable[Array], method: str = "percentile", *, keep_heads: bool = True, threads: int = 0
) -> Model:
    """The same model in int8, its ranges measured on `batches`. See `measured` and `with_ranges`."""
    check_quantizable(model)
    return with_ranges(model, measure_ranges(model, batches, method, threads=threads), keep_heads=keep_heads)


def with_ranges(model: Model, ranges: Ranges, *, keep_heads: bool = True, in_float: Collection[str] = ()) -> Model:
    """The same model in int8: Q/DQ pairs, symmetric, zero points 0, weights per output channel.

    What lies behind the last convolutions stays in float: it counts in pixels of the whole image, of which int8 has
    127 steps, and joins boxes with scores. `keep_heads` leaves those convolutions in float as well, `in_float` other
    nodes, by name.

    Raises `UsageError` for a graph that is not one fp32 stage, `CalibrationError` for another graph's ranges.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    from ..onnx_model import with_graph

    check_quantizable(model)
    ranges.check(model)
    model = equalize.scale_channels(model, ranges.scales)
    proto = _graph.prepare(model)
    excluded = [*(node.name for node in list_float_nodes(proto.graph, keep_heads)), *in_float]
    shared = _share_ranges([node for node in proto.graph.node if node.name not in excluded], ranges.tensors)
    tensors = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in shared.items()
    }
    maker = QDQQuantizer(
        proto, True, False, QuantType.QInt8, QuantType.QInt8, TensorsData(CalibrationMethod.MinMax, tensors), [],
        excluded, list(OPS), _OPTIONS,
    )  # fmt: skip
    maker.quantize_model()
    maker.model.topological_sort()  # it appends what it makes; ONNX wants makers before users
    quantized = maker.model.model
    del quantized.graph.value_info[:]
    for node in quantized.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in shared:
            _notes.note_range(node, *shared[node.input[0]])
    origin = {
        **model.origin, "precision": "int8", "calibration": f"{ranges.method}, {ranges.images} pictures",
        "calibration_sha256": ranges.inputs,
        **({"calibration_tried": format_trials(ranges.tried)} if ranges.tried else {}),
    }  # fmt: skip
    return with_graph(replace(model, origin=origin), quantized)


def format_trials(tried: Dict[str, float]) -> str:
    """Format how well each method did, best first, for people."""
    return ", ".join(f"{name} {value:.3f}" for name, value in sorted(tried.items(), key=lambda each: -each[1]))


def check_quantizable(model: Model) -> None:
    """Raises `UsageError` unless the model is one fp32 stage."""
    from . import detect_precision

    if model.second is not None:
        raise UsageError(f"{model.name} is a detector of two stages; int8 is made of one-stage detectors")
    current = detect_precision(model)
    if current != "fp32":
        raise UsageError(f"{model.name} is a graph in {current} already; int8 is made from the fp32 one")


def list_float_nodes(graph: Any, keep_heads: bool) -> List[Any]:
    """List the nodes that lead to no convolution; with `keep_heads` the last convolutions among them."""
    makers = {name: node for node in graph.node for name in node.output}
    known = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if _has_weights(node, makers, known)]
    before: Set[str] = set()
    todo = [name for node in convolutions for name in node.input]
    while todo:
        name = todo.pop()
        if name not in before and name in makers:
            before.add(name)
            todo.extend(makers[name].input)
    last = [] if keep_heads else [name for node in convolutions for name in node.output]
    return [node for node in graph.node if not before.intersection(node.output) and not {*last} & {*node.output}]


def _has_weights(node: Any, makers: Dict[str, Any], known: Set[str]) -> bool:
    """Whether a node is a convolution or a layer of weights, and not the mean of a distribution, as in YOLOv8's boxes.

    There a softmax goes, moved at most, into a convolution that only adds up: it is part of decoding.
    """
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return False
    if node.op_type == "MatMul" and not known.intersection(node.input):
        return False
    before = makers.get(next(name for name in node.input if name not in known) if node.input else "")
    while before is not None and before.op_type in MOVES and before.input:
        before = makers.get(before.input[0])
    return before is None or before.op_type != "Softmax"


def _share_ranges(nodes: Sequence[Any], ranges: Dict[str, Tuple[float, float]]) -> Dict[str, Tuple[float, float]]:
    """One range for all tensors between which values only move: no engine has to rescale on the way.

    TensorRT and onnxruntime want it for their int8 kernels, and OpenVINO joins maps of one scale without arithmetic.
    """
    group: Dict[str, str] = {}

    def root(name: str) -> str:
        while group.get(name, name) != name:
            name = group[name]
        return name

    for node in nodes:
        if node.op_type in MOVES:
            inputs = node.input if node.op_type == "Concat" else node.input[:1]
            for name in (*inputs, *node.output):
                group[root(name)] = root(node.output[0])
    widest: Dict[str, Tuple[float, float]] = {}
    for name, (low, high) in ranges.items():
        was = widest.get(root(name), (low, high))
        widest[root(name)] = (min(was[0], low), max(was[1], high))
    return {name: widest[root(name)] for name in ranges}
