"""Encoding of the KServe protocol: parse inference requests, encode responses."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import HTTPRequestError
from ..graph import wire
from ..options import Thresholds
from ..types import Array, Model
from . import _json, request_options, schema
from .schemas import INFER_REQUEST, OF_THE_MODEL

HEADER = "Inference-Header-Content-Length"
IMAGE = "image"
VERSION = "1"
NUMPY = {"FP32": "<f4", "INT32": "<i4"}
JSON_BYTES = 4 << 20
NUMBER_BYTES = 20  # of a float64 and its comma
BINARY = "; send larger tensors as bytes after the JSON (binary_data_size)"


class RequestTensor(NamedTuple):
    """Name, type and shape of an input or output; -1 is any size."""

    name: str
    datatype: str
    shape: Tuple[int, ...]

    def to_dict(self) -> Dict[str, Any]:
        """Tensor metadata in the protocol's format."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


DETECTION_OUTPUTS = (
    RequestTensor("boxes", "FP32", (-1, 4)),
    RequestTensor("scores", "FP32", (-1,)),
    RequestTensor("class_ids", "INT32", (-1,)),
    RequestTensor("labels", "BYTES", (-1,)),
)


class Signature:
    """Inputs and outputs of a model: the graph's raw tensors (none for a two-stage detector), image and detections."""

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

        # Some exporters give the network's input this name.
        is_name_used = self.raw is not None and self.raw.name == IMAGE
        self.image_input = RequestTensor("picture" if is_name_used else IMAGE, "BYTES", (1,))

    @property
    def numbers(self) -> int:
        """Number of values of the raw input."""
        return int(np.prod(self.raw.shape)) if self.raw else 0

    @property
    def json_bytes(self) -> int:
        """Largest JSON of a request in bytes: a few MiB, or the raw input as JSON."""
        return max(JSON_BYTES, self.numbers * NUMBER_BYTES + NUMBER_BYTES * 1024)

    @property
    def inputs(self) -> Tuple[RequestTensor, ...]:
        """All inputs; a request has exactly one of them."""
        return (*([self.raw] if self.raw else []), self.image_input)

    @property
    def outputs(self) -> Tuple[RequestTensor, ...]:
        """Outputs for the raw input, then those for an image."""
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
    """A parsed request: its input, and the requested outputs (tensor, whether as bytes)."""

    id: Optional[str]
    input_tensor: RequestTensor
    data: Any
    outputs: Tuple[Tuple[RequestTensor, bool], ...]
    settings: Thresholds


def parse_request(body: bytes, length: Optional[str], app_state: Any) -> InferRequest:
    """Parse the body of an inference request. Raises `HTTPRequestError`."""
    size = len(body)
    if length is not None:
        if not length.isdecimal() or len(length) > 12 or int(length) > len(body):
            raise HTTPRequestError(400, f"{HEADER} is {length[:20]!r} and the body has {len(body)} bytes")
        size = int(length)
    try:
        request = _json.parse(body[:size], app_state.signature.json_bytes, app_state.signature.numbers, BINARY)
    except ValueError as error:
        raise HTTPRequestError(
            400, f"the request is not valid JSON: {str(error)[:200]}; bytes after it need the header {HEADER}"
        ) from error
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if isinstance(inputs, list) and len(inputs) != 1:
        known = " or ".join(each.name for each in app_state.signature.inputs)
        raise HTTPRequestError(400, f"{len(inputs)} inputs; {app_state.model.name} takes one: {known}")
    request = schema.check(INFER_REQUEST, request, "the request", later=OF_THE_MODEL)
    input_tensor, data = _input(request["inputs"][0], memoryview(body)[size:], app_state)
    parameters = request.get("parameters") or {}
    return InferRequest(
        request.get("id"),
        input_tensor,
        data,
        _outputs(request, input_tensor, parameters.get("binary_data_output", False), app_state),
        request_options.override(app_state.model, app_state.settings, parameters),
    )


def _input(entry: Dict[str, Any], rest: memoryview, app_state: Any) -> Tuple[RequestTensor, Any]:
    """Parse an input: its tensor, and an image's bytes or an array in the network's shape."""
    known = {each.name: each for each in app_state.signature.inputs}
    name, datatype = entry.get("name"), entry.get("datatype")
    shape: Any = entry.get("shape")
    if not isinstance(name, str) or name not in known:
        raise HTTPRequestError(
            400, f"unknown input {str(name)[:100]!r}; {app_state.model.name} takes {' or '.join(known)}"
        )
    tensor = known[name]
    if datatype != tensor.datatype:
        raise HTTPRequestError(400, f"input {name} is {str(datatype)[:20]!r}; it must be {tensor.datatype}")
    is_list = isinstance(shape, list) and all(type(side) is int for side in shape)
    if tensor.datatype == "BYTES":
        if not is_list or not 0 < len(shape) <= 4 or any(side != 1 for side in shape):
            raise HTTPRequestError(400, f"input {name} has the shape {str(shape)[:60]}; it must be [1], one image")
    elif not is_list or tuple(shape) != tensor.shape:
        raise HTTPRequestError(400, f"input {name} has the shape {str(shape)[:60]}; it must be {list(tensor.shape)}")
    size = (entry.get("parameters") or {}).get("binary_data_size")
    if size is None:
        if len(rest):
            raise HTTPRequestError(400, f"{len(rest)} bytes after the JSON, but no input has binary_data_size")
        return tensor, _from_json(entry.get("data"), tensor)
    if size != len(rest):
        raise HTTPRequestError(400, f"binary_data_size is {str(size)[:20]} and {len(rest)} bytes follow the JSON")
    return tensor, _from_bytes(rest, tensor)


def _from_bytes(rest: memoryview, tensor: RequestTensor) -> Any:
    if tensor.datatype == "BYTES":
        if len(rest) < 4 or int.from_bytes(rest[:4], "little") != len(rest) - 4:
            raise HTTPRequestError(400, "BYTES must be a 4-byte little-endian length followed by as many bytes")
        return bytes(rest[4:])
    size = 4 * int(np.prod(tensor.shape))
    if len(rest) != size:
        raise HTTPRequestError(
            400, f"input {tensor.name} has {len(rest)} bytes; {tensor.datatype} {list(tensor.shape)} needs {size}"
        )
    return np.frombuffer(rest, "<f4").reshape(tensor.shape).astype(np.float32)


def _from_json(data: Any, tensor: RequestTensor) -> Any:
    if tensor.datatype == "BYTES":
        while isinstance(data, list) and len(data) == 1:
            data = data[0]
        if not isinstance(data, str):
            raise HTTPRequestError(
                400, f"input {tensor.name} needs data: [one string], the image in base64; or bytes after the JSON"
            )
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise HTTPRequestError(400, f"input {tensor.name} is not valid base64: {str(error)[:100]}") from error
    try:
        with np.errstate(over="ignore"):
            array: Array = np.array(data, np.float64).astype(np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise HTTPRequestError(400, f"input {tensor.name} has data that are not numbers: {str(error)[:200]}") from error
    if array.size != int(np.prod(tensor.shape)) or not isinstance(data, list):
        raise HTTPRequestError(
            400,
            f"input {tensor.name} has {array.size} numbers; {list(tensor.shape)} needs {int(np.prod(tensor.shape))}",
        )
    return array.reshape(tensor.shape)


def _outputs(
    request: Dict[str, Any], input_tensor: RequestTensor, binary: bool, app_state: Any
) -> Tuple[Tuple[RequestTensor, bool], ...]:
    """Look the requested outputs up, and whether each is sent as bytes."""
    able: Sequence[RequestTensor] = (
        app_state.signature.detection_outputs if input_tensor.datatype == "BYTES" else app_state.signature.heads
    )
    if request.get("outputs") is None:
        return tuple((tensor, binary) for tensor in able)
    known, requested = {each.name: each for each in able}, []
    for entry in request["outputs"]:
        name = entry.get("name")
        if not isinstance(name, str) or name not in known:
            raise HTTPRequestError(
                400, f"input {input_tensor.name} has no output {str(name)[:100]!r}; available: {', '.join(known)}"
            )
        requested.append((known[name], (entry.get("parameters") or {}).get("binary_data", binary)))
    if len({tensor.name for tensor, _ in requested}) != len(requested):
        raise HTTPRequestError(400, "an output is requested twice")
    return tuple(requested)


def encode_response(request: InferRequest, values: Dict[str, Any], name: str) -> Tuple[bytes, Optional[int]]:
    """Encode the response; also the length of its JSON when bytes follow it."""
    outputs, behind = [], []
    for tensor, binary in request.outputs:
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
                    400, f"output {tensor.name} has values that JSON cannot represent; request it as binary_data"
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
