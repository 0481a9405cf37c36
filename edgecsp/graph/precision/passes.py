"""One int8 graph, and what each engine is fast and right with; a pass keeps the numbers, or takes a rounding away."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ...processing import preprocess
from ...types import Array, Model
from . import _notes
from .int8 import MOVES

_ACTIVATIONS = ("LeakyRelu", "Relu", "Clip", "Sigmoid", "Softplus", "Tanh", "HardSwish", "Mul")


class _Pair(NamedTuple):
    """A QuantizeLinear, the node before it (None: it is the image's), its DequantizeLinears, and their readers."""

    maker: Optional[Any]
    quantize: Any
    dequantize: List[Any]
    readers: List[Any]


def fold_activation_qdq(model: Model) -> Model:
    """An int8 model without the pairs between a convolution or a sum and its activation.

    OpenVINO and TensorRT compute both at once: there the pair costs time and a rounding. onnxruntime needs it.
    """

    def is_before_activation(pair: _Pair) -> bool:
        is_computed = pair.maker is not None and pair.maker.op_type in ("Conv", "Add")
        return is_computed and all(node.op_type in _ACTIVATIONS for node in pair.readers)

    return drop_pairs(model, is_before_activation)


def fold_move_qdq(model: Model) -> Model:
    """An int8 model without the pairs behind pools, joins and slices of maps of one scale: they would change nothing.

    OpenVINO computes each of them in a loop of its own; onnxruntime tells by them that the operator is one in int8.
    """
    from ..onnx_model import parse_graph

    graph = parse_graph(model).graph
    scales: Dict[str, Tuple[Any, ...]] = {}
    values = _values(graph)

    def scale(node: Any) -> Tuple[Any, ...]:
        return tuple(values[name].tobytes() if name in values else name for name in node.input[1:])

    for node in graph.node:
        moved = node.input if node.op_type == "Concat" else node.input[:1]
        if node.op_type == "DequantizeLinear":
            scales[node.output[0]] = scale(node)
        elif node.op_type in MOVES and len({scales.get(name) for name in moved}) == 1 and moved[0] in scales:
            scales.update(dict.fromkeys(node.output, scales[moved[0]]))

    def changes_nothing(pair: _Pair) -> bool:
        before = scales.get(pair.quantize.input[0])
        return all(scale(node) == before for node in (pair.quantize, *pair.dequantize))

    return drop_pairs(model, changes_nothing)


def quantize_after_pools(model: Model, channels: int) -> Model:
    """An int8 model that quantises maps of up to `channels` channels behind their pool, not before: the same numbers.

    OpenVINO pools such maps in int8 four times as slowly as in bf16.
    """
    from onnx import shape_inference

    from ..onnx_model import parse_graph

    graph = shape_inference.infer_shapes(parse_graph(model)).graph
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.value_info}
    narrow = {name for name, shape in shapes.items() if len(shape) == 4 and 0 < shape[1] <= channels}
    quantized = {pair.quantize.input[0] for pair in _pairs(graph)}

    def is_pooled(pair: _Pair) -> bool:
        pools = [node for node in pair.readers if node.op_type == "MaxPool" and node.output[0] in quantized]
        return pair.quantize.input[0] in narrow and len(pools) == len(pair.readers)

    return drop_pairs(model, is_pooled)


def fold_float_qdq(model: Model) -> Model:
    """An int8 model without the pairs that only convolutions in float read, as those of the heads: they only round.

    An engine that computes a convolution in int8 and gives its floats needs none.
    """
    from ..onnx_model import parse_graph

    computed = {name for node in parse_graph(model).graph.node for name in node.output}

    def is_for_floats(pair: _Pair) -> bool:
        return all(node.op_type in ("Conv", "Gemm") and node.input[1] not in computed for node in pair.readers)

    return drop_pairs(model, is_for_floats)


def to_uint8_input(model: Model, *, keep_pair: bool = True) -> Model:
    """An int8 model whose image is in uint8 in steps of the image's bytes, which lose nothing; of 0 to 1 int8 has half.

    Without `keep_pair` nothing is quantised there: what is given must be bytes times that step. A model with a mean or
    with a factor for each channel stays as it is.
    """
    from onnx import numpy_helper

    from ..onnx_model import parse_graph, with_graph

    factors = preprocess.factors(model.input)
    if not preprocess.has_pixels(model.input) or len(set(factors.tolist())) > 1:
        return model
    proto = parse_graph(model)
    graph = proto.graph
    image = graph.input[0].name
    for pair in _pairs(graph):
        if pair.quantize.input[0] == image:
            step = {f"{pair.quantize.name}.step": factors[0], f"{pair.quantize.name}.zero": np.uint8(0)}
            graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in step.items())
            for node in (pair.quantize, *pair.dequantize):
                node.input[1:] = step
    stepped = with_graph(model, proto)
    return stepped if keep_pair else drop_pairs(stepped, lambda pair: bool(pair.quantize.input[0] == image))


def _pairs(graph: Any) -> Iterator[_Pair]:
    """Every quantised activation of a graph that somebody reads; those that are given back are none."""
    makers = {name: node for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    readers: Dict[str, List[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        back = readers.get(node.output[0], []) if node.op_type == "QuantizeLinear" else []
        after = [reader for each in back for reader in readers.get(each.output[0], ())]
        is_pair = {each.op_type for each in back} == {"DequantizeLinear"} and not outputs.intersection(
            name for each in (node, *back) for name in each.output
        )
        if is_pair and after:
            yield _Pair(makers.get(node.input[0]), node, back, after)


def drop_pairs(model: Model, is_needless: Callable[[_Pair], bool]) -> Model:
    """The model with the readers of such pairs behind what the pairs quantised."""
    from ..onnx_model import parse_graph, with_graph

    proto = parse_graph(model)
    graph = proto.graph
    direct: Dict[str, str] = {}
    for pair in _pairs(graph):
        if is_needless(pair):
            direct.update((node.output[0], pair.quantize.input[0]) for node in (pair.quantize, *pair.dequantize))
    nodes = [node for node in graph.node if node.output[0] not in direct]
    for node in nodes:
        for index, name in enumerate(node.input):
            while name in direct:
                name = direct[name]
            node.input[index] = name
    del graph.node[:]
    graph.node.extend(nodes)
    return with_graph(model, proto)


def _values(graph: Any) -> Dict[str, Array]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def to_uint8_activations(model: Model) -> Model:
    """An int8 model whose activations are uint8 over their measured ranges, with zero points.

    The int8 convolutions of an x86 CPU multiply uint8 by int8. onnxruntime and OpenVINO convert on their way:
    onnxruntime not everywhere (yolo-fastest takes 1.4 times as long), OpenVINO not rightly where maps are joined
    (2026.4: yolov3-tiny's second head is another). Without notes of ranges, as in files of 0.1, the zero is 128, and
    the numbers are the same.
    """
    return _with_zero_points(model, np.uint8, 128)


def to_zero_points(model: Model) -> Model:
    """An int8 model whose activations are int8 over their measured ranges, with zero points; the same without notes.

    For CPUs whose convolutions multiply int8 by int8. TensorRT takes no zero points.
    """
    return _with_zero_points(model, np.int8, 0)


def _with_zero_points(model: Model, dtype: Any, middle: int) -> Model:
    """Activations of a type whose middle is `middle`, over the ranges that are noted."""
    from onnx import numpy_helper

    from ..onnx_model import parse_graph, with_graph

    proto = parse_graph(model)
    known = {tensor.name: tensor for tensor in proto.graph.initializer}
    nodes = [node for node in proto.graph.node if node.op_type == "QuantizeLinear" and node.input[2:]]
    for scale_name, zero_name, node in {tuple(node.input[1:]): (*node.input[1:], node) for node in nodes}.values():
        zero = numpy_helper.to_array(known[zero_name]) if zero_name in known else np.zeros(0)
        if zero.dtype != np.int8:
            continue
        moved, measured = zero.astype(np.int16) + middle, _notes.read_range(node)
        if measured is not None and scale_name in known:
            low, high = measured
            step = np.array((high - low) / 255, np.float32).reshape(zero.shape)
            moved = np.rint(-low / step).reshape(zero.shape) + (middle - 128)
            known[scale_name].CopyFrom(numpy_helper.from_array(step, scale_name))
        elif middle == 0:  # it has its zero
            continue
        known[zero_name].CopyFrom(numpy_helper.from_array(moved.astype(dtype), zero_name))
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
