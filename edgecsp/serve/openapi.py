"""OpenAPI 3.0 description of the routes, for `/openapi.json` and `/docs`.

A test compares it with `app.routes`.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

from .. import __version__
from . import request_options

JSON, JPEG, FORM = "application/json", "image/jpeg", "multipart/form-data"
Schema = Dict[str, Any]

_NUMBER: Schema = {"type": "number"}
_UNIT: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_BYTES: Schema = {"type": "string", "format": "binary"}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _object(required: Sequence[str] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_STREAM = {
    "name": _TEXT, "title": _TEXT, "source": _TEXT,
    "state": {"type": "string", "enum": ["connecting", "live", "no signal", "ended", "failed"]},
    "reason": _TEXT, "fps": _NUMBER, "latency_ms": {"type": "number", "nullable": True}, "frames": _COUNT,
    "dropped": _COUNT, "reconnects": _COUNT, "width": _COUNT, "height": _COUNT,
    **{name: schema for name, schema in request_options.schemas(nullable=True).items() if name != "classes"},
    "class_ids": _list(_COUNT, nullable=True),
    "plot": _object(
        step_s=_NUMBER, frames=_list(_COUNT), counts={"type": "object", "additionalProperties": _list(_NUMBER)}
    ),
}  # fmt: skip
_TENSOR = {
    "name": _TEXT,
    "datatype": {"type": "string", "enum": ["FP32", "INT32", "BYTES"]},
    "shape": _list({"type": "integer"}),
}

SCHEMAS: Dict[str, Schema] = {
    "Error": _object(["error"], error=_TEXT),
    "Result": _object(
        ["schema", "source", "frame", "width", "height"],
        schema=_TEXT, source=_TEXT, frame=_COUNT, pts_s={"type": "number", "nullable": True}, width=_COUNT,
        height=_COUNT,
        detections=_list(_object(
            ["class_id", "label", "score", "xyxy"],
            class_id=_COUNT, label=_TEXT, score=_UNIT, xyxy=_list(_NUMBER, minItems=4, maxItems=4),
        )),
        classes=_list(_object(["class_id", "label", "score"], class_id=_COUNT, label=_TEXT, score=_UNIT)),
        warnings=_list(_TEXT, description="problems with the image; absent when there are none"),
    ),
    "Vision": _object(
        ["success"],
        success={"type": "boolean"}, message=_TEXT, error=_TEXT, count=_COUNT, code=_COUNT, inferenceMs=_COUNT,
        processMs=_COUNT, analysisRoundTripMs=_COUNT, moduleId=_TEXT, moduleName=_TEXT, command=_TEXT,
        executionProvider=_TEXT, canUseGPU={"type": "boolean"}, timestampUTC=_TEXT,
        predictions=_list(_object(
            ["label", "confidence", "x_min", "y_min", "x_max", "y_max"], label=_TEXT, confidence=_UNIT, x_min=_COUNT,
            y_min=_COUNT, x_max=_COUNT, y_max=_COUNT,
        )),
    ),
    "Stream": _object(["name", "state"], **_STREAM),
    "Settings": {
        **_object((), **request_options.schemas(nullable=True)),
        "additionalProperties": False,
    },
    "Tensor": _object(["name", "datatype", "shape"], **_TENSOR),
    "Model": _object(
        ["name", "platform", "inputs", "outputs"], name=_TEXT, versions=_list(_TEXT), platform=_TEXT,
        inputs=_list(_ref("Tensor")), outputs=_list(_ref("Tensor")),
    ),
    "InferRequest": _object(
        ["inputs"],
        id=_TEXT,
        inputs=_list(
            _object(["name", "datatype", "shape"], **_TENSOR, data=_list({}), parameters={"type": "object"}),
            minItems=1, maxItems=1,
        ),
        outputs=_list(_object(["name"], name=_TEXT, parameters={"type": "object"})),
        parameters=_object((), **request_options.schemas(), binary_data_output={"type": "boolean"}),
    ),
    "InferAnswer": _object(
        ["model_name", "outputs"], model_name=_TEXT, model_version=_TEXT, id=_TEXT,
        outputs=_list(_object(["name", "datatype", "shape"], **_TENSOR, data=_list({}), parameters={"type": "object"})),
    ),
}  # fmt: skip
_MEANING = {
    400: "The request is invalid; `error` says why",
    401: "A token is needed",
    403: "The request comes from another site's page, or names a host that is not this server",
    404: "Not found",
    408: "The body did not arrive in time",
    413: "The body or the image is too large",
    415: "The content type is not supported",
    429: "Too many connections from this address without a valid token",
    431: "The header or its Cookie is too large",
    500: "Unexpected error; the server's log has the traceback",
    503: "The server is overloaded, or the engine is restarting; see Retry-After",
}
_ANYWHERE = (403, 429, 431, 500)  # possible for every route


def _param(name: str, where: str, schema: Schema, text: str) -> Schema:
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "description": text}


_NAME = _param("name", "path", _TEXT, "name of a stream, as listed by /api/streams")
_MODEL = _param("model", "path", _TEXT, "name of the model")
_VERSION = _param("version", "path", _TEXT, "version of the model")
_CHOICE = tuple(
    _param(option.key, "query", request_options.schemas()[option.key], option.describe())
    for option in request_options.OPTIONS
)


def _operation(
    tag: str,
    summary: str,
    answer: Dict[str, Schema],
    *,
    params: Sequence[Schema] = (),
    body: Optional[Dict[str, Schema]] = None,
    refusals: Sequence[int] = (),
    refusal: str = "Error",
    open_to_all: bool = False,
) -> Schema:
    operation: Schema = {"tags": [tag], "summary": summary}
    if params:
        operation["parameters"] = [dict(each) for each in params]
    if body:
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in body.items()},
        }
    responses = {"200": {"description": "OK", "content": {kind: {"schema": schema} for kind, schema in answer.items()}}}
    # Any body may be invalid, and any request may be refused.
    codes = {*refusals, *_ANYWHERE, *(() if open_to_all else (401,)), *((400, 408, 413, 503) if body else (400,))}
    for code in sorted(codes):
        content = {JSON: {"schema": _ref(refusal if code not in (401, 408, *_ANYWHERE) else "Error")}}
        if refusal != "Error":
            content[JSON] = {"schema": {"anyOf": [_ref(refusal), _ref("Error")]}}
        responses[str(code)] = {"description": _MEANING[code], "content": content}
    operation["responses"] = responses
    if open_to_all:
        operation["security"] = []
    return operation


def _paths() -> Dict[str, Dict[str, Schema]]:
    any_json: Dict[str, Schema] = {JSON: {"type": "object"}}
    form = _object(["image"], image=_BYTES)
    field = {"api_key": _TEXT, "min_confidence": _TEXT, "image": _BYTES}
    html: Dict[str, Schema] = {"text/html": _TEXT}
    paths: Dict[str, Dict[str, Schema]] = {
        "/v1/detect": {"post": _operation(
            "detect", "Detect objects in an image; response as `edgecsp run --json`", {JSON: _ref("Result")},
            params=_CHOICE, body={JPEG: _BYTES, "image/png": _BYTES, "application/octet-stream": _BYTES, FORM: form},
            refusals=(415,),
        )},
        "/v1/vision/detection": {"post": _operation(
            "detect", "The same in the format of CodeProject.AI and DeepStack", {JSON: _ref("Vision")},
            body={FORM: {"type": "object", "properties": field, "required": ["image"]}}, refusals=(401, 415),
            refusal="Vision",
        )},
        "/api/state": {"get": _operation("streams", "State of the page: model, engine and all streams", any_json)},
        "/api/streams": {"get": _operation(
            "streams", "All streams", {JSON: _object(["streams"], streams=_list(_ref("Stream")))}
        )},
        "/api/streams/{name}": {
            "get": _operation("streams", "One stream", {JSON: _ref("Stream")}, params=[_NAME], refusals=(404,)),
            "put": _operation(
                "streams", "Set the filters of a stream; null: the model's default", {JSON: _ref("Stream")},
                params=[_NAME], body={JSON: _ref("Settings")}, refusals=(404,),
            ),
        },
        "/api/streams/{name}/picture.jpg": {"get": _operation(
            "streams", "Newest frame with boxes", {JPEG: _BYTES}, params=[_NAME], refusals=(404,)
        )},
        "/api/streams/{name}/video": {"get": _operation(
            "streams", "Frames with boxes as MJPEG", {"multipart/x-mixed-replace": _BYTES},
            params=[_NAME], refusals=(404, 503),
        )},
        "/events": {"get": _operation(
            "streams", "Detections and state changes as server-sent events", {"text/event-stream": _TEXT},
            refusals=(503,),
        )},
        "/metrics": {"get": _operation("server", "Metrics for Prometheus", {"text/plain": _TEXT})},
        "/v2": {"get": _operation("kserve", "Server metadata", any_json)},
        "/v2/health/live": {"get": _operation("kserve", "Whether the server is live", any_json, open_to_all=True)},
        "/v2/health/ready": {"get": _operation(
            "kserve", "Whether the engine is ready", any_json, refusals=(503,), open_to_all=True
        )},
        "/": {"get": _operation("page", "Web page", html)},
        "/docs": {"get": _operation("page", "API documentation", html)},
        "/page/{file}": {"get": _operation(
            "page", "Files of the web page",
            {"text/css": _TEXT, "text/javascript": _TEXT, **html, "image/svg+xml": _TEXT},
            params=[_param("file", "path", _TEXT, "index.html, page.css, ...")], refusals=(404,), open_to_all=True,
        )},
        "/openapi.json": {"get": _operation("server", "This description", any_json)},
    }  # fmt: skip
    paths.update(_model_paths(any_json))
    return paths


def _model_paths(any_json: Dict[str, Schema]) -> Dict[str, Dict[str, Schema]]:
    paths: Dict[str, Dict[str, Schema]] = {}
    named: Tuple[Tuple[str, Sequence[Schema]], ...] = (
        ("/v2/models/{model}", (_MODEL,)), ("/v2/models/{model}/versions/{version}", (_MODEL, _VERSION))
    )  # fmt: skip
    for base, params in named:
        paths[base] = {"get": _operation(
            "kserve", "Model metadata: inputs and outputs", {JSON: _ref("Model")}, params=params, refusals=(404,)
        )}  # fmt: skip
        paths[f"{base}/ready"] = {"get": _operation(
            "kserve", "Whether the model is ready", any_json, params=params, refusals=(404, 503)
        )}  # fmt: skip
        paths[f"{base}/infer"] = {"post": _operation(
            "kserve", "Run inference: tensors in, raw heads out; or an image in, boxes out",
            {JSON: _ref("InferAnswer"), "application/octet-stream": _BYTES}, params=params,
            body={JSON: _ref("InferRequest")}, refusals=(404, 415),
        )}  # fmt: skip
    return paths


def document(model: str, streams: Sequence[str] = (), files: Sequence[str] = ()) -> Dict[str, Any]:
    """Build the OpenAPI document; `model`, `streams` and `files` (of the page) are the existing names."""
    there = {"model": [model], "version": ["1"], "name": list(streams), "file": list(files)}
    paths = _paths()
    for verbs in paths.values():
        for operation in verbs.values():
            for each in operation.get("parameters", ()):
                if each["in"] == "path" and there[each["name"]]:
                    each["schema"] = {**_TEXT, "enum": there[each["name"]]}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "edgecsp",
            "version": __version__,
            "description": f"Object detection in images and streams with {model}. Example: "
            "`curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg' http://localhost:8080/v1/detect`",
        },
        "tags": [{"name": name} for name in ("detect", "streams", "kserve", "server", "page")],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}, {}],
    }
