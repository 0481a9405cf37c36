"""An ONNX graph in ncnn's own format: the text that names its layers, and the bytes of their weights.

ncnn reads no ONNX, and its converter comes in a package that needs PyTorch. The operators here are those that
edgecsp writes (zoo, darknet); of a graph with others `to_ncnn` says which.

https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure and .../operation-param-weight-table
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ..errors import BuildFailed
from ..types import Array

OF = "\0"  # in the name of a blob that belongs to another: no file has such a name
_MAGIC = 7767517  # the first line of ncnn's text format
_FP32 = np.zeros(1, "<u4").tobytes()  # in front of weights: as they are
_MAX, _AVERAGE = 0, 1
_VALID = 1  # pad by the given amounts, and drop what no window fills
_BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3, "Max": 4, "Min": 5}
_UNARY = {"Sigmoid": "Sigmoid", "Tanh": "TanH", "Identity": "Noop", "Relu": "ReLU"}


class NcnnGraph(NamedTuple):
    """`param` is the text, `weights` the bytes behind it.

    `input` is the name of a blob; `outputs` are those of the heads, each with its shape for one image.
    """

    param: str
    weights: bytes
    input: str
    outputs: Tuple[Tuple[str, Tuple[int, ...]], ...]

    def to_bytes(self) -> bytes:
        """Serialise as a line of JSON and the weights."""
        head = {"param": self.param, "input": self.input, "outputs": self.outputs}
        return json.dumps(head).encode() + b"\n" + self.weights

    @classmethod
    def from_bytes(cls, data: bytes) -> NcnnGraph:
        """Read what `to_bytes` wrote."""
        head, _, weights = data.partition(b"\n")
        fields = json.loads(head)
        outputs = tuple((name, tuple(shape)) for name, shape in fields["outputs"])
        return cls(fields["param"], weights, fields["input"], outputs)


class _Layer:
    """A line of the text. `fields` are numbered as ncnn's table has them; lists are arrays."""

    def __init__(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **fields: Any) -> None:
        self.kind, self.inputs, self.outputs = kind, list(inputs), list(outputs)
        self.fields = {int(key[1:]): value for key, value in fields.items()}
        self.weights: List[bytes] = []

    def line(self, names: Dict[str, str]) -> str:
        """The layer in the text format, with short `names` of blobs: ONNX allows spaces in them, and any length."""
        blobs = [names.setdefault(each, f"b{len(names)}") for each in (*self.inputs, *self.outputs)]
        words = [self.kind, f"{self.kind}_{blobs[-1]}", str(len(self.inputs)), str(len(self.outputs)), *blobs]
        return " ".join((*words, *(_format_field(key, value) for key, value in sorted(self.fields.items()))))


def _format_field(key: int, value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{-23300 - key}={len(value)}," + ",".join(map(_format_number, value))
    return f"{key}={_format_number(value)}"


def _format_number(value: float) -> str:
    # By its point ncnn knows a float: it would take the bits of an integer for one. Nine digits are a float32, and
    # with a sign they are the 15 characters that older ones read of a number.
    return f"{value:.8e}" if isinstance(value, float) else str(int(value))


def to_ncnn(onnx: bytes, outputs: Sequence[str], name: str) -> NcnnGraph:
    """Convert a graph of fixed size. `outputs` are the blobs that will be asked for.

    Raises `BuildFailed`, naming the model and the operator, where ncnn or this file lacks one.
    """
    from onnx import load_model_from_string, shape_inference

    proto = shape_inference.infer_shapes(load_model_from_string(onnx))
    converter = _Converter(proto.graph, name)
    for node in proto.graph.node:
        converter.write(node)
    layers = _fuse_activations(_fuse_gates(converter.layers, outputs), outputs)
    layers = _split_shared(layers, outputs)
    names: Dict[str, str] = {}
    lines = [layer.line(names) for layer in layers]
    blobs = sum(len(layer.outputs) for layer in layers)
    text = "\n".join((str(_MAGIC), f"{len(layers)} {blobs}", *lines, ""))
    weights = b"".join(part for layer in layers for part in layer.weights)
    shapes = tuple((names[each], converter.shape_of(each)) for each in outputs)
    return NcnnGraph(text, weights, names[layers[0].outputs[0]], shapes)


class _Converter:
    """Nodes to layers, one by one, without a look at their neighbours."""

    def __init__(self, graph: Any, name: str) -> None:
        from onnx import numpy_helper

        self._name = name
        self._constants: Dict[str, Array] = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        values = (*graph.value_info, *graph.input, *graph.output)
        self._shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in values}
        inputs = [each.name for each in graph.input if each.name not in self._constants]
        self.layers = [_Layer("Input", (), [each]) for each in inputs]

    def shape_of(self, name: str) -> Tuple[int, ...]:
        """Return a blob's shape without the images of the batch."""
        return tuple(self._shapes[name][1:])

    def write(self, node: Any) -> None:
        """Append the layers of a node."""
        from onnx import helper

        name = node.name or node.output[0]
        attrs = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        write: Optional[Callable[[Any, str, Dict[str, Any]], None]] = getattr(self, f"_{node.op_type.lower()}", None)
        if node.op_type in _UNARY:
            self._add(_UNARY[node.op_type], node.input, node.output)
        elif node.op_type in _BINARY:
            self._binary(node, name)
        elif write is not None:
            write(node, name, attrs)
        else:
            raise self._lacks(f"operator {node.op_type} ({name})")

    def _lacks(self, what: str) -> BuildFailed:
        return BuildFailed(f"ncnn cannot build {self._name}: its graph has {what}, which is not converted")

    def _add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **fields: Any) -> _Layer:
        self.layers.append(_Layer(kind, inputs, outputs, **fields))
        return self.layers[-1]

    def _constant_of(self, node: Any, index: int) -> Optional[Array]:
        return self._constants.get(node.input[index]) if len(node.input) > index else None

    def _constant(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        from onnx import numpy_helper

        self._constants[node.output[0]] = numpy_helper.to_array(attrs["value"])

    def _conv(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        kernel = self._constant_of(node, 1)
        if kernel is None or kernel.ndim != 4 or attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise self._lacks(f"a convolution of computed weights, of one axis or with auto_pad ({name})")
        bias, groups = self._constant_of(node, 2), attrs.get("group", 1)
        top, left, bottom, right = attrs.get("pads", (0, 0, 0, 0))
        down, across = attrs.get("strides", (1, 1))
        high, wide = attrs.get("dilations", (1, 1))
        layer = self._add(
            "Convolution" if groups == 1 else "ConvolutionDepthWise", node.input[:1], node.output,
            _0=kernel.shape[0], _1=kernel.shape[3], _11=kernel.shape[2], _2=wide, _12=high, _3=across, _13=down,
            _4=left, _15=right, _14=top, _16=bottom, _5=bias is not None, _6=kernel.size,
            **({} if groups == 1 else {"_7": groups}),
        )  # fmt: skip
        layer.weights = [_FP32, np.ascontiguousarray(kernel, "<f4").tobytes()]
        if bias is not None:
            layer.weights.append(np.ascontiguousarray(bias, "<f4").tobytes())

    def _leakyrelu(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        self._add("ReLU", node.input, node.output, _0=float(attrs.get("alpha", 0.01)))

    def _clip(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        low, high = self._constant_of(node, 1), self._constant_of(node, 2)
        if low is None or high is None:
            raise self._lacks(f"a Clip of computed bounds ({name})")
        self._add("Clip", node.input[:1], node.output, _0=float(low), _1=float(high))

    def _softplus(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        self._add("Softplus", node.input, node.output)

    def _maxpool(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        self._pool(node, name, attrs, _MAX)

    def _averagepool(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        self._pool(node, name, attrs, _AVERAGE, _6=attrs.get("count_include_pad", 0))

    def _pool(self, node: Any, name: str, attrs: Dict[str, Any], kind: int, **fields: Any) -> None:
        kernel, strides, pads = attrs["kernel_shape"], attrs.get("strides", (1, 1)), attrs.get("pads", (0, 0, 0, 0))
        dilations = attrs.get("dilations", (1, 1))
        is_odd = attrs.get("auto_pad", b"NOTSET") != b"NOTSET" or attrs.get("ceil_mode", 0) or max(dilations) > 1
        if len(kernel) != 2 or is_odd or len(node.output) > 1:
            raise self._lacks(f"a pooling with auto_pad, ceil_mode, dilations or indices ({name})")
        top, left, bottom, right = pads
        self._add(
            "Pooling", node.input, node.output, _0=kind, _1=kernel[1], _11=kernel[0], _2=strides[1],
            _12=strides[0], _3=left, _14=right, _13=top, _15=bottom, _5=_VALID, **fields,
        )  # fmt: skip

    def _globalaveragepool(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        vector = f"{node.output[0]}{OF}vector"
        self._add("Pooling", node.input, [vector], _0=_AVERAGE, _4=1)
        self._add("Reshape", [vector], node.output, _0=1, _1=1, _2=-1)  # (c,) as (c, 1, 1)

    def _concat(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        if attrs["axis"] != 1:
            raise self._lacks(f"a Concat of axis {attrs['axis']} ({name})")
        self._add("Concat", node.input, node.output, _0=0)

    def _resize(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        scales = self._constant_of(node, 2)
        is_nearest = attrs.get("mode") == b"nearest" and attrs.get("nearest_mode") == b"floor"
        if not is_nearest or attrs.get("coordinate_transformation_mode") != b"asymmetric" or scales is None:
            raise self._lacks(f"a Resize that is not by a factor to the nearest value above and left ({name})")
        self._add("Interp", node.input[:1], node.output, _0=1, _1=float(scales[2]), _2=float(scales[3]))

    def _slice(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        bounds = [self._constant_of(node, index) for index in range(1, 5)]
        pairs = [each.tolist() for each in bounds if each is not None and each.size == 2]
        if len(pairs) == 4 and pairs[2] == [2, 3]:
            self._slice_places(node, pairs[0], pairs[1], pairs[3])
            return
        if any(each is None or each.size != 1 for each in bounds[:3]):
            raise self._lacks(f"a Slice of several axes or of computed bounds ({name})")
        start, stop, axis, step = (1 if each is None else int(each.reshape(-1)[0]) for each in bounds)
        shape = self._shapes[node.input[0]]
        if axis != 1 or start < 0 or step < 1:
            raise self._lacks(f"a Slice that is not of channels from first to last ({name})")
        stop = min(stop, shape[1])
        if step == 1:
            self._crop(node.input[0], node.output[0], 0, start, stop)
            return
        # Every step-th channel: (n * step, h, w) as (n, step, h * w), of which one row is taken.
        count = len(range(start, stop, step))
        offset, (height, width) = start % step, shape[2:]
        first = start - offset
        if first + count * step > shape[1]:
            raise self._lacks(f"a Slice by {step} of {shape[1]} channels, which are no multiple ({name})")
        whole, rows, row = (f"{name}{OF}{part}" for part in ("whole", "rows", "row"))
        self._crop(node.input[0], whole, 0, first, first + count * step)
        self._add("Reshape", [whole], [rows], _0=height * width, _1=step, _2=count)
        self._crop(rows, row, 1, offset, offset + 1)
        self._add("Reshape", [row], node.output, _0=width, _1=height, _2=count)

    def _slice_places(self, node: Any, start: List[int], stop: List[int], step: List[int]) -> None:
        """A part of the map, or every n-th place of it: a pool of one place picks those."""
        sides = self._shapes[node.input[0]][2:]
        ends = [min(end, side) for end, side in zip(stop, sides)]
        part = node.output[0] if max(step) == 1 else f"{node.output[0]}{OF}part"
        self._add("Crop", node.input[:1], [part], _9=start, _10=ends, _11=[1, 2])
        if max(step) > 1:
            size = {"_1": 1, "_11": 1, "_2": step[1], "_12": step[0]}
            self._add("Pooling", [part], node.output, _0=_MAX, _3=0, _14=0, _13=0, _15=0, _5=_VALID, **size)

    def _reshape(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        shape = self._constant_of(node, 1)
        if shape is None or shape.size != 4 or shape[0] not in (0, 1) or shape[1:].min() < 1:
            raise self._lacks(f"a Reshape that is not to a map of fixed size ({name})")
        self._add("Reshape", node.input[:1], node.output, _0=int(shape[3]), _1=int(shape[2]), _2=int(shape[1]))

    def _softmax(self, node: Any, name: str, attrs: Dict[str, Any]) -> None:
        if attrs.get("axis", -1) != 1:
            raise self._lacks(f"a Softmax of axis {attrs.get('axis', -1)} ({name})")
        self._add("Softmax", node.input, node.output, _0=0, _1=1)

    def _crop(self, source: str, target: str, axis: int, start: int, stop: int) -> None:
        self._add("Crop", [source], [target], _9=[start], _10=[stop], _11=[axis])

    def _binary(self, node: Any, name: str) -> None:
        kind, (first, *others) = _BINARY[node.op_type], node.input
        if len(node.input) == 1:
            self._add("Noop", [first], node.output)
        for at, other in enumerate(others, 1):
            output = node.output[0] if at == len(others) else f"{name}{OF}first{at}"
            self._pair(kind, name, first, other, output)
            first = output

    def _pair(self, kind: int, name: str, first: str, other: str, output: str) -> None:
        constant = self._constants.get(other)
        if first in self._constants or (constant is not None and constant.size != 1):
            raise self._lacks(f"arithmetic with a constant tensor ({name})")
        if constant is not None:
            self._add("BinaryOp", [first], [output], _0=kind, _1=1, _2=float(constant.reshape(-1)[0]))
        else:
            self._add("BinaryOp", [first, other], [output], _0=kind)


def _fuse_gates(layers: List[_Layer], outputs: Sequence[str]) -> List[_Layer]:
    """x * sigmoid(x) as one Swish, x * tanh(softplus(x)) as one Mish: less memory is read and written."""
    producers = {output: layer for layer in layers for output in layer.outputs}
    uses = _count_uses(layers, outputs)
    dead: Set[int] = set()
    fused = []
    for layer in layers:
        gate = producers.get(layer.inputs[1]) if layer.kind == "BinaryOp" and len(layer.inputs) == 2 else None
        inner = producers.get(gate.inputs[0]) if gate and gate.kind == "TanH" else None
        source = inner if inner and inner.kind == "Softplus" else gate if gate and gate.kind == "Sigmoid" else None
        chain = [each for each in (gate, inner) if each] if source else []
        single = all(uses[each.outputs[0]] == 1 for each in chain)
        if source and single and layer.fields[0] == _BINARY["Mul"] and source.inputs == layer.inputs[:1]:
            dead.update(map(id, chain))
            layer = _Layer("Mish" if inner else "Swish", layer.inputs[:1], layer.outputs)
        fused.append(layer)
    return [layer for layer in fused if id(layer) not in dead]


def _fuse_activations(layers: List[_Layer], outputs: Sequence[str]) -> List[_Layer]:
    """Activations into the convolution before them, where nothing else reads it."""
    producers = {output: layer for layer in layers for output in layer.outputs}
    uses = _count_uses(layers, outputs)
    result = []
    for layer in layers:
        before = producers.get(layer.inputs[0]) if len(layer.inputs) == 1 else None
        fields = _activation_fields(layer)
        is_read_once = before is not None and uses[layer.inputs[0]] == 1
        if before and fields and is_read_once and before.kind.startswith("Convolution") and 9 not in before.fields:
            before.fields.update(fields)
            before.outputs = layer.outputs
            producers[layer.outputs[0]] = before
            continue
        result.append(layer)
    return result


def _activation_fields(layer: _Layer) -> Dict[int, Any]:
    """What a convolution has in its fields 9 and 10 for an activation; {} where it can have none."""
    if layer.kind == "ReLU":
        slope = layer.fields.get(0, 0)
        return {9: 2, 10: [slope]} if slope else {9: 1}
    if layer.kind == "Clip":
        return {9: 3, 10: [layer.fields[0], layer.fields[1]]}
    kinds = {"Sigmoid": 4, "Mish": 5}
    return {9: kinds[layer.kind]} if layer.kind in kinds else {}


def _split_shared(layers: List[_Layer], outputs: Sequence[str]) -> List[_Layer]:
    """A Split behind every blob that several layers read, for in ncnn each blob has one reader."""
    uses = _count_uses(layers, outputs)
    result = []
    unread: Dict[str, List[str]] = {}
    for layer in layers:
        layer.inputs = [unread[name].pop() if name in unread else name for name in layer.inputs]
        result.append(layer)
        for at, name in enumerate(layer.outputs):
            if uses[name] < 2:
                continue
            # An output keeps its name as one of the copies: the caller is one of the readers.
            whole = f"{name}{OF}whole" if name in outputs else name
            copies = [f"{name}{OF}{i}" for i in range(uses[name] - (name in outputs))]
            layer.outputs = [*layer.outputs[:at], whole, *layer.outputs[at + 1 :]]
            result.append(_Layer("Split", [whole], [*copies, *([name] if name in outputs else [])]))
            unread[name] = copies[:]
    return result


def _count_uses(layers: Sequence[_Layer], outputs: Sequence[str]) -> Dict[str, int]:
    """How many layers read each blob, and the caller."""
    return Counter((*(name for layer in layers for name in layer.inputs), *outputs))
