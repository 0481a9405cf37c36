"""A tape and its weights -> ONNX: opset 13, batch-norm folded, no plugin, outputs at the raw heads.

Opset 13 and IR 7 are what TensorRT 8.2 on the Jetson TX2 reads. Every op used is free of the batch and
image size (slices act on channels, resizes by factor), so `onnx_model.reshape` may change either; a network with a
crop, a reorg or a connected layer, whose sizes stand in the graph, keeps its image size.
"""

from __future__ import annotations

import io
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from ..types import Array
from .layers import Layer, Net
from .weights import BN_EPSILON, GraphWeights, RandomWeights, Weights, fold_batch_norm, kernel_shape, stored_parts

__all__ = [
    "BN_EPSILON", "INPUT", "IR_VERSION", "OPSET", "GraphWeights", "RandomWeights", "Weights", "field_head",
    "fold_batch_norm", "to_bytes",
]  # fmt: skip

OPSET = 13
IR_VERSION = 7
INPUT = "images"


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
        if not stored_parts(layer):
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

    shape: Tuple[int, ...] = kernel_shape(layer)
    fields = []
    for part, dims in (("weight", shape), ("bias", shape[:1])):
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
        a, source = layer.attrs, layer.attrs.get("source", index)
        # Weights that are shared are written also where no head needs the layer that brings them.
        kernel = self.kernels.setdefault(source, _name(source, self.net.layers[source]))
        inputs = [*self._inputs(layer), f"{kernel}.weight", f"{kernel}.bias"]
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

    _shared_conv = _connected = _batchnorm = _conv

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

    def _shift(self, name: str, index: int, layer: Layer) -> None:
        by = self._const(f"{name}.by", np.float32(layer.attrs["by"]))
        self._node("Add", index, [*self._inputs(layer), by], name)

    def _crop(self, name: str, index: int, layer: Layer) -> None:
        (x,) = self._inputs(layer)
        a, (_, h, w) = layer.attrs, layer.shape
        self._slice_places(name, x, (a["top"], a["left"]), (a["top"] + h, a["left"] + w), 1, self._names[index])

    def _slice_places(
        self, name: str, x: str, start: Tuple[int, int], stop: Tuple[int, int], step: int, out: str
    ) -> None:
        from onnx import helper

        bounds = (("start", start), ("stop", stop), ("axis", (2, 3)), ("step", (step, step)))
        consts = [self._const(f"{name}.{key}", np.array(values, np.int64)) for key, values in bounds]
        self.nodes.append(helper.make_node("Slice", [x, *consts], [out], name=name))

    def _reorg3d(self, name: str, index: int, layer: Layer) -> None:
        self._space_to_depth(name, self._inputs(layer)[0], layer.attrs["block"], self._names[index])

    def _space_to_depth(self, name: str, x: str, block: int, out: str) -> None:
        # Strided slices side by side: SpaceToDepth itself is not known to every engine.
        from onnx import helper

        parts, end = [], np.iinfo(np.int32).max
        for place in range(block * block):
            parts.append(f"{name}.{place}")
            self._slice_places(parts[-1], x, divmod(place, block), (end, end), block, parts[-1])
        self.nodes.append(helper.make_node("Concat", parts, [out], name=name, axis=1))

    def _reorg(self, name: str, index: int, layer: Layer) -> None:
        (x,) = self._inputs(layer)
        block, (c, h, w) = layer.attrs["block"], layer.shape
        inner, outer = (c // block**4, h * block**2, w * block**2), (c, h, w)
        self._reshape(f"{name}.laid", x, inner, f"{name}.laid")
        self._space_to_depth(f"{name}.depth", f"{name}.laid", block, f"{name}.depth")
        self._reshape(name, f"{name}.depth", outer, self._names[index])

    def _reshape(self, name: str, x: str, shape: Tuple[int, int, int], out: str) -> None:
        from onnx import helper

        dims = self._const(f"{name}.shape", np.array((0, *shape), np.int64))  # 0: the batch stays
        self.nodes.append(helper.make_node("Reshape", [x, dims], [out], name=name))

    def _softmax(self, name: str, index: int, layer: Layer) -> None:
        from onnx import helper

        (x,) = self._inputs(layer)
        groups = layer.attrs["groups"]
        if groups == 1:
            self._node("Softmax", index, [x], name, axis=1)
            return
        share, parts = layer.shape[0] // groups, []
        for group in range(groups):
            part = f"{name}.{group}"
            self._slice_node(part, x, group * share, (group + 1) * share, 1)
            self.nodes.append(helper.make_node("Softmax", [part], [f"{part}.soft"], name=f"{part}.soft", axis=1))
            parts.append(f"{part}.soft")
        self._node("Concat", index, parts, name, axis=1)

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
