"""Small ONNX files that end as other exporters' do: the layout of each family, and values we chose in it.

Nothing here imports edgecsp. `planted` gives a file whose outputs are known exactly; `finder` one that looks at
the image and puts a box on every red cell.
"""

from __future__ import annotations

import io
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

COCO80 = str({i: f"thing {i}" for i in range(80)})
ULTRALYTICS = {
    "description": "Ultralytics YOLOv8n model trained on coco.yaml",
    "author": "Ultralytics",
    "version": "8.2.0",
    "license": "AGPL-3.0 License (https://ultralytics.com/license)",
    "stride": "32",
    "task": "detect",
    "batch": "1",
    "imgsz": "[96, 128]",
    "names": COCO80,
}
HW = (96, 128)


def cells(hw: Tuple[int, int] = HW, strides: Sequence[int] = (8, 16, 32)) -> int:
    return sum((hw[0] // s) * (hw[1] // s) for s in strides)


def cell_of(row: int, hw: Tuple[int, int], strides: Sequence[int] = (8, 16, 32)) -> Tuple[int, int, int]:
    """The (column, row, stride) of a place in the concatenated grids."""
    for stride in strides:
        width, height = hw[1] // stride, hw[0] // stride
        if row < width * height:
            return row % width, row // width, stride
        row -= width * height
    raise IndexError(row)


class Graph:
    """Nodes and constants, put together by hand."""

    def __init__(self) -> None:
        self.nodes: List[Any] = []
        self.consts: List[Any] = []

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"const{len(self.consts)}"
        self.consts.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def node(self, op: str, *inputs: str, out: str = "", **attrs: Any) -> str:
        out = out or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=f"/{out}", **attrs))
        return out

    def save(
        self,
        outputs: Mapping[str, Sequence[Any]],
        *,
        integers: Sequence[str] = (),
        shape: Sequence[Any] = (1, 3, *HW),
        props: Optional[Dict[str, str]] = None,
        opset: int = 13,
        dtype: int = TensorProto.FLOAT,
        extra_inputs: Sequence[Any] = (),
    ) -> bytes:
        kind = TensorProto.FLOAT if dtype == TensorProto.UINT8 else dtype
        graph = helper.make_graph(
            self.nodes,
            "main_graph",
            [helper.make_tensor_value_info("images", dtype, list(shape)), *extra_inputs],
            [
                helper.make_tensor_value_info(name, TensorProto.INT64 if name in integers else kind, list(dims))
                for name, dims in outputs.items()
            ],
            initializer=self.consts,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        helper.set_model_props(proto, props or {})
        return proto.SerializeToString()


def planted(
    outputs: Dict[str, np.ndarray],
    *,
    arithmetic: bool = True,
    exp: bool = False,
    half: bool = False,
    declared: Optional[Dict[str, Sequence[Any]]] = None,
    **saved: Any,
) -> bytes:
    """A graph that gives these arrays whatever the image; as the last row of a raw one it gives 0.

    `arithmetic`: behind a convolution the values are computed (as decoded heads are); else they are laid out only.
    `declared`: the shapes that the file says, when not the true ones.
    """
    g = Graph()
    dtype = np.float16 if half else np.float32
    channels = saved.get("shape", (1, 3, *HW))[1]
    zero = g.node("Conv", "images", g.const(np.zeros((1, channels, 1, 1)), dtype))
    zero = g.node("ReduceMax", zero, axes=[0, 1, 2, 3], keepdims=0)
    if exp:
        zero = g.node("Sub", g.node("Exp", zero), g.const(1, dtype))
    for name, values in outputs.items():
        if arithmetic:
            g.node("Add", g.const(values, dtype), zero, out=name)
        else:
            fields = values.shape[2]
            kernel = g.const(np.zeros((fields, 3, *HW)), dtype)
            last = g.node("Reshape", g.node("Conv", "images", kernel), g.const([1, fields, 1], np.int64))
            rest = g.const(values[:, :-1].transpose(0, 2, 1), dtype)
            g.node("Transpose", g.node("Concat", rest, last, axis=2), out=name, perm=[0, 2, 1])
    dims: Dict[str, Sequence[Any]] = {name: values.shape for name, values in outputs.items()}
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    return g.save(declared or dims, dtype=kind, **saved)


def finder(family: str, hw: Tuple[int, int], **saved: Any) -> bytes:
    """A network of one class that sees red: at every cell whose middle pixel is red it puts a box of 2 x 2 cells.

    "yolox" as YOLOX gives it, raw, of a BGR image of 0..255; "yolov8" decoded, of an RGB image of 0..1.
    """
    raw = family == "yolox"
    top, red, others = (255.0, 2, (0, 1)) if raw else (1.0, 0, (1, 2))
    g = Graph()
    scores, places = [], []
    for stride in (8, 16, 32):
        kernel = np.zeros((1, 3, stride, stride), np.float32)
        kernel[0, red, stride // 2, stride // 2] = 40 / top
        for other in others:
            kernel[0, other, stride // 2, stride // 2] = -40 / top
        x = g.node("Conv", "images", g.const(kernel), g.const([-20.0]), strides=[stride, stride])
        scores.append(g.node("Reshape", g.node("Sigmoid", x), g.const([1, 1, -1], np.int64)))
        places.append((hw[0] // stride) * (hw[1] // stride))
    total = sum(places)
    score = g.node("Concat", *scores, axis=2)
    if raw:
        box = np.zeros((1, 4, total), np.float32)
        box[:, :2], box[:, 2:] = 0.5, np.log(2)
        out = g.node("Concat", g.const(box), score, g.const(np.ones((1, 1, total))), axis=1)
        g.node("Transpose", out, out="output", perm=[0, 2, 1])
        return g.save({"output": (1, total, 6)}, shape=(1, 3, *hw), **saved)
    middles = [cell_of(i, hw) for i in range(total)]
    box = np.array([[(x + 0.5) * s, (y + 0.5) * s, 2 * s, 2 * s] for x, y, s in middles]).T[None]
    box_name = g.node("Mul", g.const(box), g.const(1.0))
    g.node("Concat", box_name, score, out="output0", axis=1)
    return g.save({"output0": (1, 5, total)}, shape=(1, 3, *hw), **saved)


def free_size(classes: int, **saved: Any) -> bytes:
    """A YOLOv8-like graph of dynamic axes: its number of cells follows from the image."""
    g = Graph()
    levels = []
    for stride in (8, 16, 32):
        bias = np.full(4 + classes, 0.01 * stride, np.float32)
        kernel = g.const(np.zeros((4 + classes, 3, stride, stride)))
        x = g.node("Conv", "images", kernel, g.const(bias), strides=[stride, stride])
        levels.append(g.node("Reshape", x, g.const([0, 4 + classes, -1], np.int64)))
    x = g.node("Concat", *levels, axis=2)
    g.node("Mul", x, g.const(2.0), out="output0")
    free = ("batch", 3, "height", "width")
    return g.save({"output0": ("batch", 4 + classes, "anchors")}, shape=free, **saved)


def external(data: bytes, location: str) -> Tuple[bytes, bytes]:
    """The same file with its largest constant kept in another one: (file, other file)."""
    proto = onnx.load_model(io.BytesIO(data))
    tensor = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(content)))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return proto.SerializeToString(), content
