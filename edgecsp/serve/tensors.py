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
from . import _json, detect

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

    def to_dict(self) -> Dict[str, Any]:
        """As the protocol has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


DETECTION_OUTPUTS = (
    RequestTensor("boxes", "FP32", (-1, 4)),
    RequestTensor("scores", "FP32", (-1,)),
    RequestTensor("class_ids", "INT32", (-1,)),
    RequestTensor("labels", "BYTES", (-1,)),
)


class Signature:
    """A model's tensors. The raw ones are those of its graph; a detector of two graphs has none."""

    def __init__(self, model: Model) -> None:
        self.detection_outputs = DETECTION_OUTPUTS if model.task == "detect" else DETECTION_OUTPUTS[1:]
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
        is_name_used = self.raw is not None and self.raw.name == IMAGE
        self.image_input = RequestTensor("picture" if is_name_used else IMAGE, "BYTES", (1,))

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
        return (*([self.raw] if self.raw else []), self.image_input)

    @property
    def outputs(self) -> Tuple[RequestTensor, ...]:
        """Those of the raw input, then those of a picture."""
        return (*self.heads, *self.detection_outputs)


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


class InferRequest(NamedTuple):
    """A request, taken apart: one input, and which outputs are wanted (name, as bytes)."""

    id: Optional[str]
    input_tensor: RequestTensor
    data: Any
    wanted: Tuple[Tuple[RequestTensor, bool], ...]
    settings: Settings


def parse_request(body: bytes, length: Optional[str], app_state: Any) -> InferRequest:
    """Bytes -> what is asked. Raises `HTTPRequestError` with what was found and what would do."""
    size = len(body)
    if length is not None:
        if not length.isdecimal() or len(length) > 12 or int(length) > len(body):
            raise HTTPRequestError(400, f"{HEADER} is {length[:20]!r} and the body has {len(body)} bytes")
        size = int(length)
    try:
        request = _json.parse(body[:size], app_state.signature.json_bytes, app_state.signature.numbers, BINARY)
    except ValueError as error:
        raise HTTPRequestError(
            400, f"the request is no JSON: {str(error)[:200]}; bytes behind it need {HEADER}"
        ) from error
    request = _object(request, "the request")
    name = request.get("id")
    if name is not None and not isinstance(name, str):
        raise HTTPRequestError(400, "id is no string")
    inputs = _list(request.get("inputs"), "inputs")
    if len(inputs) != 1:
        known = " or ".join(each.name for each in app_state.signature.inputs)
        raise HTTPRequestError(400, f"{len(inputs)} inputs; {app_state.model.name} takes one: {known}")
    input_tensor, data = _input(_object(inputs[0], "an input"), memoryview(body)[size:], app_state)
    parameters = _object(request.get("parameters") or {}, "parameters")
    return InferRequest(
        name,
        input_tensor,
        data,
        _outputs(request, input_tensor, parameters, app_state),
        _settings(parameters, app_state),
    )


def _input(entry: Dict[str, Any], rest: memoryview, app_state: Any) -> Tuple[RequestTensor, Any]:
    """An input's tensor and its data: a picture's bytes, or an array as the network takes it."""
    known = {each.name: each for each in app_state.signature.inputs}
    name = entry.get("name")
    if not isinstance(name, str) or name not in known:
        raise HTTPRequestError(
            400, f"no input is called {str(name)[:100]!r}; {app_state.model.name} takes {' or '.join(known)}"
        )
    tensor = known[name]
    if entry.get("datatype") != tensor.datatype:
        raise HTTPRequestError(
            400, f"input {name} is {str(entry.get('datatype'))[:20]!r}; it must be {tensor.datatype}"
        )
    shape = _list(entry.get("shape"), "shape")
    if tensor.datatype == "BYTES":
        if not shape or any(type(side) is not int or side != 1 for side in shape) or len(shape) > 4:
            raise HTTPRequestError(400, f"input {name} has the shape {str(shape)[:60]}; one picture is [1]")
    elif any(type(side) is not int for side in shape) or tuple(shape) != tensor.shape:
        raise HTTPRequestError(400, f"input {name} has the shape {str(shape)[:60]}; it must be {list(tensor.shape)}")
    size = _object(entry.get("parameters") or {}, "an input's parameters").get("binary_data_size")
    if size is None:
        if len(rest):
            raise HTTPRequestError(400, f"{len(rest)} bytes behind the JSON, and no input has binary_data_size")
        return tensor, _from_json(entry.get("data"), tensor)
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
    request: Dict[str, Any], input_tensor: RequestTensor, parameters: Dict[str, Any], app_state: Any
) -> Tuple[Tuple[RequestTensor, bool], ...]:
    """Which outputs, and whether as bytes."""
    able: Sequence[RequestTensor] = (
        app_state.signature.detection_outputs if input_tensor.datatype == "BYTES" else app_state.signature.heads
    )
    binary = _flag(parameters, "binary_data_output", False)
    if request.get("outputs") is None:
        return tuple((tensor, binary) for tensor in able)
    known, wanted = {each.name: each for each in able}, []
    for each in _list(request["outputs"], "outputs"):
        asked = _object(each, "an output")
        name = asked.get("name")
        if not isinstance(name, str) or name not in known:
            raise HTTPRequestError(
                400, f"input {input_tensor.name} gives no output {str(name)[:100]!r}; it gives {', '.join(known)}"
            )
        own = _object(asked.get("parameters") or {}, "an output's parameters")
        wanted.append((known[name], _flag(own, "binary_data", binary)))
    if len({tensor.name for tensor, _ in wanted}) != len(wanted):
        raise HTTPRequestError(400, "an output is asked for twice")
    return tuple(wanted)


def _settings(parameters: Dict[str, Any], app_state: Any) -> Settings:
    """conf, iou and classes among the request's parameters."""
    changes: Dict[str, Any] = {}
    for name in ("conf", "iou"):
        value = parameters.get(name)
        if value is not None:
            changes[name] = detect.parse_fraction(str(value), name)
    classes = parameters.get("classes")
    if classes is not None:
        words = classes.split(",") if isinstance(classes, str) else [str(each) for each in _list(classes, "classes")]
        changes["class_ids"] = detect.class_ids(app_state.model, words)
    base: Settings = app_state.settings
    return replace(base, **changes)


def encode_response(request: InferRequest, values: Dict[str, Any], name: str) -> Tuple[bytes, Optional[int]]:
    """The answer, and the length of its JSON when bytes come behind it."""
    outputs, behind = [], []
    for tensor, binary in request.wanted:
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
    header: Dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    if request.id is not None:
        header["id"] = request.id
    head = json.dumps(header, allow_nan=False).encode()
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
