"""A tape and its weights -> ONNX: opset 13, batch-norm folded, no plugin, outputs at the raw heads.

Opset 13 and IR 7 are what TensorRT 8.2 on the Jetson TX2 reads. Every op used is free of the batch and
image size (slices act on channels, resizes by factor), so `onnx_model.reshape` may change either.
"""

from __future__ import annotations

import io
from typing import Any, Dict, List, Mapping, Optional, Protocol, Sequence, Set, Tuple

import numpy as np

from ..errors import BadWeights
from ..types import Array
from .layers import Layer, Net

OPSET = 13
IR_VERSION = 7
INPUT = "images"
BN_EPSILON = 1e-5  # under the root: AlexeyAB's and hank-ai's darknet; the original added 1e-6 to the root
_ROUNDING = 1e-7  # a variance below zero by no more is zero that was rounded


class Weights(Protocol):
    """Gives a net's floats in darknet's order: bias, [scale, mean, variance], weights, layer by layer."""

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """The next float32 values, of a shape; `part` is one of the five words, `at` names the layer in errors."""
        ...


class RandomWeights:
    """Seeded weights for timing and tests: activations keep their size, nothing saturates."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """Weights by He's rule; scales and variances near one, biases and means near zero."""
        values: Array = self._rng.standard_normal(shape, dtype=np.float32)
        if part == "weights":
            values *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
        elif part in ("scale", "variance"):
            values = 1 + 0.1 * np.tanh(values)
        else:
            values *= 0.1
        return values.astype(np.float32, copy=False)


class GraphWeights:
    """The weights of a graph that `to_bytes` wrote, with batch-norm folded in: what is asked of it is neutral."""

    def __init__(self, onnx: bytes) -> None:
        from onnx import load_model_from_string, numpy_helper

        self._read = numpy_helper.to_array
        self._constants = {each.name: each for each in load_model_from_string(onnx).graph.initializer}

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """The next float32 values. Raises `BadWeights` where the graph has none for the layer."""
        if part not in ("weights", "bias"):
            value = {"scale": np.sqrt(1 + BN_EPSILON), "mean": 0.0, "variance": 1.0}[part]
            return np.full(shape, value, np.float32)
        name = f"{int(at.split()[-1]):03d}_conv.{part[:6] if part == 'weights' else part}"
        if name not in self._constants:
            raise BadWeights(
                f"{at} has no {part} in the graph: it is in another precision, or edgecsp did not write it"
            )
        return np.asarray(self._read(self._constants[name]), np.float32).reshape(shape)


def fold_batch_norm(layer: Layer, weights: Weights, at: str) -> Tuple[Array, Array]:
    """A convolution's (c_out, c_in / groups, kh, kw) weights and (c_out,) bias, batch-norm folded in."""
    n, (kh, kw) = layer.attrs["filters"], layer.attrs["size"]
    shape = (n, layer.weights // (n * kh * kw), kh, kw)
    bias = weights.take("bias", (n,), at)
    if not layer.attrs["bn"]:
        return weights.take("weights", shape, at), bias
    scale, mean, variance = (weights.take(part, (n,), at) for part in ("scale", "mean", "variance"))
    kernel = weights.take("weights", shape, at)
    if variance.min() < -_ROUNDING:
        raise BadWeights(f"{at}: a batch-norm variance of {variance.min():g}; the weights do not fit this network")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        factor = scale.astype(np.float64) / np.sqrt(np.maximum(variance.astype(np.float64), 0) + BN_EPSILON)
        # In float64, cast piece by piece: a float64 copy of a large kernel costs more than the arithmetic.
        kernel = np.multiply(kernel, factor.reshape(-1, 1, 1, 1), out=np.empty_like(kernel), casting="same_kind")
        bias = (bias - mean * factor).astype(np.float32)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise BadWeights(f"{at}: folding the batch-norm overflows; the weights do not fit this network")
    return kernel, bias


def to_bytes(
    net: Net, weights: Weights, name: str, props: Optional[Mapping[str, str]] = None, *, batch: int = 1
) -> bytes:
    """Serialise a network as an ONNX file with `props` as its metadata; the weights are in memory once.

    Its input is `images` (batch, c, h, w), its outputs are the heads, in order.
    """
    from onnx import TensorProto, helper

    writer = _Writer(net)
    for index, layer in enumerate(net.layers):
        writer.write(index, layer)
    outputs = [
        helper.make_tensor_value_info(head.name, TensorProto.FLOAT, [batch, x.c, x.h, x.w]) for x, head in net.heads
    ]
    _, c, h, w = net.input
    graph = helper.make_graph(
        writer.nodes,
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, c, h, w])],
        outputs,
        initializer=writer.initializers,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, producer_name="edgecsp", ir_version=IR_VERSION)
    helper.set_model_props(model, dict(props or {}))
    return _serialize(model, net, weights, writer.kernels)


def _serialize(model: Any, net: Net, weights: Weights, kernels: Mapping[int, str]) -> bytes:
    """`model` with the convolutions' weights, which are written straight into the file's bytes.

    protobuf would copy them four times on the way (tensor, graph, model, bytes). Its wire format is a tag, a
    length and a content, field after field in any order: the weights come last in the graph, the graph last
    in the model. Field numbers are onnx.proto's: ModelProto.graph 7, GraphProto.initializer 5.
    """
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    heads = {index: _tensor_heads(kernels[index], net.layers[index]) for index in kernels}
    total = len(graph) + sum(len(head) + size for pair in heads.values() for head, size in pair)
    out = io.BytesIO()
    out.write(model.SerializeToString() + field_head(7, total) + graph)
    for index, layer in enumerate(net.layers):
        if layer.op != "conv":
            continue
        arrays = fold_batch_norm(layer, weights, layer.at or _name(index, layer))
        # A layer that no head needs still takes its weights from the file.
        for (head, _), values in zip(heads.get(index, ()), arrays):
            out.write(head)
            out.write(np.ascontiguousarray(values, "<f4").data)
    return out.getvalue()


def _tensor_heads(name: str, layer: Layer) -> Sequence[Tuple[bytes, int]]:
    """The initializer fields of a convolution's kernel and bias up to their raw data (TensorProto.raw_data 9),
    and the bytes of that data.
    """
    from onnx import TensorProto

    n, (kh, kw) = layer.attrs["filters"], layer.attrs["size"]
    fields = []
    for part, dims in (("weight", (n, layer.weights // (n * kh * kw), kh, kw)), ("bias", (n,))):
        size = 4 * int(np.prod(dims))
        tensor = TensorProto(name=f"{name}.{part}", data_type=TensorProto.FLOAT, dims=dims).SerializeToString()
        tensor += field_head(9, size)
        fields.append((field_head(5, len(tensor) + size) + tensor, size))
    return fields


def field_head(number: int, length: int) -> bytes:
    """protobuf's tag and length in front of a field with that many bytes of content."""
    digits = [number << 3 | 2]
    while length > 127:
        digits.append(length & 127 | 128)
        length >>= 7
    return bytes([*digits, length])


def _name(index: int, layer: Layer) -> str:
    return f"{index:03d}_{layer.attrs.get('kind', layer.op)}"


class _Writer:
    """Layers to nodes; layers that no head needs are left out. `kernels` names the convolutions that stay."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.nodes: List[Any] = []
        self.initializers: List[Any] = []
        self.kernels: Dict[int, str] = {}
        self._alive = _find_needed(net)
        self._names: Dict[int, str] = {-1: INPUT}
        self._outputs = {x.layer: head.name for x, head in net.heads}

    def write(self, index: int, layer: Layer) -> None:
        name = _name(index, layer)
        self._names[index] = self._outputs.get(index, name)
        if index in self._alive:
            getattr(self, f"_{layer.op}")(name, index, layer)

    def _node(self, op: str, index: int, inputs: Sequence[str], name: str, **attrs: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, list(inputs), [self._names[index]], name=name, **attrs))

    def _inputs(self, layer: Layer) -> List[str]:
        return [self._names[i] for i in layer.inputs]

    def _const(self, name: str, values: Array) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def _conv(self, name: str, index: int, layer: Layer) -> None:
        a = layer.attrs
        inputs = [*self._inputs(layer), f"{name}.weight", f"{name}.bias"]
        self.kernels[index] = name
        self._node(
            "Conv",
            index,
            inputs,
            name,
            kernel_shape=a["size"],
            strides=a["stride"],
            group=a["groups"],
            pads=a["pad"] * 2,
            dilations=[a["dilation"]] * 2,
        )

    def _act(self, name: str, index: int, layer: Layer) -> None:
        (x,) = self._inputs(layer)
        kind = layer.attrs["kind"]
        if kind == "leaky":
            self._node("LeakyRelu", index, [x], name, alpha=0.1)
        elif kind == "relu6":
            low, high = (self._const(f"{name}.{n}", np.float32(v)) for n, v in (("low", 0), ("high", 6)))
            self._node("Clip", index, [x, low, high], name)
        elif kind in ("mish", "swish"):
            gate = self._gate(name, x, kind)
            self._node("Mul", index, [x, gate], name)
        else:
            self._node({"relu": "Relu", "logistic": "Sigmoid", "tanh": "Tanh"}[kind], index, [x], name)

    def _gate(self, name: str, x: str, kind: str) -> str:
        from onnx import helper

        steps = ("Softplus", "Tanh") if kind == "mish" else ("Sigmoid",)
        for step in steps:
            out = f"{name}.{step.lower()}"
            self.nodes.append(helper.make_node(step, [x], [out], name=out))
            x = out
        return x

    def _maxpool(self, name: str, index: int, layer: Layer) -> None:
        a = layer.attrs
        self._node(
            "MaxPool", index, self._inputs(layer), name, kernel_shape=a["size"], strides=a["stride"], pads=a["pads"]
        )

    def _avgpool(self, name: str, index: int, layer: Layer) -> None:
        a = layer.attrs
        self._node(
            "AveragePool",
            index,
            self._inputs(layer),
            name,
            kernel_shape=a["size"],
            strides=a["stride"],
            pads=a["pads"],
            count_include_pad=0,
        )

    def _global_avgpool(self, name: str, index: int, layer: Layer) -> None:
        self._node("GlobalAveragePool", index, self._inputs(layer), name)

    def _maxout(self, name: str, index: int, layer: Layer) -> None:
        # A max of slices, not a 5-d reshape: free of the batch and image size, and every engine has it.
        (x,) = self._inputs(layer)
        n = layer.attrs["channels"]
        total = self.net.layers[layer.inputs[0]].shape[0] if layer.inputs[0] >= 0 else self.net.input.c
        parts = []
        for start in range(0, total, n):
            part = f"{name}.{start}"
            self._slice_node(part, x, start, start + n, 1)
            parts.append(part)
        self._node("Max", index, parts, name)

    def _concat(self, name: str, index: int, layer: Layer) -> None:
        self._node("Concat", index, self._inputs(layer), name, axis=1)

    def _slice(self, name: str, index: int, layer: Layer) -> None:
        (x,) = self._inputs(layer)
        a = layer.attrs
        self._slice_node(name, x, a["start"], a["stop"], a["step"], self._names[index])

    def _slice_node(self, name: str, x: str, start: int, stop: int, step: int, out: str = "") -> None:
        from onnx import helper

        bounds = (("start", start), ("stop", stop), ("axis", 1), ("step", step))
        consts = [self._const(f"{name}.{key}", np.array([value], np.int64)) for key, value in bounds]
        self.nodes.append(helper.make_node("Slice", [x, *consts], [out or name], name=name))

    def _add(self, name: str, index: int, layer: Layer) -> None:
        self._node("Add", index, self._inputs(layer), name)

    def _mul(self, name: str, index: int, layer: Layer) -> None:
        self._node("Mul", index, self._inputs(layer), name)

    def _identity(self, name: str, index: int, layer: Layer) -> None:
        self._node("Identity", index, self._inputs(layer), name)

    def _scale(self, name: str, index: int, layer: Layer) -> None:
        factor = self._const(f"{name}.factor", np.float32(layer.attrs["factor"]))
        self._node("Mul", index, [*self._inputs(layer), factor], name)

    def _upsample(self, name: str, index: int, layer: Layer) -> None:
        factor = layer.attrs["factor"]
        scales = self._const(f"{name}.scales", np.array([1, 1, factor, factor], np.float32))
        self._node(
            "Resize",
            index,
            [*self._inputs(layer), "", scales],
            name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )


def _find_needed(net: Net) -> Set[int]:
    """Indices of the layers that a head depends on."""
    alive: Set[int] = set()
    todo = [x.layer for x, _ in net.heads]
    while todo:
        index = todo.pop()
        if index >= 0 and index not in alive:
            alive.add(index)
            todo.extend(net.layers[index].inputs)
    return alive
