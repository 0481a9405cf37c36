"""One int8 graph, and what each engine is fast and right with; each pass keeps the numbers as they are."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Set, Tuple

import numpy as np

from ...types import Array, Model

_ACTIVATIONS = ("LeakyRelu", "Relu", "Clip", "Sigmoid", "Softplus", "Tanh", "HardSwish", "Mul")


def fold_activation_qdq(model: Model) -> Model:
    """An int8 model without the pairs between a convolution and its activation, for engines that compute both at once.

    OpenVINO and TensorRT do; there the pair costs time and a rounding. onnxruntime needs it.
    """
    from ..onnx_model import parse_graph, with_graph

    proto = parse_graph(model)
    graph = proto.graph
    users: Dict[str, List[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    direct: Dict[str, str] = {}
    gone: Set[str] = set()
    for node in graph.node:
        pairs = _pairs_to_activations(node, users) if node.op_type == "Conv" else []
        for quantize, back in pairs:
            gone.update((quantize.name, back.name))
            direct[back.output[0]] = node.output[0]
    nodes = [node for node in graph.node if node.name not in gone]
    for node in nodes:
        node.input[:] = [direct.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(nodes)
    return with_graph(model, proto)


def _pairs_to_activations(conv: Any, users: Dict[str, List[Any]]) -> List[Tuple[Any, Any]]:
    """The Q/DQ pairs behind a convolution, if all that they lead to are activations."""
    pairs = [(first, back) for first in users.get(conv.output[0], ()) for back in users.get(first.output[0], ())]
    after = [user for _, back in pairs for user in users.get(back.output[0], ())]
    kinds = {first.op_type for first, _ in pairs}, {back.op_type for _, back in pairs}
    fits = kinds == ({"QuantizeLinear"}, {"DequantizeLinear"}) and all(user.op_type in _ACTIVATIONS for user in after)
    return pairs if fits and after else []


def to_uint8_activations(model: Model) -> Model:
    """An int8 model whose activations are uint8 around 128 instead of int8 around 0: the same numbers.

    The int8 convolutions of an x86 CPU multiply uint8 by int8. onnxruntime and OpenVINO convert on their way:
    onnxruntime not everywhere (yolo-fastest takes 1.4 times as long), OpenVINO not rightly where maps are joined
    (2026.4: yolov3-tiny's second head is another).
    """
    from onnx import numpy_helper

    from ..onnx_model import parse_graph, with_graph

    proto = parse_graph(model)
    known = {tensor.name: tensor for tensor in proto.graph.initializer}
    for name in {node.input[2] for node in proto.graph.node if node.op_type == "QuantizeLinear" and node.input[2:]}:
        zero = numpy_helper.to_array(known[name]) if name in known else np.zeros(0)
        if zero.dtype == np.int8:
            known[name].CopyFrom(numpy_helper.from_array((zero.astype(np.int16) + 128).astype(np.uint8), name))
    return with_graph(model, proto)


def quantize_biases(model: Model) -> Model:
    """An int8 model whose convolutions have int32 biases: onnxruntime before 1.20 computes no others in int8."""
    from onnx import helper, numpy_helper

    from ..onnx_model import parse_graph, with_graph

    proto = parse_graph(model)
    graph = proto.graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    scales = {node.output[0]: values.get(node.input[1]) for node in graph.node if node.op_type == "DequantizeLinear"}
    added = []
    for node in graph.node:
        whole = _whole_bias(node, values, scales) if node.op_type == "Conv" and len(node.input) == 3 else None
        if whole is None:
            continue
        name = f"{node.name}.bias.int32"
        for part, array in zip(("", ".scale", ".zero"), (*whole, np.zeros_like(whole[0]))):
            graph.initializer.append(numpy_helper.from_array(array, name + part))
        inputs = [name, f"{name}.scale", f"{name}.zero"]
        added.append(helper.make_node("DequantizeLinear", inputs, [f"{name}.float"], f"{name}.float", axis=0))
        node.input[2] = f"{name}.float"
    nodes = [*added, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return with_graph(model, proto)


def _whole_bias(conv: Any, values: Dict[str, Any], scales: Dict[str, Any]) -> Optional[Tuple[Array, Array]]:
    """A quantised convolution's bias in steps of its accumulator (int32), and a channel's step; else None."""
    from onnx import numpy_helper

    tensors = [scales.get(conv.input[0]), scales.get(conv.input[1]), values.get(conv.input[2])]
    if any(tensor is None for tensor in tensors):
        return None
    of_input, of_weights, bias = (numpy_helper.to_array(tensor) for tensor in tensors)
    scale = np.broadcast_to(of_input * of_weights, bias.shape).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.rint(bias.astype(np.float64) / scale)
    # What does not fit stays float, and its convolution with it.
    return (steps.astype(np.int32), scale) if np.abs(steps).max() < 2**31 else None
