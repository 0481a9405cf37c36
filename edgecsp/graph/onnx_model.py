"""The self-describing ONNX file: `metadata_props["edgecsp"]` holds everything but the graph.

The value is JSON, version 1:

    {"version": 1, "name": "...", "input": {"hw": [416, 416], "resize": "darknet", ...},
     "heads": [{"kind": "yolo", "name": "head0", "stride": 32, "anchors_wh": [[81, 82], ...], ...}],
     "labels": [...], "conf": 0.25, "iou": 0.45, "nms_beta": 0,
     "origin": {"sha256": "...", "licence": "..."}}

It is data, read with `json` and checked field by field; nothing in it is ever evaluated. A detector of two
stages has its second graph, a file of the same kind, in `metadata_props["edgecsp.second"]` as base64.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union, get_args, get_origin, get_type_hints

from ..cache import files
from ..errors import BadModel, EdgecspError, UsageError
from ..processing import heads
from ..types import Head, Input, Model
from . import limits, wire
from .export import Weights, field_head, to_bytes
from .layers import MAX_SIDE, Net

KEY = "edgecsp"
SECOND = "edgecsp.second"
VERSION = 1


def build(net: Net, weights: Weights, *, name: str, labels: Tuple[str, ...], batch: int = 1, **described: Any) -> Model:
    """A tape and its weights -> a `Model` that carries its own ONNX. `described` are fields of `Model`."""
    if not net.heads:
        raise BadModel(f"{name} has no head: no [yolo] layer, and no classifier's 1x1 output at its end")
    described.setdefault("input", Input((net.input.h, net.input.w), channels=net.input.c))
    model = Model(name=name, heads=tuple(head for _, head in net.heads), labels=labels, **described)
    return replace(model, onnx=to_bytes(net, weights, name, _props(model), batch=batch))


def with_second(model: Model, second: Model) -> Model:
    """The same model with another as its second stage, in the same file."""
    model = replace(model, second=second)
    key, value = SECOND.encode(), base64.b64encode(second.onnx)
    entry = (field_head(1, len(key)), key, field_head(2, len(value)), value)
    # A repeated field may go on anywhere (onnx.proto: ModelProto.metadata_props is 14, its key 1, its value 2).
    return replace(model, onnx=b"".join((model.onnx, field_head(14, sum(map(len, entry))), *entry)))


def save(model: Model, path: Union[str, Path]) -> None:
    """Write a model's ONNX file atomically. Raises `OutputError`."""
    with files.atomic(path) as file:
        file.write(model.onnx)


def parse_own(proto: Any, data: bytes, filename: str) -> Optional[Model]:
    """The model of a self-describing file, None where the file does not describe itself. Raises `BadModel`."""
    described = read_metadata(proto, filename)
    if KEY not in described:
        return None
    limits.check(proto, filename)
    try:
        model = _from_json(json.loads(described[KEY]))
        if SECOND in described:
            second = base64.b64decode(described[SECOND], validate=True)
            name = f"{filename}'s second stage"
            model = replace(model, second=parse_own(read_proto(second, name), second, name))
            if model.second is None:
                raise BadModel(f"{name} does not describe itself")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, EdgecspError) as error:
        raise BadModel(f"{filename}: its {KEY!r} metadata cannot be used ({error})") from error
    _check_graph(proto.graph, model, filename)
    limits.check_sizes(proto, filename, model.input.hw)
    return replace(model, onnx=data)


def read_described(data: bytes, filename: str = "the model") -> Model:
    """Read a `Model` from a file of our own by its metadata alone, without the onnx package.

    Raises `BadModel`.
    """
    # Field numbers are onnx.proto's: ModelProto.metadata_props 14, StringStringEntryProto.key 1 and value 2.
    for entry in wire.parts(data, 14):
        prop = dict(wire.fields(entry))
        if bytes(prop.get(1, b"")) == KEY.encode():
            return replace(_from_json(json.loads(bytes(prop.get(2, b"")))), onnx=data)
    raise BadModel(f"{filename} does not describe itself")


def check(data: bytes, filename: str) -> bytes:
    """The same bytes, if an engine may be given them: see `limits`. Raises `BadModel`."""
    limits.check(read_proto(data, filename), filename)
    return data


def parse_graph(model: Model) -> Any:
    """Parse a model's ONNX as an `onnx.ModelProto` that the caller may change. Raises `BadModel`."""
    return read_proto(model.onnx, model.name)


def with_graph(model: Model, proto: Any) -> Model:
    """The same model with another graph of the same input and outputs; its file describes it anew."""
    return replace(model, onnx=serialize(describe_in(proto, model), model.name))


def read_metadata(proto: Any, filename: str) -> Dict[str, str]:
    """Read a file's metadata. Raises `BadModel` where it is not text."""
    try:
        return {prop.key: prop.value for prop in proto.metadata_props}
    except UnicodeDecodeError as error:
        raise BadModel(f"{filename}: its metadata is not text ({error})") from error


def _check_graph(graph: Any, model: Model, filename: str) -> None:
    """Input and outputs must be what the metadata says; a dimension that the graph leaves open may be anything."""
    dims = {value.name: _dims(value) for value in (*graph.input, *graph.output)}
    missing = [head.name for head in model.heads if head.name not in dims]
    if missing or len(graph.input) != 1:
        raise BadModel(f"{filename}: its metadata names one input and the outputs {missing}; the graph has {[*dims]}")
    expected = {head.name: list(head.shape) for head in model.heads}
    expected[graph.input[0].name] = [0, model.input.channels, *model.input.hw]
    for name, shape in expected.items():
        if len(dims[name]) < len(shape) or any(has and want and has != want for has, want in zip(dims[name], shape)):
            raise BadModel(
                f"{filename}: its metadata speaks of {name} as {shape}, 0 being any; the graph says {dims[name]}"
            )


def reshape(model: Model, *, hw: Optional[Tuple[int, int]] = None, batch: int = 1) -> Model:
    """The same model for another input size or batch; the size must be a multiple of every head's stride.

    Raises `UsageError` for a size that does not fit, for a classifier's, and for another exporter's graph.
    """
    hw = hw or model.input.hw
    if hw == model.input.hw and batch == 1:
        return model
    if "recognised" in model.origin:
        raise UsageError(
            f"{model.name} was made for one image of {model.input.hw[1]}x{model.input.hw[0]} and cannot take {batch} "
            f"of {hw[1]}x{hw[0]}; import its ONNX file again with --imgsz, or export it again at that size"
        )
    if batch < 1 or not 0 < min(hw) <= max(hw) <= MAX_SIDE:
        raise UsageError(f"{model.name} cannot take {batch} images of {hw[1]}x{hw[0]}; sides go from 1 to {MAX_SIDE}")
    proto = read_proto(model.onnx, model.name)
    if hw != model.input.hw:
        _resize(proto, model, hw)
    for value in (proto.graph.input[0], *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim[:1]:
            dim.dim_value = batch
    model = replace(model, input=replace(model.input, hw=hw))
    return replace(model, onnx=describe_in(proto, model).SerializeToString())


def _resize(proto: Any, model: Model, hw: Tuple[int, int]) -> None:
    """Write another size into a graph's input and outputs, if every map keeps its share of the image.

    Paddings were cut for one size and fit only such others.
    """
    from onnx.shape_inference import InferenceError

    was = model.input.hw
    problem = f"{model.name} cannot take images of {hw[1]}x{hw[0]}"
    try:
        before, after = _maps(proto, was), _maps(proto, hw)
    except (ValueError, LookupError, InferenceError) as error:
        raise BadModel(f"{model.name}: its graph is damaged ({' '.join(str(error).split())})") from error
    if not all(head.is_resizable for head in model.heads) or any(map(_reads_whole_map, proto.graph.node)):
        raise UsageError(f"{problem}: its size is fixed")
    sides = [side for name in before for side in zip(before[name], after.get(name, (0, 0)), was, hw)]
    if not all(a * new == b * old and ((a and old % a == 0) or a % old == 0) for a, b, old, new in sides):
        grids = [before.get(head.name, ()) for head in model.heads]
        step = max((max(1, side // g) for grid in grids for side, g in zip(was, grid) if g), default=1)
        fit = f"its layers are cut for {was[1]}x{was[0]}" if all(side % step == 0 for side in hw) else ""
        raise UsageError(f"{problem}: {fit or f'both sides must be multiples of {step}'}")
    for value in (proto.graph.input[0], *proto.graph.output):
        for dim, side in zip(value.type.tensor_type.shape.dim[2:], after.get(value.name, (1, 1))):
            dim.dim_value = side


def _reads_whole_map(node: Any) -> bool:
    """Whether a node of our own is a layer that is another one for a map of another size."""
    name: str = node.name
    return str(name).endswith(("_connected", "_softmax"))  # bytes, where it is not UTF-8


def _maps(proto: Any, hw: Tuple[int, int]) -> Dict[str, List[int]]:
    """The sides of a graph's maps for an input of a size: ONNX's own shape inference, without the weights.

    Left out is what hangs on a mean over a whole map alone: it is 1x1 at any size.
    """
    graph = proto.graph
    known = limits.shapes(proto, [1, _dims(graph.input[0])[1], *hw])
    fixed = {const.name for const in graph.initializer}
    for node in graph.node:
        if node.op_type == "GlobalAveragePool" or fixed.issuperset(filter(None, node.input)):
            fixed.update(node.output)
    return {name: dims[2:] for name, (dims, _) in known.items() if name not in fixed}


def _dims(value: Any) -> List[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def read_proto(data: bytes, filename: str) -> Any:
    """Bytes of an ONNX file -> `onnx.ModelProto`. Raises `BadModel`."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(data)
    except DecodeError as error:
        raise BadModel(f"{filename} is not an ONNX file ({len(data):,} bytes that do not parse)") from error


def serialize(proto: Any, filename: str) -> bytes:
    """The bytes of a file. Raises `BadModel` past the 2 GB that one ONNX file can hold."""
    from google.protobuf.message import EncodeError

    try:
        data: bytes = proto.SerializeToString()
    except (ValueError, EncodeError) as error:
        raise BadModel(f"{filename} does not fit into one ONNX file ({error})") from error
    return data


def describe_in(proto: Any, model: Model) -> Any:
    """Write a model's description into a graph's metadata; the same proto."""
    from onnx import helper

    props = {prop.key: prop.value for prop in proto.metadata_props}
    props.update(_props(model))
    helper.set_model_props(proto, props)
    return proto


def _props(model: Model) -> Dict[str, str]:
    props = {KEY: json.dumps(_to_json(model), separators=(",", ":"))}
    if model.second is not None:
        props[SECOND] = base64.b64encode(model.second.onnx).decode("ascii")
    return props


def _to_json(model: Model) -> Dict[str, Any]:
    plain = {
        f.name: getattr(model, f.name) for f in fields(model) if f.name not in ("onnx", "input", "heads", "second")
    }
    described: List[Dict[str, Any]] = [{"kind": head.kind, **asdict(head)} for head in model.heads]
    return {"version": VERSION, **plain, "input": asdict(model.input), "heads": described}


def _from_json(content: Any) -> Model:
    if not isinstance(content, dict) or content.get("version") != VERSION:
        version = content.get("version") if isinstance(content, dict) else content
        raise BadModel(f"version {version!r}, this edgecsp reads version {VERSION}; upgrade edgecsp")
    model_heads: List[Head] = []
    for described in content["heads"]:
        kind = described.get("kind") if isinstance(described, dict) else described
        model_heads.append(_build(heads.find(kind), described))
    plain = ("name", "labels", "conf", "iou", "nms_beta", "origin")
    hints = get_type_hints(Model)
    return Model(
        input=_build(Input, content["input"]),
        heads=tuple(model_heads),
        **{key: _convert(content[key], hints[key], key) for key in plain},
    )


def _build(cls: Any, content: Dict[str, Any]) -> Any:
    """A dataclass from its JSON object; a field it does not have is a `KeyError`."""
    hints = get_type_hints(cls)
    return cls(**{key: _convert(value, hints[key], key) for key, value in content.items() if key != "kind"})


def _convert(value: Any, kind: Any, key: str) -> Any:
    """A JSON value as the type that a field is declared with; lists become tuples."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(value, list):
        kinds = args[:1] * len(value) if args[1:] == (...,) else args
        if len(kinds) == len(value):
            return tuple(_convert(v, k, key) for v, k in zip(value, kinds))
    elif origin is dict and isinstance(value, dict):
        return {name: _convert(v, args[1], key) for name, v in value.items()}
    elif kind is float:
        if type(value) in (int, float) and abs(value) < 1e9:  # false for NaN as well
            return float(value)
    elif type(value) is kind and (kind is not int or abs(value) < 2**31):
        return value
    raise BadModel(f"{key} cannot be {str(value)[:40]!r}")
