"""Detection over HTTP: `/v1/detect` in our own format, `/v1/vision/detection` in CodeProject.AI's and DeepStack's.

An image's size is read from its header before it is decoded: a file of 100 kB may decode to a gigabyte.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from email.utils import formatdate
from typing import Any, Dict, List

from ..errors import EdgecspError, HTTPRequestError, SourceError
from ..media.sinks.rows import to_dict
from ..media.sources import decoding
from ..types import Detections, Frame, Stream
from . import request_options
from .body import read
from .header import check
from .inference_context import InferenceContext
from .key import Caller
from .multipart import UploadedImage, receive_form
from .schema import parse_text
from .schemas import THRESHOLDS

MOST_PREDICTIONS = 20  # Frigate reads the first 20 rows
LEAST_CONFIDENCE = 0.4  # CodeProject.AI's default


def decode(data: bytes, name: str, most_pixels: int) -> decoding.DecodedImage:
    """Check an image's header, then decode it to (H, W, 3) uint8 BGR with warnings. Raises `HTTPRequestError`.

    Call it in a worker, not on the event loop: a header may have thousands of segments.
    """
    check(data, most_pixels)
    try:
        return decoding.decode(data, name, most_pixels)
    except SourceError as error:
        raise HTTPRequestError(400, str(error)) from error


# -- requests ------------------------------------------------------------------------------------------------------


async def receive_image(request: Any) -> UploadedImage:
    """Receive the image of a request: its body, or the field `image` of a form. Raises `HTTPRequestError`.

    A client that is not authenticated may only send a form, because some programs send the key as a form field.
    """
    caller: Caller = request.scope["state"]["caller"]
    kind = request.headers.get("content-type", "")
    word = kind.partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPRequestError(415, "compressed bodies are not supported; send the image file as it is")
    if word == "multipart/form-data":
        upload = await receive_form(request.receive, kind, caller.field)
        caller.check()
        return upload
    caller.check()
    if word not in ("", "application/octet-stream") and not word.startswith("image/"):
        raise HTTPRequestError(
            415,
            f"content type {word[:60]!r} is not supported; send image/jpeg, or multipart/form-data with a field image",
        )
    return UploadedImage(await read(request.receive), "picture", {})


# -- responses -----------------------------------------------------------------------------------------------------


async def detect(request: Any) -> Any:
    """POST /v1/detect: an image -> the object of one line of `edgecsp run --json`."""
    app_state, query = request.app.state.edgecsp, request.query_params.multi_items()
    request_settings = request_options.override(app_state.model, app_state.settings, request_options.join(query))
    upload = await receive_image(request)
    fields = [pair for pair in upload.fields.items() if pair[0] in THRESHOLDS]  # programs send others, too
    if fields:
        values = request_options.join([*query, *fields])
        request_settings = request_options.override(app_state.model, app_state.settings, values)

    def work(context: InferenceContext) -> bytes:
        image, warnings = context.timed("decode", decode, upload.data, upload.name, app_state.limits.pixels)
        row = to_dict(Frame(image, Stream(upload.name)), context.detect(image, request_settings))
        if warnings:
            row["warnings"] = list(warnings)
        return json.dumps(row, allow_nan=False).encode()

    return app_state.respond_bytes(await app_state.ask(work))


async def vision(request: Any) -> Any:
    """POST /v1/vision/detection: the API of Frigate, Viseron, Blue Iris and Home Assistant integrations."""
    app_state = request.app.state.edgecsp
    begun = time.perf_counter()
    took: List[float] = []
    try:
        upload = await receive_image(request)
        least = parse_text(THRESHOLDS["conf"], "min_confidence", upload.fields.get("min_confidence", ""))
        request_settings = replace(app_state.settings, conf=LEAST_CONFIDENCE if least is None else least)
        if not app_state.model.has_boxes:
            raise HTTPRequestError(400, f"{app_state.model.name} is a classifier and has no boxes; use /v1/detect")

        def work(context: InferenceContext) -> Any:
            result = context.detect(
                lambda: decode(upload.data, upload.name, app_state.limits.pixels).image, request_settings
            )
            took.append(context.infer_s)
            return result

        result = await app_state.ask(work)
    except EdgecspError as error:
        status = error.status if isinstance(error, HTTPRequestError) else 503
        body = {"success": False, "error": str(error), "predictions": [], "count": 0, "code": status}
        return app_state.respond_bytes(json.dumps(body).encode(), status, getattr(error, "retry_after_s", None))
    spent = (time.perf_counter() - begun) * 1e3
    return app_state.respond_bytes(json.dumps(_predictions(result, app_state, took[0] * 1e3, spent)).encode())


def _predictions(result: Detections, app_state: Any, inference_ms: float, spent_ms: float) -> Dict[str, Any]:
    """Build the response of CodeProject.AI Server's "Object Detector"; DeepStack's is a subset of it."""
    best = sorted(result, key=lambda each: -each.score)[:MOST_PREDICTIONS]
    corners = ("x_min", "y_min", "x_max", "y_max")
    rows = [
        {"confidence": round(each.score, 5), "label": each.label, **dict(zip(corners, map(round, each.xyxy)))}
        for each in best
    ]
    names = ", ".join(dict.fromkeys(each.label for each in best))
    return {
        "success": True,
        "message": f"Found {names}" if names else "No objects found",
        "count": len(rows),
        "predictions": rows,
        "inferenceMs": round(inference_ms),
        "processMs": round(spent_ms),
        "analysisRoundTripMs": round(spent_ms),
        "code": 200,
        "command": "detect",
        "moduleId": "edgecsp",
        "moduleName": f"edgecsp {app_state.model.name}",
        "executionProvider": str(app_state.facts.get("engine", "")),
        "canUseGPU": str(app_state.facts.get("device", "cpu")) != "cpu",
        "timestampUTC": formatdate(usegmt=True),
    }
