"""Edit the inputs of another exporter's graph: one float32 image, (1, C, H, W), and nothing else.

A batch axis is added where a graph has none, further inputs that exporters are known to have become constants, and
images of bytes are cast. A graph that was exported for several images is made one of a single image where it can.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import BadModel, UsageError
from ...types import Array
from . import probe
from .graph import format_sides, free_name

MAX_SIDE = 8192
MAX_BATCH = 256
DEFAULT_SIDE = 640

Hw = Tuple[int, int]
# Inputs beside the image, without their batch axis. The first three make a graph scale its boxes to the original image:
# with these values it gives them in the network's pixels. The last says which pixels are no padding. Sources:
# PaddleDetection's export (scale_factor, im_shape), RT-DETR's and D-FINE's own, transformers' DETR.
_CONSTANTS: Dict[str, Callable[[Hw], Array]] = {
    "scale_factor": lambda hw: np.ones(2),
    "im_shape": lambda hw: np.array(hw),
    "orig_target_sizes": lambda hw: np.array(hw[::-1]),
    "pixel_mask": np.ones,
}


class ImageInput(NamedTuple):
    """Facts about the input that was: whether sizes were free, its batch and the name of that axis, other inputs."""

    measure: bool
    batch: int
    batch_name: str
    extra: FrozenSet[str]
    has_bytes: bool
    has_batch_axis: bool


def fix(proto: Any, filename: str, hw: Optional[Hw], metadata_hw: Optional[Hw]) -> ImageInput:
    """Give a graph one float32 image input of a fixed size.

    `hw` is what the user asks for, `metadata_hw` what the metadata says (640 square when neither does). Raises
    `BadModel` for a graph that takes no image, `UsageError` for a size it cannot take.
    """
    from onnx import TensorProto

    image, extra = _find_image(proto, filename)
    tensor = image.type.tensor_type
    has_bytes = tensor.elem_type == TensorProto.UINT8
    dims = list(tensor.shape.dim)
    has_batch_axis = len(dims) == 4
    sides = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
    batch_name = dims[0].dim_param if has_batch_axis else ""
    if not has_batch_axis:
        sides = [1, *sides]
    if sides[1] is None and sides[3] not in (1, 3):
        sides[1] = 3  # transformers' exporters leave the channels open, too
    fixed = _fixed_size(filename, image.name, sides, hw, metadata_hw)
    batch = sides[0] or 1
    shape = (batch, sides[1], *fixed)
    for dim, side in zip(dims, shape if has_batch_axis else shape[1:]):
        dim.dim_value = side
    for value in extra:
        _make_constant(proto, value, fixed)
    if not has_batch_axis:
        _feed(proto, "Reshape", shape[1:], (1, *shape[1:]))
    if has_bytes:
        _feed(proto, "Cast", int(TensorProto.UINT8), shape)
    names = frozenset(value.name for value in extra)
    return ImageInput(None in sides, batch, batch_name, names, has_bytes, has_batch_axis)


def _find_image(proto: Any, filename: str) -> Tuple[Any, List[Any]]:
    """Return the image input and the others that can be constants; inputs that are weights are removed."""
    from onnx import TensorProto

    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in weights]
    images = [value for value in fed if value.name not in _CONSTANTS]
    if len(images) != 1:
        names = ", ".join(repr(value.name) for value in fed[:6]) or "none"
        raise BadModel(f"{filename} has {len(fed)} inputs ({names}); a model here takes one image and nothing else")
    if len(fed) != len(graph.input):
        proto.ir_version = max(proto.ir_version, 4)  # before version 4 every weight had to be an input too
    extra = [value for value in fed if value is not images[0]]
    extra = [type(value).FromString(value.SerializeToString()) for value in extra]
    image = type(images[0]).FromString(images[0].SerializeToString())
    del graph.input[:]
    graph.input.append(image)
    image = graph.input[0]
    tensor = image.type.tensor_type
    if len(tensor.shape.dim) not in (3, 4):
        raise BadModel(f"{filename}: its input {image.name!r} has {len(tensor.shape.dim)} dimensions; an image has 4")
    if tensor.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8):
        kind = TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type in range(1, 17) else "no known type"
        raise BadModel(f"{filename}: its input {image.name!r} is {kind}; export it with a float32 input")
    return image, extra


def _fixed_size(
    filename: str, name: str, sides: Sequence[Optional[int]], hw: Optional[Hw], metadata_hw: Optional[Hw]
) -> Hw:
    if sides[1] not in (1, 3):
        nhwc = sides[3] in (1, 3)
        raise BadModel(
            f"{filename}: its input {name!r} is {format_sides(sides)}; an image is 1x3xHxW"
            + (" (this one has its channels last, as TensorFlow does: export it with channels first)" * nhwc)
        )
    if sides[0] is not None and sides[0] > MAX_BATCH:
        raise BadModel(f"{filename} was exported for batches of {sides[0]}; at most {MAX_BATCH}")
    target_hw = hw or metadata_hw or (DEFAULT_SIDE, DEFAULT_SIDE)
    height, width = (was or side for was, side in zip(sides[2:], target_hw))
    if hw is not None and (height, width) != hw:
        raise UsageError(
            f"{filename} was exported for images of {format_sides(sides[:1:-1])} and cannot take {hw[1]}x{hw[0]}; "
            "export it again at that size, or with dynamic axes"
        )
    if max(height, width) > MAX_SIDE:
        raise BadModel(f"{filename}: an input of {width}x{height} pixels; at most {MAX_SIDE} a side")
    return height, width


def _make_constant(proto: Any, value: Any, hw: Hw) -> None:
    from onnx import TensorProto, numpy_helper

    tensor = value.type.tensor_type
    dtype = {TensorProto.INT64: np.int64, TensorProto.INT32: np.int32}.get(tensor.elem_type, np.float32)
    values = np.asarray(_CONSTANTS[value.name](hw), dtype)
    if len(tensor.shape.dim) > values.ndim:
        values = np.repeat(values[None], max(1, tensor.shape.dim[0].dim_value), 0)
    proto.graph.initializer.append(numpy_helper.from_array(values, value.name))


def _feed(proto: Any, op: str, argument: Any, shape: Sequence[Any]) -> None:
    """Put a node before the image input: the graph then takes float32 images of `shape`, and the node the rest."""
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {tensor.name for tensor in graph.initializer}
    inner, elem_type = graph.input[0].name, graph.input[0].type.tensor_type.elem_type
    outer = free_name(f"{inner}_image", taken)
    if op == "Reshape":
        sides = free_name(f"{inner}_shape", taken)
        graph.initializer.append(numpy_helper.from_array(np.array(argument, np.int64), sides))
        node = helper.make_node(op, [outer, sides], [inner], name=outer)
    elif op == "Concat":
        node = helper.make_node(op, [outer] * argument, [inner], name=outer, axis=0)
    else:
        node, elem_type = helper.make_node(op, [outer], [inner], name=outer, to=argument), TensorProto.FLOAT
    graph.node.insert(0, node)
    graph.input[0].CopyFrom(helper.make_tensor_value_info(outer, elem_type, list(shape)))


# -- graphs of several images ----------------------------------------------------------------------------------


def make_single(proto: Any, filename: str, batch: int) -> str:
    """Make a float32 graph of `batch` images one of a single image; returns a note for the user.

    The batch is written smaller where the result stays the same, which a run of both shows; else the image is given
    `batch` times and the first result read, which costs as much as all of them.
    """
    padded, smaller = type(proto)(), type(proto)()
    padded.CopyFrom(proto)
    _pad(padded, batch)
    smaller.CopyFrom(proto)
    if probe.can_run(padded) and _shrink(smaller, batch) and _agree(padded, smaller, filename):
        proto.CopyFrom(smaller)
        return f"exported for batches of {batch}: made a graph of one image"
    proto.CopyFrom(padded)
    return f"exported for batches of {batch} and cannot be made smaller: every image is computed {batch} times"


def _pad(proto: Any, batch: int) -> None:
    from onnx import helper, numpy_helper

    graph = proto.graph
    sides = probe.image_shape(proto)
    _feed(proto, "Concat", batch, (1, *sides[1:]))
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    first = free_name("first_image", taken)
    graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), first))
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        if not dims or dims[0].dim_value != batch:
            continue
        every = free_name(f"{value.name}_every", taken)
        for node in graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    names[i] = every if name == value.name else name
        graph.node.append(helper.make_node("Gather", [every, first], [value.name], name=every, axis=0))
        dims[0].dim_value = 1


def _shrink(proto: Any, batch: int) -> bool:
    """Write 1 for the batch into the input, the outputs and the shapes that the graph holds as constants.

    False for a graph whose constants cannot be read.
    """
    from onnx import numpy_helper

    graph = proto.graph
    for value in (graph.input[0], *graph.output):
        for dim in value.type.tensor_type.shape.dim[:1]:
            dim.dim_value = 1 if dim.dim_value == batch else dim.dim_value
    del graph.value_info[:]
    shapes = {node.input[1] for node in graph.node if node.op_type in ("Reshape", "Expand") and len(node.input) > 1}
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    constants.update((tensor.name, tensor) for tensor in graph.initializer)
    for name in shapes & constants.keys():
        try:
            values = numpy_helper.to_array(constants[name]).copy()
        except (ValueError, TypeError):
            return False
        if values.ndim == 1 and values.size and values[0] == batch:
            values[0] = 1
            constants[name].CopyFrom(numpy_helper.from_array(values, constants[name].name))
    return True


def _agree(padded: Any, smaller: Any, filename: str) -> bool:
    shape = probe.image_shape(padded)
    image = np.random.default_rng(0).random(shape, np.float32)
    expected = probe.run(padded, filename, image)
    try:
        results: List[Array] = probe.run(smaller, filename, image)
    except BadModel:
        return False
    return all(
        one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-3)
        for one, other in zip(expected, results)
    )
