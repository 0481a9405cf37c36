"""Tensors on the wire of KServe's protocol: what a request asks for, taken apart, and an answer, put together."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import HTTPRequestError
from ..graph import wire
from ..pipeline import Settings
from ..types import Array, Model
from . import _json, pictures

HEADER = "Inference-Header-Content-Length"
IMAGE = "image"
VERSION = "1"
NUMPY = {"FP32": "<f4", "INT32": "<i4"}
JSON_BYTES = 4 << 20
NUMBER_BYTES = 20  # of a float64 and its comma
BINARY = "; send more as bytes behind the JSON (binary_data_size)"


class RequestTensor(NamedTuple):
    """What a model takes or gives: -1 is any size."""

    name: str
    datatype: str
    shape: Tuple[int, ...]

    def said(self) -> Dict[str, Any]:
        """As the protocol has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


FOUND = (
    RequestTensor("boxes", "FP32", (-1, 4)),
    RequestTensor("scores", "FP32", (-1,)),
    RequestTensor("class_ids", "INT32", (-1,)),
    RequestTensor("labels", "BYTES", (-1,)),
)


class Signature:
    """A model's tensors. The raw ones are those of its graph; a detector of two graphs has none."""

    def __init__(self, model: Model) -> None:
        self.found = FOUND if model.task == "detect" else FOUND[1:]
        self.raw: Optional[RequestTensor] = None
        self.heads: Tuple[RequestTensor, ...] = ()
        if model.second is None:
            ours = {head.name for head in model.heads}
            # Field numbers are onnx.proto's: ModelProto.graph 7, GraphProto.input 11 and output 12.
            graph = next(wire.parts(model.onnx, 7))
            name = next(_value(each)[0] for each in wire.parts(graph, 11))
            self.raw = RequestTensor(name, "FP32", (1, model.input.channels, *model.input.hw))
            known = dict(_value(each) for each in wire.parts(graph, 12))
            self.heads = tuple(
                RequestTensor(head.name, "FP32", known[head.name]) for head in model.heads if head.name in ours
            )

        # Some exporters call the network's own input so.
        taken = self.raw is not None and self.raw.name == IMAGE
        self.picture = RequestTensor("picture" if taken else IMAGE, "BYTES", (1,))

    @property
    def numbers(self) -> int:
        """How many numbers its largest input has."""
        return int(np.prod(self.raw.shape)) if self.raw else 0

    @property
    def json_bytes(self) -> int:
        """Bytes of JSON that a request may have: a few MiB, or its own input as JSON."""
        return max(JSON_BYTES, self.numbers * NUMBER_BYTES + NUMBER_BYTES * 1024)

    @property
    def inputs(self) -> Tuple[RequestTensor, ...]:
        """Of which a request has one."""
        return (*([self.raw] if self.raw else []), self.picture)

    @property
    def outputs(self) -> Tuple[RequestTensor, ...]:
        """Those of the raw input, then those of a picture."""
        return (*self.heads, *self.found)


def _value(info: memoryview) -> Tuple[str, Tuple[int, ...]]:
    """ValueInfoProto -> name and shape. TypeProto.tensor_type 1, its shape 2, dim 1, dim_value 1."""
    name = bytes(next(wire.parts(info, 1))).decode("utf-8", "replace")
    dims: List[int] = []
    for kind in wire.parts(info, 2):
        for tensor in wire.parts(kind, 1):
            for shape in wire.parts(tensor, 2):
                for dim in wire.parts(shape, 1):
                    size = next((value for number, value in wire.fields(dim) if number == 1), 0)
                    dims.append(size if isinstance(size, int) and size > 0 else -1)
    return name, tuple(dims)


class Asked(NamedTuple):
    """A request, taken apart: one input, and which outputs are wanted (name, as bytes)."""

    id: Optional[str]
    given: RequestTensor
    data: Any
    wanted: Tuple[Tuple[RequestTensor, bool], ...]
    settings: Settings


def taken_apart(body: bytes, length: Optional[str], desk: Any) -> Asked:
    """Bytes -> what is asked. Raises `HTTPRequestError` with what was found and what would do."""
    size = len(body)
    if length is not None:
        if not length.isdecimal() or len(length) > 12 or int(length) > len(body):
            raise HTTPRequestError(400, f"{HEADER} is {length[:20]!r} and the body has {len(body)} bytes")
        size = int(length)
    try:
        said = _json.parse(body[:size], desk.signature.json_bytes, desk.signature.numbers, BINARY)
    except ValueError as error:
        raise HTTPRequestError(
            400, f"the request is no JSON: {str(error)[:200]}; bytes behind it need {HEADER}"
        ) from error
    said = _object(said, "the request")
    name = said.get("id")
    if name is not None and not isinstance(name, str):
        raise HTTPRequestError(400, "id is no string")
    inputs = _list(said.get("inputs"), "inputs")
    if len(inputs) != 1:
        known = " or ".join(each.name for each in desk.signature.inputs)
        raise HTTPRequestError(400, f"{len(inputs)} inputs; {desk.model.name} takes one: {known}")
    given, data = _input(_object(inputs[0], "an input"), memoryview(body)[size:], desk)
    parameters = _object(said.get("parameters") or {}, "parameters")
    return Asked(name, given, data, _outputs(said, given, parameters, desk), _settings(parameters, desk))


def _input(said: Dict[str, Any], rest: memoryview, desk: Any) -> Tuple[RequestTensor, Any]:
    """An input's tensor and its data: a picture's bytes, or an array as the network takes it."""
    known = {each.name: each for each in desk.signature.inputs}
    name = said.get("name")
    if not isinstance(name, str) or name not in known:
        raise HTTPRequestError(
            400, f"no input is called {str(name)[:100]!r}; {desk.model.name} takes {' or '.join(known)}"
        )
    tensor = known[name]
    if said.get("datatype") != tensor.datatype:
        raise HTTPRequestError(400, f"input {name} is {str(said.get('datatype'))[:20]!r}; it must be {tensor.datatype}")
    shape = _list(said.get("shape"), "shape")
    if tensor.datatype == "BYTES":
        if not shape or any(type(side) is not int or side != 1 for side in shape) or len(shape) > 4:
            raise HTTPRequestError(400, f"input {name} has the shape {str(shape)[:60]}; one picture is [1]")
    elif any(type(side) is not int for side in shape) or tuple(shape) != tensor.shape:
        raise HTTPRequestError(400, f"input {name} has the shape {str(shape)[:60]}; it must be {list(tensor.shape)}")
    size = _object(said.get("parameters") or {}, "an input's parameters").get("binary_data_size")
    if size is None:
        if len(rest):
            raise HTTPRequestError(400, f"{len(rest)} bytes behind the JSON, and no input has binary_data_size")
        return tensor, _from_json(said.get("data"), tensor)
    if type(size) is not int or size != len(rest):
        raise HTTPRequestError(400, f"binary_data_size is {str(size)[:20]} and {len(rest)} bytes are behind the JSON")
    return tensor, _from_bytes(rest, tensor)


def _from_bytes(rest: memoryview, tensor: RequestTensor) -> Any:
    if tensor.datatype == "BYTES":
        if len(rest) < 4 or int.from_bytes(rest[:4], "little") != len(rest) - 4:
            raise HTTPRequestError(
                400, "BYTES are four bytes of length, the lowest first, and as many bytes behind them"
            )
        return bytes(rest[4:])
    wanted = 4 * int(np.prod(tensor.shape))
    if len(rest) != wanted:
        raise HTTPRequestError(
            400, f"input {tensor.name} has {len(rest)} bytes; {tensor.datatype} {list(tensor.shape)} has {wanted}"
        )
    return np.frombuffer(rest, "<f4").reshape(tensor.shape).astype(np.float32)


def _from_json(data: Any, tensor: RequestTensor) -> Any:
    if tensor.datatype == "BYTES":
        while isinstance(data, list) and len(data) == 1:
            data = data[0]
        if not isinstance(data, str):
            raise HTTPRequestError(
                400, f"input {tensor.name} needs data: [one string], the picture in base64; or bytes behind the JSON"
            )
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise HTTPRequestError(400, f"input {tensor.name} is no base64: {str(error)[:100]}") from error
    try:
        with np.errstate(over="ignore"):
            array: Array = np.array(data, np.float64).astype(np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise HTTPRequestError(400, f"input {tensor.name} has data that are no numbers: {str(error)[:200]}") from error
    if array.size != int(np.prod(tensor.shape)) or not isinstance(data, list):
        raise HTTPRequestError(
            400, f"input {tensor.name} has {array.size} numbers; {list(tensor.shape)} has {int(np.prod(tensor.shape))}"
        )
    return array.reshape(tensor.shape)


def _outputs(
    said: Dict[str, Any], given: RequestTensor, parameters: Dict[str, Any], desk: Any
) -> Tuple[Tuple[RequestTensor, bool], ...]:
    """Which outputs, and whether as bytes."""
    able: Sequence[RequestTensor] = desk.signature.found if given.datatype == "BYTES" else desk.signature.heads
    binary = _flag(parameters, "binary_data_output", False)
    if said.get("outputs") is None:
        return tuple((tensor, binary) for tensor in able)
    known, wanted = {each.name: each for each in able}, []
    for each in _list(said["outputs"], "outputs"):
        asked = _object(each, "an output")
        name = asked.get("name")
        if not isinstance(name, str) or name not in known:
            raise HTTPRequestError(
                400, f"input {given.name} gives no output {str(name)[:100]!r}; it gives {', '.join(known)}"
            )
        own = _object(asked.get("parameters") or {}, "an output's parameters")
        wanted.append((known[name], _flag(own, "binary_data", binary)))
    if len({tensor.name for tensor, _ in wanted}) != len(wanted):
        raise HTTPRequestError(400, "an output is asked for twice")
    return tuple(wanted)


def _settings(parameters: Dict[str, Any], desk: Any) -> Settings:
    """conf, iou and classes among the request's parameters."""
    changes: Dict[str, Any] = {}
    for name in ("conf", "iou"):
        value = parameters.get(name)
        if value is not None:
            changes[name] = pictures.number(str(value), name)
    classes = parameters.get("classes")
    if classes is not None:
        words = classes.split(",") if isinstance(classes, str) else [str(each) for each in _list(classes, "classes")]
        changes["class_ids"] = pictures.class_ids(desk.model, words)
    base: Settings = desk.settings
    return replace(base, **changes)


def written(asked: Asked, values: Dict[str, Any], name: str) -> Tuple[bytes, Optional[int]]:
    """The answer, and the length of its JSON when bytes come behind it."""
    outputs, behind = [], []
    for tensor, binary in asked.wanted:
        value = values[tensor.name]
        entry: Dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype}
        if tensor.datatype == "BYTES":
            entry["shape"] = [len(value)]
            data: Any = [text.encode() for text in value]
            raw = b"".join(len(word).to_bytes(4, "little") + word for word in data) if binary else b""
        else:
            array: Array = np.ascontiguousarray(value, NUMPY[tensor.datatype])
            entry["shape"] = list(array.shape)
            raw = array.tobytes() if binary else b""
            if not binary and not np.isfinite(array).all():
                raise HTTPRequestError(
                    400, f"output {tensor.name} has values that JSON cannot hold; ask for it as binary_data"
                )
            value = [] if binary else array.ravel().tolist()
        if binary:
            entry["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            entry["data"] = value
        outputs.append(entry)
    said: Dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    if asked.id is not None:
        said["id"] = asked.id
    head = json.dumps(said, allow_nan=False).encode()
    return b"".join((head, *behind)), len(head) if behind else None


def _object(value: Any, what: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise HTTPRequestError(400, f"{what}: a JSON object is wanted, {type(value).__name__} was found")
    return value


def _list(value: Any, what: str) -> List[Any]:
    if not isinstance(value, list):
        raise HTTPRequestError(400, f"{what}: a JSON list is wanted, {type(value).__name__} was found")
    return value


def _flag(parameters: Dict[str, Any], name: str, otherwise: bool) -> bool:
    value = parameters.get(name, otherwise)
    if not isinstance(value, bool):
        raise HTTPRequestError(400, f"{name} is true or false; found {str(value)[:40]!r}")
    return value
