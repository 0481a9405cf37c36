"""The self-describing ONNX file: `metadata_props["edgecsp"]` holds everything but the graph.

The value is JSON, version 1:

    {"version": 1, "name": "...", "input": {"hw": [416, 416], "resize": "darknet", ...},
     "heads": [{"kind": "yolo", "name": "head0", "stride": 32, "anchors_wh": [[81, 82], ...], ...}],
     "labels": [...], "conf": 0.25, "iou": 0.45, "nms_beta": 0,
     "origin": {"sha256": "...", "licence": "..."}}

It is data, read with `json` and checked field by field; nothing in it is ever evaluated.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from . import files
from .core import HEADS, Head, Input, Model
from .errors import BadModel, EdgecspError, SourceError, UsageError
from .export import Weights, to_bytes
from .net import Net

KEY = "edgecsp"
VERSION = 1


def build(net: Net, weights: Weights, *, name: str, labels: Tuple[str, ...], **described: Any) -> Model:
    """A tape and its weights -> a `Model` that carries its own ONNX. `described` are fields of `Model`."""
    if not net.heads:
        raise BadModel(f"{name} has no head: no [yolo] layer, and no classifier's 1x1 output at its end")
    heads = tuple(head for _, head in net.heads)
    described.setdefault("input", Input((net.input.h, net.input.w), channels=net.input.c))
    model = Model(name=name, heads=heads, labels=labels, **described)
    return replace(model, onnx=to_bytes(net, weights, name, {KEY: _said(model)}))


def save(model: Model, path: Union[str, Path]) -> None:
    """Write a model's ONNX file; it appears under its name only when it is whole. Raises `OutputError`."""
    with files.atomic(path) as file:
        file.write(model.onnx)


def load(path: Union[str, Path]) -> Model:
    """Read a self-describing ONNX file. Raises `SourceError` or `BadModel`."""
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"no model file at {path}{files.nearby(path)}")
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, shown: str = "the model") -> Model:
    """Bytes of a self-describing ONNX file -> `Model`; `shown` names it in errors."""
    proto = _proto(data, shown)
    described = {prop.key: prop.value for prop in proto.metadata_props}
    if KEY not in described:
        raise BadModel(
            f"{shown} does not say what it is: it has no {KEY!r} metadata. Make one that does from its darknet "
            "files: edgecsp import MODEL.cfg MODEL.weights"
        )
    try:
        model = _from_json(json.loads(described[KEY]))
    except (ValueError, TypeError, KeyError, EdgecspError) as error:
        raise BadModel(f"{shown}: its {KEY!r} metadata cannot be used ({error})") from error
    outputs = [output.name for output in proto.graph.output]
    missing = [head.name for head in model.heads if head.name not in outputs]
    if missing:
        raise BadModel(f"{shown}: its metadata names the outputs {missing}; the graph has {outputs}")
    return replace(model, onnx=data)


def reshaped(model: Model, *, hw: Optional[Tuple[int, int]] = None, batch: int = 1) -> Model:
    """The same model for another input size or batch; the size must be a multiple of every head's stride.

    Raises `UsageError` for a size that does not fit, or for a classifier's.
    """
    hw = hw or model.input.hw
    if hw == model.input.hw and batch == 1:
        return model
    proto = _proto(model.onnx, model.name)
    was = model.input.hw
    for value in (proto.graph.input[0], *proto.graph.output):
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_value = batch
        if hw == was:
            continue
        grid = (dims[2].dim_value, dims[3].dim_value)
        steps = [side // g if g > 1 and side % g == 0 else 0 for side, g in zip(was, grid)]
        if 0 in steps or any(side < s or side % s for side, s in zip(hw, steps)):
            fits = "its size is fixed" if 0 in steps else f"both sides must be multiples of {max(steps)}"
            raise UsageError(f"{model.name} cannot take pictures of {hw[1]}x{hw[0]}: {fits}")
        dims[2].dim_value, dims[3].dim_value = (side // s for side, s in zip(hw, steps))
    model = replace(model, input=replace(model.input, hw=hw))
    return replace(model, onnx=_described(proto, model).SerializeToString())


def _proto(data: bytes, shown: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(data)
    except DecodeError as error:
        raise BadModel(f"{shown} is no ONNX file ({len(data):,} bytes that do not parse)") from error


def _described(proto: Any, model: Model) -> Any:
    from onnx import helper

    kept = {prop.key: prop.value for prop in proto.metadata_props}
    kept[KEY] = _said(model)
    helper.set_model_props(proto, kept)
    return proto


def _said(model: Model) -> str:
    return json.dumps(_to_json(model), separators=(",", ":"))


def _to_json(model: Model) -> Dict[str, Any]:
    said = {f.name: getattr(model, f.name) for f in fields(model) if f.name not in ("onnx", "input", "heads")}
    heads: List[Dict[str, Any]] = [{"kind": head.kind, **asdict(head)} for head in model.heads]
    return {"version": VERSION, **said, "input": asdict(model.input), "heads": heads}


def _from_json(said: Dict[str, Any]) -> Model:
    if said.get("version") != VERSION:
        raise BadModel(f"version {said.get('version')!r}, this edgecsp reads version {VERSION}; upgrade edgecsp")
    heads: List[Head] = []
    for given in said["heads"]:
        kind = given.get("kind")
        if kind not in HEADS:
            raise BadModel(f"head kind {kind!r}, known are {', '.join(HEADS)}; upgrade edgecsp")
        heads.append(HEADS[kind](**{key: _tuples(value) for key, value in given.items() if key != "kind"}))
    return Model(
        name=str(said["name"]),
        input=Input(**{key: _tuples(value) for key, value in said["input"].items()}),
        heads=tuple(heads),
        labels=tuple(str(label) for label in said["labels"]),
        conf=float(said["conf"]),
        iou=float(said["iou"]),
        nms_beta=float(said["nms_beta"]),
        origin={str(key): str(value) for key, value in said["origin"].items()},
    )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
