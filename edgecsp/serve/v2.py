"""KServe's Open Inference Protocol, version 2: what Triton's clients speak.

A model is asked in one of two ways: with the network's own input, named and shaped as in its ONNX file, for raw heads;
or, for people, with the input `image`, one encoded picture, for boxes, scores, class_ids and labels. Tensors travel as
JSON or as bytes behind it (Triton's binary tensor extension, which its clients use unasked).

Sources: kserve/open-inference-protocol, inference_rest.md; Triton, extension_binary_data.md.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from .. import __version__
from ..errors import HTTPRequestError
from ..types import Detections
from . import pictures, tensors
from .body import read
from .inference_context import InferenceContext

PLATFORM = "onnx_edgecsp"


# -- what the server and its model are ------------------------------------------------------------------------------


async def server(request: Any) -> Any:
    """GET /v2."""
    said = {"name": "edgecsp", "version": __version__, "extensions": ["binary_tensor_data"]}
    return request.app.state.desk.said(said)


async def live(request: Any) -> Any:
    """GET /v2/health/live."""
    return request.app.state.desk.said({"live": True})


async def ready(request: Any) -> Any:
    """GET /v2/health/ready: 503 while there is no session."""
    desk = request.app.state.desk
    return desk.said({"ready": desk.healthy}, 200 if desk.healthy else 503)


async def model(request: Any) -> Any:
    """GET /v2/models/{model}."""
    desk = _named(request)
    return desk.said(
        {
            "name": desk.model.name,
            "versions": [tensors.VERSION],
            "platform": PLATFORM,
            "inputs": [each.said() for each in desk.signature.inputs],
            "outputs": [each.said() for each in desk.signature.outputs],
        }
    )


async def model_ready(request: Any) -> Any:
    """GET /v2/models/{model}/ready."""
    desk = _named(request)
    return desk.said({"name": desk.model.name, "ready": desk.healthy}, 200 if desk.healthy else 503)


def _named(request: Any) -> Any:
    desk = request.app.state.desk
    name, version = request.path_params["model"], request.path_params.get("version", tensors.VERSION)
    if name != desk.model.name:
        raise HTTPRequestError(404, f"no model is called {name[:100]!r} here; this server has {desk.model.name!r}")
    if version != tensors.VERSION:
        raise HTTPRequestError(404, f"{desk.model.name} has no version {version[:20]!r}; it has {tensors.VERSION!r}")
    return desk


# -- inference ------------------------------------------------------------------------------------------------------


async def infer(request: Any) -> Any:
    """POST /v2/models/{model}/infer."""
    desk = _named(request)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPRequestError(415, "the body is compressed; send it as it is")
    length = request.headers.get(tensors.HEADER)
    # Without that header all of it is JSON.
    body = await read(request.receive, desk.signature.json_bytes if length is None else None, tensors.BINARY)

    def work(turn: InferenceContext) -> Tuple[bytes, Optional[int]]:
        # Here and not on the loop: a tensor as JSON takes a tenth of a second to read.
        asked = tensors.taken_apart(body, length, desk)
        if asked.given.datatype == "BYTES":
            most, name = desk.limits.pixels, asked.given.name
            found = turn.detect(lambda: pictures.decoded(asked.data, name, most).image, asked.settings)
            outputs = _columns(found)
        else:
            turn.detector.ready(asked.data)  # not watched as the engine's call is: a graph may be compiled
            heads = turn.infer(asked.data)
            outputs = {head.name: value for head, value in zip(desk.model.heads, heads)}
        return tensors.written(asked, outputs, desk.model.name)

    said, header = await desk.ask(work)
    return desk.tensors(said, header)


def _columns(found: Any) -> Dict[str, Any]:
    columns = {
        "scores": found.scores,
        "class_ids": found.class_ids,
        "labels": [found.label(int(each)) for each in found.class_ids],
    }
    return {"boxes": found.xyxy, **columns} if isinstance(found, Detections) else columns
