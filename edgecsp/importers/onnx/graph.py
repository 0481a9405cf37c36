"""Edit another exporter's ONNX graph: one float32 image in, static shapes, one output per head.

Every function edits the `onnx.ModelProto` it is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import BadModel, UsageError
from ...graph import onnx_model

MAX_SIDE = 8192
DEFAULT_SIDE = 640
MAX_MEASURED = 2048 * 2048  # pixels of an image run only to see shapes: a damaged file must not ask for gigabytes


class GraphOutput(NamedTuple):
    """An output of the graph and its shape, batch first."""

    name: str
    shape: Tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name!r} {'x'.join(str(side) for side in self.shape)}"


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


def fix_input(proto: Any, filename: str, hw: Optional[Tuple[int, int]], metadata_hw: Optional[Tuple[int, int]]) -> bool:
    """Give the image input a batch of 1 and a size; False when it had both already.

    `hw` is what the user asks for, `said_hw` what the metadata says (640 square when neither does). Raises
    `BadModel` for a graph that takes no image, `UsageError` for a size it cannot take.
    """
    image = _image_input(proto, filename)
    dims = image.type.tensor_type.shape.dim
    sides = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
    if sides[1] not in (1, 3):
        nhwc = sides[3] in (1, 3)
        raise BadModel(
            f"{filename}: its input {image.name!r} is {_format_sides(sides)}; an image is 1x3xHxW"
            + (" (this one has its channels last, as TensorFlow does: export it with channels first)" * nhwc)
        )
    if sides[0] not in (None, 1):
        raise BadModel(f"{filename} was exported for batches of {sides[0]}; export it again with batch=1 or dynamic")
    target_hw = hw or metadata_hw or (DEFAULT_SIDE, DEFAULT_SIDE)
    fixed = tuple(was or side for was, side in zip(sides[2:], target_hw))
    if hw is not None and fixed != hw:
        raise UsageError(
            f"{filename} was exported for images of {_format_sides(sides[:1:-1])} and cannot take {hw[1]}x{hw[0]}; "
            "export it again at that size, or with dynamic axes"
        )
    if max(fixed) > MAX_SIDE:
        raise BadModel(f"{filename}: an input of {fixed[1]}x{fixed[0]} pixels; at most {MAX_SIDE} a side")
    changed = None in sides
    for dim, side in zip(dims, (1, sides[1], *fixed)):
        dim.dim_value = side
    return changed


def _image_input(proto: Any, filename: str) -> Any:
    """Return the single image input, four-dimensional and of floats; inputs that are weights are removed."""
    from onnx import TensorProto

    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in weights]
    if len(fed) != 1:
        names = ", ".join(repr(value.name) for value in fed[:6]) or "none"
        raise BadModel(f"{filename} has {len(fed)} inputs ({names}); a model here takes one image and nothing else")
    if len(fed) != len(graph.input):
        del graph.input[:]
        graph.input.append(fed[0])
        proto.ir_version = max(proto.ir_version, 4)  # before version 4 every weight had to be an input too
    image = graph.input[0]
    tensor = image.type.tensor_type
    if len(tensor.shape.dim) != 4:
        raise BadModel(f"{filename}: its input {image.name!r} has {len(tensor.shape.dim)} dimensions; an image has 4")
    if tensor.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        kind = TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type in range(1, 17) else "no known type"
        raise BadModel(f"{filename}: its input {image.name!r} is {kind}; export it with a float32 input")
    return image


def cast_to_float32(proto: Any) -> bool:
    """Cast a float16 graph's inputs and outputs to float32; returns whether there was anything to cast."""
    from onnx import TensorProto, helper

    graph, cast = proto.graph, False
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    for value in (*graph.input, *graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT16:
            continue
        inner, outer = value.name, _free_name(f"{value.name}_float32", taken)
        if value in graph.input:
            graph.node.insert(0, helper.make_node("Cast", [outer], [inner], name=outer, to=TensorProto.FLOAT16))
        else:
            graph.node.append(helper.make_node("Cast", [inner], [outer], name=outer, to=TensorProto.FLOAT))
        value.name, tensor.elem_type, cast = outer, TensorProto.FLOAT, True
    return cast


def read_outputs(proto: Any, filename: str, *, measure: bool) -> Tuple[GraphOutput, ...]:
    """Read the outputs and their shapes; with `measure`, or where the file has none, by one run on onnxruntime.

    Writes the shapes into the graph. Raises `BadModel`.
    """
    declared = [
        GraphOutput(value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim))
        for value in proto.graph.output
    ]
    if not declared:
        raise BadModel(f"{filename} has no output")
    if not all(isinstance(output.name, str) for output in declared):  # protobuf gives bytes for what is no text
        raise BadModel(f"{filename}: the name of an output is not text ({declared[0].name!r})")
    if not measure and all(output.shape and min(output.shape) > 0 for output in declared):
        return tuple(declared)
    shapes = _measure_shapes(proto, filename)
    for value, shape in zip(proto.graph.output, shapes):
        dims = value.type.tensor_type.shape
        dims.ClearField("dim")
        for side in shape:
            dims.dim.add().dim_value = side
    del proto.graph.value_info[:]  # what it says of free axes is true no more
    return tuple(GraphOutput(output.name, shape) for output, shape in zip(declared, shapes))


def _measure_shapes(proto: Any, filename: str) -> List[Tuple[int, ...]]:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BadModel(
            f"{filename} does not declare its output shapes, and onnxruntime, which could measure them, is not "
            "installed here; import it where it is installed, or export it with fixed shapes"
        ) from error

    image = proto.graph.input[0]
    shape = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    if shape[2] * shape[3] > MAX_MEASURED:
        raise BadModel(
            f"{filename} does not declare its output shapes at {_format_sides(shape)}; export it with fixed shapes"
        )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(
            onnx_model.serialize(proto, filename), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )  # its fallback is the same provider again, with a banner on stdout
        arrays = session.run(None, {image.name: np.zeros(shape, np.float32)})
    except BadModel:
        raise
    except Exception as error:  # onnxruntime's errors share no class that it exports
        raise BadModel(f"{filename}: onnxruntime cannot run it at {_format_sides(shape)}: {error}") from error
    return [tuple(int(side) for side in np.shape(array)) for array in arrays]


def join_outputs(proto: Any, boxes: GraphOutput, scores: GraphOutput) -> GraphOutput:
    """Concatenate boxes (1, N, 1, 4) or (1, N, 4) and scores (1, N, C) into one new output (1, N, 4 + C)."""
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    flat, name, shape = (_free_name(word, taken) for word in ("boxes_flat", "detections", "boxes_shape"))
    rows = boxes.shape[1]
    graph.initializer.append(numpy_helper.from_array(np.array([1, rows, 4], np.int64), shape))
    graph.node.append(helper.make_node("Reshape", [boxes.name, shape], [flat], name=flat))
    graph.node.append(helper.make_node("Concat", [flat, scores.name], [name], name=name, axis=2))
    output = GraphOutput(name, (1, rows, 4 + scores.shape[2]))
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, output.shape))
    return output


def select_outputs(proto: Any, names: Sequence[str]) -> None:
    """Keep only the named outputs, in this order."""
    values: Dict[str, Any] = {value.name: value for value in proto.graph.output}
    selected = [values[name] for name in names]
    del proto.graph.output[:]
    proto.graph.output.extend(selected)


def _free_name(name: str, taken: Any) -> str:
    while name in taken:
        name += "_"
    return name


def _format_sides(sides: Sequence[Optional[int]]) -> str:
    return "x".join(str(side) if side else "?" for side in sides)
