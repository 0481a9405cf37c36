"""Parameters, requests, answers and events of the server, and the routes they belong to, declared once.

`schema` checks requests by it, `openapi` makes /openapi.json of it, `reference` the page docs/server-api.md; the tests
hold the answers and events of a running server against it. The keys of the site file are in `site_keys`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from ..options.uses import list_used_options
from .live import STATES
from .schema import Declared, Field, Shape

JSON, JPEG, FORM, OCTETS = "application/json", "image/jpeg", "multipart/form-data", "application/octet-stream"


def _text(description: str = "", **more: Any) -> Field:
    return Field("text", description, **more)


def _flag(description: str = "") -> Field:
    return Field("flag", description)


def _count(description: str = "", **more: Any) -> Field:
    return Field("whole", description, least=0, **more)


def _number(description: str = "", **more: Any) -> Field:
    return Field("number", description, **more)


def _list(of: Declared, description: str = "", **more: Any) -> Field:
    return Field("list", description, of=of, **more)


def _object(of: Shape) -> Field:
    return Field("object", of=of)


def _answer(name: str, description: str, fields: Mapping[str, Field], optional: Tuple[str, ...] = ()) -> Shape:
    return Shape(name, description, fields, tuple(key for key in fields if key not in optional))


# -- parameters ------------------------------------------------------------------------------------------------------

# What a request may set for itself. Each is read from a query, from the parameters of an inference request, and for a
# stream from JSON, by this one entry.
REQUEST_OPTIONS = tuple(list_used_options("request").values())
THRESHOLDS: Dict[str, Field] = {
    option.key: Field(option.kind, option.describe(), option.least, option.most, choices=option.choices)
    for option in REQUEST_OPTIONS
}
_CURRENT = {
    option.key: replace(THRESHOLDS[option.key], nullable=option.default is None)
    for option in REQUEST_OPTIONS
    if option.name != "classes"
}


class Parameter(NamedTuple):
    """A parameter of a route: where it is (path, query or header), and its declaration."""

    name: str
    where: str
    declared: Field


_QUERY = tuple(Parameter(name, "query", declared) for name, declared in THRESHOLDS.items())
_STREAM_NAME = Parameter("name", "path", _text("name of a stream, as listed by /api/streams"))
_MODEL_NAME = Parameter("model", "path", _text("name of the model"))
_VERSION = Parameter("version", "path", _text("version of the model"))
_LAST_EVENT = Parameter("Last-Event-ID", "header", _text("id of the last event received; later ones are sent again"))
_JSON_LENGTH = Parameter(
    "Inference-Header-Content-Length", "header", _text("bytes of the JSON at the beginning of the body; tensors follow")
)

# -- requests --------------------------------------------------------------------------------------------------------

FILTERS = Shape(
    "Settings",
    "filters of a stream; null: the default of the model",
    {
        name: replace(each, nullable=True, least=0 if each.kind == "texts" else each.least)
        for name, each in THRESHOLDS.items()
    },
    entry="setting",
)  # fmt: skip
IMAGE_FORM = Shape("", "", {"image": Field("bytes", "the image file")}, ("image",))
VISION_FORM = Shape(
    "",
    "",
    {
        "api_key": _text("the server's token, for programs that can send it only here"),
        "min_confidence": _text("confidence threshold, 0 to 1; default 0.4"),
        "image": Field("bytes", "the image file"),
    },
    ("image",),
)

_TENSOR = {
    "name": _text(),
    "datatype": _text(choices=("FP32", "INT32", "BYTES")),
    "shape": _list(Field("whole"), "-1: any size"),
}
_DATA = _list(Field("any"), "values, row by row or nested; an image in base64", nullable=True)
OF_THE_MODEL = (*_TENSOR, "data")  # of an input and an output: which ones there are is the model's to say
INFER_REQUEST = Shape(
    "InferRequest",
    "an inference request of the Open Inference Protocol, version 2",
    {
        "id": _text("comes back in the answer", nullable=True),
        "inputs": _list(
            Shape("", "", {
                **_TENSOR, "data": _DATA,
                "parameters": Field("object", nullable=True, of=Shape("", "", {
                    "binary_data_size": _count("bytes of this input after the JSON", nullable=True),
                })),
            }, tuple(_TENSOR)),
            "the network's own input, for its raw heads; or image, for boxes, scores, class_ids and labels",
            least=1, most=1,
        ),
        "outputs": _list(
            Shape("", "", {
                "name": _text(),
                "parameters": Field("object", nullable=True, of=Shape("", "", {
                    "binary_data": _flag("send this output as bytes after the JSON"),
                })),
            }, ("name",)),
            "the outputs to send; default: all", nullable=True,
        ),
        "parameters": Field("object", nullable=True, of=Shape("", "", {
            **{name: replace(each, nullable=True, as_text=True) for name, each in THRESHOLDS.items()},
            "binary_data_output": _flag("send all outputs as bytes after the JSON"),
        })),
    },
    ("inputs",),
)  # fmt: skip

# -- answers ---------------------------------------------------------------------------------------------------------

ERROR = _answer("Error", "why a request was refused", {"error": _text("for people")})

_CLASS = {"class_id": _count("from 0"), "label": _text(), "score": Field("number", "confidence", 0, 1)}
_BOX = {**_CLASS, "xyxy": _list(_number(), "left, top, right, bottom in pixels of the image", least=4, most=4)}
_FRAME = {
    "schema": _text("version of this object", choices=("edgecsp/1",)),
    "source": _text("name of the image or the stream"),
    "frame": _count("index of the frame, from 0"),
    "pts_s": _number("presentation time of the frame in seconds", nullable=True),
    "width": _count("of the image in pixels"),
    "height": _count("of the image in pixels"),
    "detections": _list(_answer("", "", _BOX), "of a detector"),
    "classes": _list(_answer("", "", _CLASS), "of a classifier, in the place of detections"),
}
RESULT = _answer(
    "Result",
    "the result of an image, as a line of edgecsp run --json",
    {**_FRAME, "warnings": _list(_text(), "problems with the image; absent when there are none")},
    ("detections", "classes", "warnings"),
)
_CORNERS = {name: _count("in pixels") for name in ("x_min", "y_min", "x_max", "y_max")}
_VISION = {
    "success": _flag(),
    "predictions": _list(
        _answer("", "", {"label": _text(), "confidence": Field("number", "", 0, 1), **_CORNERS}),
        "at most 20, the best first",
    ),
    "count": _count("number of predictions"),
    "code": _count("the status of HTTP"),
}
VISION = _answer(
    "Vision",
    "the answer of CodeProject.AI Server's object detector",
    {
        **_VISION,
        "message": _text("for people"),
        **{name: _count("milliseconds") for name in ("inferenceMs", "processMs", "analysisRoundTripMs")},
        **{name: _text() for name in ("command", "moduleId", "moduleName", "executionProvider", "timestampUTC")},
        "canUseGPU": _flag(),
    },
)
VISION_ERROR = _answer("VisionError", "the same for a refused request", {**_VISION, "error": _text("for people")})

STREAM = _answer(
    "Stream",
    "state, figures and filters of a stream",
    {
        "name": _text("for URLs and topics"),
        "title": _text("for people"),
        "source": _text("without its login"),
        "state": _text(choices=STATES),
        "reason": _text("why it is not live, for people; empty when it is"),
        "fps": _number("frames per second, over three seconds"),
        "latency_ms": _number("mean time from a frame's arrival to its result, over three seconds", nullable=True),
        "frames": _count("processed"),
        "dropped": _count("not processed because a newer one came"),
        "reconnects": _count("how often the source was opened again"),
        "width": _count("of a frame in pixels"),
        "height": _count("of a frame in pixels"),
        **_CURRENT,
        "class_ids": _list(_count(), "the classes to detect; null: all", nullable=True),
        "plot": Field("object", of=_answer("", "", {
            "step_s": _number("seconds of a step; there are ten minutes of them, the newest last"),
            "frames": _list(_count(), "by step"),
            "counts": Field("map", "by label: mean number in a frame, by step", of=_list(_number())),
        })),
    },
)  # fmt: skip
STREAMS = _answer("Streams", "all streams", {"streams": _list(STREAM)})
STATE = _answer(
    "State",
    "the state of the page: model, engine and all streams",
    {
        "version": _text("of edgecsp"),
        "model": Field("object", of=_answer("", "", {
            "name": _text(), "task": _text(choices=("detect", "classify")), "labels": _list(_text()),
            "conf": replace(THRESHOLDS["conf"], nullable=True), "iou": replace(THRESHOLDS["iou"], nullable=True),
            "width": _count("of the input"), "height": _count("of the input"),
            "random": _flag("whether the weights are random, for timing"),
            "palette": _list(_text(pattern="^#[0-9a-f]{6}$"), "colors of the classes in turn"),
        })),
        "engine": _text(nullable=True),
        "device": _text(nullable=True),
        "precision": _text(nullable=True),
        "threads": Field("whole", nullable=True),
        "healthy": _flag("whether requests can be answered"),
        "restarts": _count("sessions opened to replace a failed one"),
        "waiting": _count("requests"),
        "queue": _count("most requests that may wait"),
        "streams": _list(STREAM),
    },
)  # fmt: skip
SERVER = _answer("Server", "name, version and extensions of the protocol", {
    "name": _text(), "version": _text(), "extensions": _list(_text()),
})  # fmt: skip
LIVE = _answer("Live", "whether the server is live", {"live": _flag()})
READY = _answer("Ready", "whether the engine is ready", {"ready": _flag()})
MODEL_READY = _answer("ModelReady", "whether the model is ready", {"name": _text(), "ready": _flag()})
TENSOR = _answer("Tensor", "an input or an output", _TENSOR)
MODEL = _answer("Model", "inputs and outputs of the model", {
    "name": _text(), "versions": _list(_text()), "platform": _text(), "inputs": _list(TENSOR), "outputs": _list(TENSOR),
})  # fmt: skip
INFER_ANSWER = _answer(
    "InferAnswer",
    "outputs of an inference request",
    {
        "model_name": _text(),
        "model_version": _text(),
        "id": _text("of the request"),
        "outputs": _list(_answer("", "", {
            **_TENSOR, "data": _list(Field("any"), "values, row by row"),
            "parameters": Field("object", of=_answer("", "", {
                "binary_data_size": _count("bytes of this output after the JSON"),
            })),
        }, ("data", "parameters"))),
    },
    ("id",),
)  # fmt: skip

# -- events ----------------------------------------------------------------------------------------------------------

_EVENT = {
    "id": _count("grows, also from one start of the server to the next; identifies duplicates"),
    "stream": _text("its name"),
    "time": _text("UTC, ISO 8601"),
}
DETECTIONS_EVENT = _answer(
    "DetectionsEvent",
    "the result of a frame",
    {"type": _text(choices=("detections",)), **_EVENT, **_FRAME},
    ("detections", "classes"),
)
STATE_EVENT = _answer("StateEvent", "a stream changed its state", {
    "type": _text(choices=("state",)), **_EVENT, "state": STREAM.fields["state"], "reason": STREAM.fields["reason"],
})  # fmt: skip
LOST_EVENT = _answer("LostEvent", "this listener of /events was too slow", {"lost": _count("events it did not get")})
STREAM_MESSAGE = _answer("StreamMessage", "the latest state of a stream, retained by an MQTT broker", {
    "state": STREAM.fields["state"], "reason": STREAM.fields["reason"],
    "counts": Field("map", "objects in the latest frame, by label", of=_count()), "time": _EVENT["time"],
})  # fmt: skip

_NAMED_SOFTWARE = {name: _text() for name in ("name", "sw_version")}
_DEVICE = {"identifiers": _list(_text()), **_NAMED_SOFTWARE, "manufacturer": _text(), "model": _text()}
_OF_SOME_ENTITIES = ("availability_mode", "device_class", "entity_category", "icon", "state_class")
DISCOVERY_MESSAGE = _answer("DiscoveryMessage", "an entity of Home Assistant, retained by an MQTT broker", {
    **{name: _text() for name in ("name", "unique_id", "state_topic", "value_template")},
    "availability": _list(_answer("", "", {"topic": _text(), "value_template": _text()}, ("value_template",))),
    "device": Field("object", of=_answer("", "", _DEVICE)),
    "origin": Field("object", of=_answer("", "", _NAMED_SOFTWARE)),
    **{name: _text("of some entities") for name in _OF_SOME_ENTITIES},
}, _OF_SOME_ENTITIES)  # fmt: skip


class Channel(NamedTuple):
    """A way that events leave the server."""

    address: str
    description: str
    messages: Tuple[Shape, ...]


CHANNELS = (
    Channel(
        "GET /events",
        "Server-sent events: `event` is the type or `lost`, `data` the object, `id` its number. `Last-Event-ID` goes "
        "on after that event, within the latest 256.",
        (DETECTIONS_EVENT, STATE_EVENT, LOST_EVENT),
    ),
    Channel(
        "POST to each webhook",
        "Headers: `X-Edgecsp-Event` (the type), `X-Edgecsp-Delivery` (the id), and with a secret "
        "`X-Edgecsp-Signature-256` (sha256= and the HMAC of the body in hex). Any status from 200 to 299 accepts it.",
        (DETECTIONS_EVENT, STATE_EVENT),
    ),
    Channel("MQTT PREFIX/STREAM/events", "At least once, in order.", (DETECTIONS_EVENT, STATE_EVENT)),
    Channel("MQTT PREFIX/STREAM/state", "Retained. `PREFIX/availability` is `online` or `offline`.", (STREAM_MESSAGE,)),
    Channel(
        "MQTT homeassistant/COMPONENT/.../config", "Retained; for `discovery` of the site file.", (DISCOVERY_MESSAGE,)
    ),
)

# -- routes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """A route: what it takes and gives, by media type.

    `refusals` are its own statuses, beside those of any request, with an answer that may come in the place of `ERROR`.
    """

    method: str
    path: str
    tag: str
    summary: str
    answers: Mapping[str, Declared]
    parameters: Tuple[Parameter, ...] = ()
    body: Mapping[str, Declared] = field(default_factory=dict)
    refusals: Mapping[int, Optional[Shape]] = field(default_factory=dict)
    open_to_all: bool = False


_BYTES = Field("bytes")
_HTML: Dict[str, Declared] = {"text/html": _text()}
_NOT_FOUND: Dict[int, Optional[Shape]] = {404: None}
_IMAGES: Dict[str, Declared] = {JPEG: _BYTES, "image/png": _BYTES, OCTETS: _BYTES, FORM: IMAGE_FORM}
_PAGE_FILES = {"text/css": _text(), "text/javascript": _text(), **_HTML, "image/svg+xml": _text()}


def _of_model(path: str, parameters: Tuple[Parameter, ...]) -> Tuple[Operation, ...]:
    tag, infer = "kserve", "Run inference: tensors in, raw heads out; or an image in, boxes out"
    return (
        Operation("get", path, tag, "Model metadata: inputs and outputs", {JSON: MODEL}, parameters,
                  refusals=_NOT_FOUND),
        Operation("get", f"{path}/ready", tag, "Whether the model is ready", {JSON: MODEL_READY}, parameters,
                  refusals={404: None, 503: MODEL_READY}),
        Operation("post", f"{path}/infer", tag, infer, {JSON: INFER_ANSWER, OCTETS: _BYTES},
                  (*parameters, _JSON_LENGTH), {JSON: INFER_REQUEST, OCTETS: _BYTES}, {404: None, 415: None}),
    )  # fmt: skip


_STREAM_PATH, _NAMED = "/api/streams/{name}", (_STREAM_NAME,)
OPERATIONS: Tuple[Operation, ...] = (
    Operation("post", "/v1/detect", "detect", "Detect objects in an image; response as `edgecsp run --json`",
              {JSON: RESULT}, _QUERY, _IMAGES, {415: None}),
    Operation("post", "/v1/vision/detection", "detect", "The same in the format of CodeProject.AI and DeepStack",
              {JSON: VISION}, body={FORM: VISION_FORM},
              refusals=dict.fromkeys((400, 401, 408, 413, 415, 503), VISION_ERROR)),
    Operation("get", "/api/state", "streams", "State of the page: model, engine and all streams", {JSON: STATE}),
    Operation("get", "/api/streams", "streams", "All streams", {JSON: STREAMS}),
    Operation("get", _STREAM_PATH, "streams", "One stream", {JSON: STREAM}, _NAMED, refusals=_NOT_FOUND),
    Operation("put", _STREAM_PATH, "streams", "Set the filters of a stream; null: the model's default",
              {JSON: STREAM}, _NAMED, {JSON: FILTERS}, _NOT_FOUND),
    Operation("get", f"{_STREAM_PATH}/picture.jpg", "streams", "Newest frame with boxes", {JPEG: _BYTES}, _NAMED,
              refusals=_NOT_FOUND),
    Operation("get", f"{_STREAM_PATH}/video", "streams", "Frames with boxes as MJPEG",
              {"multipart/x-mixed-replace": _BYTES}, _NAMED, refusals={404: None, 503: None}),
    Operation("get", "/events", "streams", "Detections and state changes as server-sent events",
              {"text/event-stream": _text()}, (_LAST_EVENT,), refusals={503: None}),
    Operation("get", "/metrics", "server", "Metrics for Prometheus", {"text/plain": _text()}),
    Operation("get", "/v2", "kserve", "Server metadata", {JSON: SERVER}),
    Operation("get", "/v2/health/live", "kserve", "Whether the server is live", {JSON: LIVE}, open_to_all=True),
    Operation("get", "/v2/health/ready", "kserve", "Whether the engine is ready", {JSON: READY}, refusals={503: READY},
              open_to_all=True),
    *_of_model("/v2/models/{model}", (_MODEL_NAME,)),
    *_of_model("/v2/models/{model}/versions/{version}", (_MODEL_NAME, _VERSION)),
    Operation("get", "/", "page", "Web page", _HTML),
    Operation("get", "/docs", "page", "API documentation", _HTML),
    Operation("get", "/page/{file}", "page", "Files of the web page", _PAGE_FILES,
              (Parameter("file", "path", _text("index.html, page.css, ...")),), refusals=_NOT_FOUND, open_to_all=True),
    Operation("get", "/openapi.json", "server", "This description", {JSON: Field("map")}),
)  # fmt: skip
