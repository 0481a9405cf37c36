"""Export a model to a repository of NVIDIA's Triton Inference Server: NAME/config.pbtxt, labels, NAME/1/model.onnx.

The server returns raw heads, like an engine's session: preprocessing, decoding and NMS are left to the client, with
parameters from the ONNX file's metadata. Source: Triton's model_repository.md and model_configuration.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

from ..cache import files
from ..errors import BadModel, SourceError, UsageError
from ..graph import onnx_model
from ..types import Model

# onnx.TensorProto's element types, as Triton's model_config.proto calls them.
_TYPES = {
    1: "TYPE_FP32", 2: "TYPE_UINT8", 3: "TYPE_INT8", 5: "TYPE_INT16", 6: "TYPE_INT32", 7: "TYPE_INT64", 9: "TYPE_BOOL",
    10: "TYPE_FP16", 11: "TYPE_FP64",
}  # fmt: skip
Tensor = Tuple[str, str, Sequence[int]]


def save(
    model: Model, repository: Path, *, name: Optional[str] = None, plan: Optional[Path] = None, instances: int = 1
) -> List[Path]:
    """Write the model's folder into a repository; return the paths of its files.

    `plan` is a TensorRT plan of the model, which Triton runs instead of the ONNX file. Raises `UsageError`, `BadModel`,
    `SourceError`, `OutputError`.
    """
    name = check_name(name or repository_name(model))
    if instances < 1:
        raise UsageError(f"--instances {instances}: at least 1")
    if model.second is not None:
        raise BadModel(
            f"{model.name} is a two-stage detector, and the step between its stages is not in the graph, so "
            "Triton cannot serve it. Use: edgecsp serve"
        )
    text, data = config(model, name, plan=plan is not None, instances=instances), model.onnx
    if plan is not None:
        data = _plan(plan)
    folder = Path(repository) / name
    contents = [
        (folder / "1" / ("model.onnx" if plan is None else "model.plan"), data),
        (folder / "labels.txt", "".join(f"{label}\n" for label in model.labels).encode()),
        (folder / "config.pbtxt", text.encode()),
    ]
    for path, content in contents:
        with files.atomic(path) as file:
            file.write(content)
    return [path for path, _ in contents]


def check_name(name: str) -> str:
    """Return a name that is valid as a folder and a file. Raises `UsageError`."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise UsageError(
            f"--model-name {name!r}: letters, digits, dots, dashes and underscores only, as it is a folder name"
        )
    return name


def repository_name(model: Model) -> str:
    """Convert a model's name to one that is valid as a folder and in a URL."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", model.name).strip("-.") or "model"


def config(model: Model, name: str, *, plan: bool = False, instances: int = 1) -> str:
    """Build config.pbtxt: platform, the graph's tensors with names, types and shapes, instances."""
    graph = onnx_model.parse_graph(model).graph
    fixed = {const.name for const in graph.initializer}
    inputs = [_tensor(value) for value in graph.input if value.name not in fixed]
    outputs = [_tensor(value) for value in graph.output]
    platform = "tensorrt_plan" if plan else "onnxruntime_onnx"
    kind = "KIND_GPU" if plan else "KIND_AUTO"
    # The graph's batch is part of its shape, so max_batch_size is 0 and dims are whole shapes.
    lines = [f"name: {_quote(name)}", f"platform: {_quote(platform)}", "max_batch_size: 0"]
    lines += [_block("input", tensor) for tensor in inputs]
    lines += [_block("output", tensor, "" if model.has_boxes else "labels.txt") for tensor in outputs]
    lines.append(f"instance_group [\n  {{\n    count: {instances}\n    kind: {kind}\n  }}\n]")
    lines += [_parameter(key, value) for key, value in _facts(model)]
    return "\n".join(lines) + "\n"


def _facts(model: Model) -> List[Tuple[str, str]]:
    height, width = model.input.hw
    return [
        ("edgecsp.task", model.task),
        ("edgecsp.input", f"{height}x{width} {model.input.resize}"),
        ("edgecsp.heads", ", ".join(head.kind for head in model.heads)),
    ]


def _tensor(value: Any) -> Tensor:
    kind = value.type.tensor_type
    dims = [dim.dim_value for dim in kind.shape.dim]
    if 0 in dims or not dims or kind.elem_type not in _TYPES:
        raise BadModel(
            f"tensor {value.name} has the shape {dims} and ONNX type {kind.elem_type}; import the model first"
        )
    return value.name, _TYPES[kind.elem_type], dims


def _block(key: str, tensor: Tensor, labels: str = "") -> str:
    name, kind, dims = tensor
    more = f"\n    label_filename: {_quote(labels)}" if labels else ""
    shape = ", ".join(map(str, dims))
    return f"{key} [\n  {{\n    name: {_quote(name)}\n    data_type: {kind}\n    dims: [ {shape} ]{more}\n  }}\n]"


def _parameter(key: str, value: str) -> str:
    return f"parameters {{\n  key: {_quote(key)}\n  value {{ string_value: {_quote(value)} }}\n}}"


def _quote(text: str) -> str:
    """Quote a string for protobuf's text format: ASCII, other bytes as octal escapes."""
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:03o}" for b in text.encode())
    return '"' + "".join(plain) + '"'


def _plan(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read the plan {path}: {error.strerror}") from error
    # The plan format is not public; an ONNX file, the most likely mistake, begins with its version.
    if len(data) < 64 or data[:1] == b"\x08":
        what = "is an ONNX file" if data[:1] == b"\x08" else f"has {len(data)} bytes"
        raise BadModel(f"{path} {what}, not a TensorRT plan; edgecsp build prints the path of the plan")
    return data
