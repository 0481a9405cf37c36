"""KServe's Open Inference Protocol, version 2, which Triton clients use.

A request has one of two inputs: the network's own, named and shaped as in its ONNX file, which returns raw heads; or
`image`, one encoded image, which returns boxes, scores, class_ids and labels. Tensors are sent as JSON or as bytes
after it (Triton's binary tensor extension, the default of its clients).

Sources: kserve/open-inference-protocol, inference_rest.md; Triton, extension_binary_data.md.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from .. import __version__
from ..errors import HTTPRequestError
from . import detect, tensors
from .body import read
from .inference_context import InferenceContext

PLATFORM = "onnx_edgecsp"


# -- metadata -------------------------------------------------------------------------------------------------------


async def server(request: Any) -> Any:
    """GET /v2."""
    body = {"name": "edgecsp", "version": __version__, "extensions": ["binary_tensor_data"]}
    return request.app.state.edgecsp.respond(body)


async def live(request: Any) -> Any:
    """GET /v2/health/live."""
    return request.app.state.edgecsp.respond({"live": True})


async def ready(request: Any) -> Any:
    """GET /v2/health/ready: 503 while there is no session."""
    app_state = request.app.state.edgecsp
    return app_state.respond({"ready": app_state.healthy}, 200 if app_state.healthy else 503)


async def model(request: Any) -> Any:
    """GET /v2/models/{model}."""
    app_state = _require_model(request)
    return app_state.respond(
        {
            "name": app_state.model.name,
            "versions": [tensors.VERSION],
            "platform": PLATFORM,
            "inputs": [each.to_dict() for each in app_state.signature.inputs],
            "outputs": [each.to_dict() for each in app_state.signature.outputs],
        }
    )


async def model_ready(request: Any) -> Any:
    """GET /v2/models/{model}/ready."""
    app_state = _require_model(request)
    return app_state.respond(
        {"name": app_state.model.name, "ready": app_state.healthy}, 200 if app_state.healthy else 503
    )


def _require_model(request: Any) -> Any:
    app_state = request.app.state.edgecsp
    name, version = request.path_params["model"], request.path_params.get("version", tensors.VERSION)
    if name != app_state.model.name:
        raise HTTPRequestError(404, f"no model named {name[:100]!r}; this server has {app_state.model.name!r}")
    if version != tensors.VERSION:
        raise HTTPRequestError(
            404, f"{app_state.model.name} has no version {version[:20]!r}; it has {tensors.VERSION!r}"
        )
    return app_state


# -- inference ------------------------------------------------------------------------------------------------------


async def infer(request: Any) -> Any:
    """POST /v2/models/{model}/infer."""
    app_state = _require_model(request)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPRequestError(415, "compressed bodies are not supported")
    length = request.headers.get(tensors.HEADER)
    # Without this header the whole body is JSON.
    body = await read(request.receive, app_state.signature.json_bytes if length is None else None, tensors.BINARY)

    def work(context: InferenceContext) -> Tuple[bytes, Optional[int]]:
        # In the worker and not on the event loop: parsing a tensor from JSON takes 0.1 s.
        request_ = tensors.parse_request(body, length, app_state)
        if request_.input_tensor.datatype == "BYTES":
            most, name = app_state.limits.pixels, request_.input_tensor.name
            result = context.detect(lambda: detect.decode(request_.data, name, most).image, request_.settings)
            outputs = result.columns()
        else:
            context.detector.warm_up(request_.data)  # not watched like the engine call: a graph may be compiled
            heads = context.infer(request_.data)
            outputs = {head.name: value for head, value in zip(app_state.model.heads, heads)}
        return tensors.encode_response(request_, outputs, app_state.model.name)

    answer, header = await app_state.ask(work)
    return app_state.respond_tensors(answer, header)
