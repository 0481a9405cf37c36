"""Edit another exporter's ONNX graph: weights inside, float32, outputs of known shape.

Every function edits the `onnx.ModelProto` it is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import BadModel
from ...graph.precision import fp16
from . import probe

# Operators whose results are as long as the data has it.
_DATA_DEPENDENT = {"Compress", "NonMaxSuppression", "NonZero", "Unique"}


class GraphOutput(NamedTuple):
    """An output of the graph and its shape, batch first; a side of 0 is another for every image.

    `is_integer` says that it holds whole numbers: classes or a count.
    """

    name: str
    shape: Tuple[int, ...]
    is_integer: bool = False

    def __str__(self) -> str:
        return f"{self.name!r} {format_sides(self.shape)}"


def embed_external(proto: Any, folder: Optional[Path], filename: str) -> None:
    """Embed weights that are stored in external files. Raises `BadModel`."""
    from onnx import TensorProto, checker, external_data_helper

    tensors = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    if not tensors:
        return
    names = sorted({entry.value for t in tensors for entry in t.external_data if entry.key == "location"})
    if folder is None:
        raise BadModel(f"{filename} keeps its weights in other files ({', '.join(names[:3])}); load it from its folder")
    try:
        external_data_helper.load_external_data_for_model(proto, str(folder))
    except (OSError, ValueError, checker.ValidationError) as error:
        raise BadModel(
            f"{filename} keeps its weights in {', '.join(names[:3])}, which cannot be read beside it ({error}); "
            "put the files into one folder, or export again into one file"
        ) from error


def convert_to_float32(proto: Any) -> bool:
    """Make a float16 graph one of float32, weights and all; returns whether there was anything to convert.

    Not every engine computes in float16, and none takes such images; `--precision` asks for it where it is there.
    Raises `BadModel`.
    """
    from onnx import TensorProto

    ends = (value.type.tensor_type.elem_type for value in (*proto.graph.input, *proto.graph.output))
    if TensorProto.FLOAT16 not in {*ends, *(tensor.data_type for tensor in proto.graph.initializer)}:
        return False
    fp16.widen(proto)
    return True


def read_outputs(proto: Any, filename: str, *, measure: bool, batch_name: str = "") -> Tuple[GraphOutput, ...]:
    """Read the outputs and their shapes; with `measure`, or where the file has none, by one run on onnxruntime.

    Writes the shapes into the graph. `batch_name` is what the file calls an axis of images. Raises `BadModel`.
    """
    from onnx import TensorProto

    values = list(proto.graph.output)
    if not values:
        raise BadModel(f"{filename} has no output")
    if not all(isinstance(value.name, str) for value in values):  # protobuf gives bytes for what is no text
        raise BadModel(f"{filename}: the name of an output is not text ({values[0].name!r})")
    declared = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values]
    integers = (TensorProto.INT32, TensorProto.INT64)
    shapes: Sequence[Sequence[int]] = declared
    if measure or not all(sides and min(sides) > 0 for sides in declared):
        depends = any(node.op_type in _DATA_DEPENDENT for node in proto.graph.node)
        varies = [_varying(value, batch_name) if depends else () for value in values]
        shapes = [
            [0 if axis in axes else side for axis, side in enumerate(sides)]
            for axes, sides in zip(varies, _measure_shapes(proto, filename))
        ]
        for value, shape in zip(values, shapes):
            set_dims(value, shape)
        del proto.graph.value_info[:]  # what it says of free axes is true no more
    return tuple(
        GraphOutput(value.name, tuple(shape), value.type.tensor_type.elem_type in integers)
        for value, shape in zip(values, shapes)
    )


def _varying(value: Any, batch_name: str) -> Tuple[int, ...]:
    """Axes of an output that are as long as the data has it: not the batch of a stack, nor a fixed side."""
    dims = value.type.tensor_type.shape.dim
    free = [i for i, dim in enumerate(dims) if dim.dim_value <= 0 and not (batch_name and dim.dim_param == batch_name)]
    return tuple(axis for axis in free if axis > 0 or len(dims) < 3)


def set_dims(value: Any, shape: Sequence[int]) -> None:
    """Write a shape into a graph's value; a side of 0 is left open."""
    dims = value.type.tensor_type.shape
    dims.ClearField("dim")
    for axis, side in enumerate(shape):
        dim = dims.dim.add()
        if side:
            dim.dim_value = side
        else:
            dim.dim_param = f"rows{axis}"


def _measure_shapes(proto: Any, filename: str) -> List[Tuple[int, ...]]:
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise BadModel(
            f"{filename} does not declare its output shapes, and onnxruntime, which could measure them, is not "
            "installed here; import it where it is installed, or export it with fixed shapes"
        ) from error
    shape = probe.image_shape(proto)
    if not probe.can_run(proto):
        raise BadModel(
            f"{filename} does not declare its output shapes at {format_sides(shape)}; export it with fixed shapes"
        )
    return [array.shape for array in probe.run(proto, filename, np.zeros(shape, np.float32))]


def select_outputs(proto: Any, names: Sequence[str]) -> None:
    """Keep only the named outputs, in this order."""
    values: Dict[str, Any] = {value.name: value for value in proto.graph.output}
    selected = [values[name] for name in names]
    del proto.graph.output[:]
    proto.graph.output.extend(selected)


def free_name(name: str, taken: Any) -> str:
    """Return a name that is not taken: this one, or it with underscores behind."""
    while name in taken:
        name += "_"
    return name


def format_sides(sides: Sequence[Optional[int]]) -> str:
    """Format a shape for people."""
    return "x".join(str(side) if side else "?" for side in sides)
