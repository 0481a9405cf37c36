"""Parameters, requests and answers of the server, and the routes they belong to, declared once.

`schema` checks requests by it, `openapi` makes /openapi.json of it, `reference` the page docs/server-api.md; the tests
hold the answers of a running server against it. Lines, zones and their events are in `area_schemas`, the ways that
events leave the server in `channels`, the keys of the site file in `site_keys`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from ..options.uses import list_used_options
from .area_schemas import AREA_EVENT, AREAS, AREAS_CHANGE, AREAS_REFUSED, COUNTS, EVENTS
from .fields import answer, count, flag, list_of, number, object_of, text
from .live import STATES
from .schema import Declared, Field, Shape

_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"
JSON, JPEG, FORM, OCTETS = "application/json", "image/jpeg", "multipart/form-data", "application/octet-stream"


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
_STREAM_NAME = Parameter("name", "path", text("name of a stream, as listed by /api/streams"))
_MODEL_NAME = Parameter("model", "path", text("name of the model"))
_VERSION = Parameter("version", "path", text("version of the model"))
EVENT_QUERY = {
    "stream": text("name of a stream; default: all"),
    "kind": AREA_EVENT.fields["kind"],
    "since": text("only later ones than this time: UTC, 2026-11-30T12:00:00.000Z", pattern=_TIME),
    "limit": Field("whole", "the most events; default 50", 1, 500),
}
EVENT_TYPE = text("type of the events to send; default: all", choices=("detections", "state", "area"))
_EVENT_TYPE = Parameter("type", "query", EVENT_TYPE)
_EVENT_ID = Parameter("id", "path", text("id of an event, as listed by /api/events"))
_LAST_EVENT = Parameter("Last-Event-ID", "header", text("id of the last event received; later ones are sent again"))
_JSON_LENGTH = Parameter(
    "Inference-Header-Content-Length", "header", text("bytes of the JSON at the beginning of the body; tensors follow")
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
IMAGE_FORM = Shape("", "", {**THRESHOLDS, "image": Field("bytes", "the image file")}, ("image",))
VISION_FORM = Shape(
    "",
    "",
    {
        "api_key": text("the server's token, for programs that can send it only here"),
        "min_confidence": text("confidence threshold, 0 to 1; default 0.4"),
        "image": Field("bytes", "the image file"),
    },
    ("image",),
)

_TENSOR = {
    "name": text(),
    "datatype": text(choices=("FP32", "INT32", "BYTES")),
    "shape": list_of(Field("whole"), "-1: any size"),
}
_DATA = list_of(Field("any"), "values, row by row or nested; an image in base64", nullable=True)
OF_THE_MODEL = (*_TENSOR, "data")  # of an input and an output: which ones there are is the model's to say
INFER_REQUEST = Shape(
    "InferRequest",
    "an inference request of the Open Inference Protocol, version 2",
    {
        "id": text("comes back in the answer", nullable=True),
        "inputs": list_of(
            Shape("", "", {
                **_TENSOR, "data": _DATA,
                "parameters": Field("object", nullable=True, of=Shape("", "", {
                    "binary_data_size": count("bytes of this input after the JSON", nullable=True),
                })),
            }, tuple(_TENSOR)),
            "the network's own input, for its raw heads; or image, for boxes, scores, class_ids and labels",
            least=1, most=1,
        ),
        "outputs": list_of(
            Shape("", "", {
                "name": text(),
                "parameters": Field("object", nullable=True, of=Shape("", "", {
                    "binary_data": flag("send this output as bytes after the JSON"),
                })),
            }, ("name",)),
            "the outputs to send; default: all", nullable=True,
        ),
        "parameters": Field("object", nullable=True, of=Shape("", "", {
            **{name: replace(each, nullable=True, as_text=True) for name, each in THRESHOLDS.items()},
            "binary_data_output": flag("send all outputs as bytes after the JSON"),
        })),
    },
    ("inputs",),
)  # fmt: skip

# -- answers ---------------------------------------------------------------------------------------------------------

ERROR = answer("Error", "why a request was refused", {"error": text("for people")})

_CLASS = {"class_id": count("from 0"), "label": text(), "score": Field("number", "confidence", 0, 1)}
_BOX = {
    **_CLASS,
    "xyxy": list_of(number(), "left, top, right, bottom in pixels of the image", least=4, most=4),
    "track_id": count("of a stream that is tracked: the same object has the same id"),
}
FRAME = {
    "schema": text("version of this object", choices=("edgecsp/1",)),
    "source": text("name of the image or the stream"),
    "frame": count("index of the frame, from 0"),
    "pts_s": number("presentation time of the frame in seconds", nullable=True),
    "width": count("of the image in pixels"),
    "height": count("of the image in pixels"),
    "detections": list_of(answer("", "", _BOX, ("track_id",)), "of a detector"),
    "classes": list_of(answer("", "", _CLASS), "of a classifier, in the place of detections"),
}
RESULT = answer(
    "Result",
    "the result of an image, as a line of edgecsp run --json",
    {**FRAME, "warnings": list_of(text(), "problems with the image; absent when there are none")},
    ("detections", "classes", "warnings"),
)
_CORNERS = {name: count("in pixels") for name in ("x_min", "y_min", "x_max", "y_max")}
_VISION = {
    "success": flag(),
    "predictions": list_of(
        answer("", "", {"label": text(), "confidence": Field("number", "", 0, 1), **_CORNERS}),
        "at most 20, the best first",
    ),
    "count": count("number of predictions"),
    "code": count("the status of HTTP"),
}
VISION = answer(
    "Vision",
    "the answer of CodeProject.AI Server's object detector",
    {
        **_VISION,
        "message": text("for people"),
        **{name: count("milliseconds") for name in ("inferenceMs", "processMs", "analysisRoundTripMs")},
        **{name: text() for name in ("command", "moduleId", "moduleName", "executionProvider", "timestampUTC")},
        "canUseGPU": flag(),
    },
)
VISION_ERROR = answer("VisionError", "the same for a refused request", {**_VISION, "error": text("for people")})

STREAM = answer(
    "Stream",
    "state, figures and filters of a stream",
    {
        "name": text("for URLs and topics"),
        "title": text("for people"),
        "source": text("without its login"),
        "state": text(choices=STATES),
        "reason": text("why it is not live, for people; empty when it is"),
        "fps": number("frames per second, over three seconds"),
        "latency_ms": number("mean time from a frame's arrival to its result, over three seconds", nullable=True),
        "frames": count("processed"),
        "dropped": count("not processed because a newer one came"),
        "reconnects": count("how often the source was opened again"),
        "width": count("of a frame in pixels"),
        "height": count("of a frame in pixels"),
        **_CURRENT,
        "class_ids": list_of(count(), "the classes to detect; null: all", nullable=True),
        "track": flag("whether its objects are tracked"),
        "editable": flag("whether its lines and zones may be changed"),
        "areas": replace(object_of(COUNTS), nullable=True),
        "plot": Field("object", of=answer("", "", {
            "step_s": number("seconds of a step; there are ten minutes of them, the newest last"),
            "frames": list_of(count(), "by step"),
            "counts": Field("map", "by label: mean number in a frame, by step", of=list_of(number())),
        })),
    },
)  # fmt: skip
STREAMS = answer("Streams", "all streams", {"streams": list_of(STREAM)})
STATE = answer(
    "State",
    "the state of the page: model, engine and all streams",
    {
        "version": text("of edgecsp"),
        "model": Field("object", of=answer("", "", {
            "name": text(), "task": text(choices=("detect", "classify")), "labels": list_of(text()),
            "conf": replace(THRESHOLDS["conf"], nullable=True), "iou": replace(THRESHOLDS["iou"], nullable=True),
            "width": count("of the input"), "height": count("of the input"),
            "random": flag("whether the weights are random, for timing"),
            "palette": list_of(text(pattern="^#[0-9a-f]{6}$"), "colors of the classes in turn"),
        })),
        "engine": text(nullable=True),
        "device": text(nullable=True),
        "precision": text(nullable=True),
        "threads": Field("whole", nullable=True),
        "healthy": flag("whether requests can be answered"),
        "restarts": count("sessions opened to replace a failed one"),
        "waiting": count("requests"),
        "queue": count("most requests that may wait"),
        "streams": list_of(STREAM),
    },
)  # fmt: skip
SERVER = answer("Server", "name, version and extensions of the protocol", {
    "name": text(), "version": text(), "extensions": list_of(text()),
})  # fmt: skip
LIVE = answer("Live", "whether the server is live", {"live": flag()})
READY = answer("Ready", "whether the engine is ready", {"ready": flag()})
MODEL_READY = answer("ModelReady", "whether the model is ready", {"name": text(), "ready": flag()})
TENSOR = answer("Tensor", "an input or an output", _TENSOR)
MODEL = answer("Model", "inputs and outputs of the model", {
    "name": text(), "versions": list_of(text()), "platform": text(), "inputs": list_of(TENSOR),
    "outputs": list_of(TENSOR),
})  # fmt: skip
INFER_ANSWER = answer(
    "InferAnswer",
    "outputs of an inference request",
    {
        "model_name": text(),
        "model_version": text(),
        "id": text("of the request"),
        "outputs": list_of(answer("", "", {
            **_TENSOR, "data": list_of(Field("any"), "values, row by row"),
            "parameters": Field("object", of=answer("", "", {
                "binary_data_size": count("bytes of this output after the JSON"),
            })),
        }, ("data", "parameters"))),
    },
    ("id",),
)  # fmt: skip

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
_HTML: Dict[str, Declared] = {"text/html": text()}
_NOT_FOUND: Dict[int, Optional[Shape]] = {404: None}
_IMAGES: Dict[str, Declared] = {JPEG: _BYTES, "image/png": _BYTES, OCTETS: _BYTES, FORM: IMAGE_FORM}
_PAGE_FILES = {"text/css": text(), "text/javascript": text(), **_HTML, "image/svg+xml": text()}


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
_AREAS_PATH = f"{_STREAM_PATH}/areas"
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
    Operation("get", _AREAS_PATH, "areas", "Lines and zones of a stream, and what they counted", {JSON: AREAS}, _NAMED,
              refusals=_NOT_FOUND),
    Operation("put", _AREAS_PATH, "areas", "Replace the lines and zones of a stream whose site has `editable = true`",
              {JSON: AREAS}, _NAMED, {JSON: AREAS_CHANGE}, {403: AREAS_REFUSED, 404: None}),
    Operation("get", "/api/events", "areas", "The latest events of lines and zones, newest first", {JSON: EVENTS},
              tuple(Parameter(name, "query", declared) for name, declared in EVENT_QUERY.items())),
    Operation("get", "/api/events/{id}/snapshot.jpg", "areas", "The frame of an event", {JPEG: _BYTES}, (_EVENT_ID,),
              refusals=_NOT_FOUND),
    Operation("get", "/api/events/{id}/clip.mp4", "areas", "The seconds around an event; ranges are answered with 206",
              {"video/mp4": _BYTES}, (_EVENT_ID,), refusals={404: None, 416: None}),
    Operation("get", "/events", "streams", "Detections, states, and events of lines and zones, as server-sent events",
              {"text/event-stream": text()}, (_EVENT_TYPE, _LAST_EVENT), refusals={503: None}),
    Operation("get", "/metrics", "server", "Metrics for Prometheus", {"text/plain": text()}),
    Operation("get", "/v2", "kserve", "Server metadata", {JSON: SERVER}),
    Operation("get", "/v2/health/live", "kserve", "Whether the server is live", {JSON: LIVE}, open_to_all=True),
    Operation("get", "/v2/health/ready", "kserve", "Whether the engine is ready", {JSON: READY}, refusals={503: READY},
              open_to_all=True),
    *_of_model("/v2/models/{model}", (_MODEL_NAME,)),
    *_of_model("/v2/models/{model}/versions/{version}", (_MODEL_NAME, _VERSION)),
    Operation("get", "/", "page", "Web page", _HTML),
    Operation("get", "/docs", "page", "API documentation", _HTML),
    Operation("get", "/page/{file}", "page", "Files of the web page", _PAGE_FILES,
              (Parameter("file", "path", text("index.html, page.css, ...")),), refusals=_NOT_FOUND, open_to_all=True),
    Operation("get", "/openapi.json", "server", "This description", {JSON: Field("map")}),
)  # fmt: skip
