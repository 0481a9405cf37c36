"""The server's routes.

pool, views, bus, metrics -> AppState -> routes -> Guard -> uvicorn
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, AsyncIterator, List, Optional

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..errors import EdgecspError, HTTPRequestError
from . import _json, area_routes, detect, events, openapi, request_options, v2
from .app_state import AppState, MjpegBroadcaster
from .body import Receive, Scope, Send, read
from .guard import App, Guard
from .live import StreamState
from .schema import parse_text
from .schemas import EVENT_TYPE

PAGE = Path(__file__).resolve().parent / "page"
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FRAME = b"edgecsp-frame"
CHANGE_BYTES = 64 << 10  # of the JSON of a PUT
# A browser shows an image only when the next part begins, so the last one is repeated; that also detects dead clients.
AGAIN_S, STALE_S = 0.3, 5.0


# -- the page and its data -----------------------------------------------------------------------------------------


def _file(name: str) -> Response:
    path = PAGE / name
    return Response(path.read_bytes(), media_type=KINDS[path.suffix], headers={"Cache-Control": "no-cache"})


def _files() -> List[str]:
    return sorted(path.name for path in PAGE.iterdir() if path.suffix in KINDS)


async def index(request: Any) -> Response:
    """GET /."""
    return _file("index.html")


async def docs(request: Any) -> Response:
    """GET /docs."""
    return _file("docs.html")


async def asset(request: Any) -> Response:
    """GET /page/{file}."""
    name = request.path_params["file"]
    if name not in _files():
        raise HTTPRequestError(404, f"no such file of the page: {name[:60]!r}")
    return _file(name)


async def openapi_json(request: Any) -> Response:
    """GET /openapi.json."""
    app_state, origin = _app_state(request), str(request.base_url).rstrip("/")
    return app_state.respond(openapi.document(app_state.model.name, list(app_state.views), _files(), origin))


async def state(request: Any) -> Response:
    """GET /api/state."""
    return _app_state(request).respond_bytes(_app_state(request).state())


async def streams(request: Any) -> Response:
    """GET /api/streams."""
    app_state = _app_state(request)
    return app_state.respond({"streams": [app_state.stream_to_dict(view) for view in app_state.views.values()]})


async def stream(request: Any) -> Response:
    """GET /api/streams/{name}."""
    app_state = _app_state(request)
    view = app_state.find_view(request)
    return app_state.respond(app_state.stream_to_dict(view))


async def change(request: Any) -> Response:
    """PUT /api/streams/{name}: set thresholds and filters from the next frame on; null resets to the default."""
    app_state = _app_state(request)
    view = app_state.find_view(request)
    try:
        settings = _json.parse(await read(request.receive, CHANGE_BYTES), CHANGE_BYTES)
    except ValueError as error:
        raise HTTPRequestError(400, f"the body is not valid JSON: {str(error)[:100]}") from error
    view.settings = request_options.change(app_state.model, view.settings, settings)
    return app_state.respond(app_state.stream_to_dict(view))


async def latest_image(request: Any) -> Response:
    """GET /api/streams/{name}/picture.jpg: the newest frame with its boxes, or the reason why there is none."""
    app_state = _app_state(request)
    number, data = await app_state.encode_jpeg(app_state.find_view(request))
    return Response(data, media_type="image/jpeg", headers={"X-Number": str(number)})


async def video(request: Any) -> Response:
    """GET /api/streams/{name}/video: endless MJPEG for a browser's img element."""
    app_state = _app_state(request)
    view = app_state.find_view(request)
    return _ViewerResponse(app_state, _frames(app_state, view), f"multipart/x-mixed-replace; boundary={FRAME.decode()}")


async def _frames(app_state: AppState, view: StreamState) -> AsyncIterator[bytes]:
    broadcaster = app_state.broadcasters.get(view.name)
    if broadcaster is None:
        broadcaster = app_state.broadcasters[view.name] = MjpegBroadcaster(app_state, view)
    broadcaster.open()
    try:
        number, again = -1, True
        yield b"--" + FRAME + b"\r\n"
        while not app_state.stopped:
            data = await broadcaster.after(number, STALE_S if again else AGAIN_S)
            again, number = number == broadcaster.number, broadcaster.number
            # The next boundary is sent along: a browser shows an image when it has read that line.
            yield b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n--%b\r\n" % (len(data), data, FRAME)
    finally:
        broadcaster.close()


async def listen(request: Any) -> Response:
    """GET /events: detections, state changes and events of lines and zones as server-sent events."""
    app_state = _app_state(request)
    after = request.headers.get("last-event-id", "")
    event_stream = events.sse(
        app_state.bus,
        after=int(after) if after.isdecimal() and len(after) < 18 else None,
        event_type=parse_text(EVENT_TYPE, "type", request.query_params.get("type", "")),
    )
    return _ViewerResponse(app_state, event_stream, "text/event-stream")


class _ViewerResponse(StreamingResponse):
    """Endless response that counts as a viewer while it runs."""

    def __init__(self, app_state: AppState, pieces: Any, kind: str) -> None:
        super().__init__(pieces, media_type=kind)
        self._app_state, self._pieces = app_state, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._app_state.reserve_viewer():
            try:
                await super().__call__(scope, receive, send)
            finally:
                await self._pieces.aclose()


async def metrics(request: Any) -> Response:
    """GET /metrics."""
    data, kind = _app_state(request).metrics.render()
    return Response(data, headers={"Content-Type": kind})


def _app_state(request: Any) -> AppState:
    app_state: AppState = request.app.state.edgecsp
    return app_state


# -- the application -----------------------------------------------------------------------------------------------


def _handle_error(request: Any, error: EdgecspError) -> Response:
    """Answer an error of this package with its status and message."""
    if isinstance(error, HTTPRequestError):
        return _error_response(request, error.status, str(error), error.retry_after_s)
    return _error_response(request, 503, str(error), 1)


def _handle_http_error(request: Any, error: HTTPException) -> Response:
    texts = {
        404: f"nothing at {request.url.path[:100]}; see /docs",
        405: f"method {request.method} is not allowed for {request.url.path[:100]}; see /docs",
    }
    answer = _error_response(request, error.status_code, texts.get(error.status_code, str(error.detail)), None)
    answer.headers.update(error.headers or {})
    return answer


def _error_response(request: Any, status: int, text: str, retry_after_s: Optional[int]) -> Response:
    return _app_state(request).respond_bytes(json.dumps({"error": text}).encode(), status, retry_after_s)


def routes() -> List[Route]:
    """Return all routes; `openapi` describes the same paths."""
    get, post = partial(Route, methods=["GET"]), partial(Route, methods=["POST"])
    named = "/v2/models/{model}"
    return [
        # The most frequent first: routes are tried in this order.
        post("/v1/detect", detect.detect), post("/v1/vision/detection", detect.vision),
        *(post(f"{named}{more}/infer", v2.infer) for more in ("", "/versions/{version}")),
        get("/api/state", state), get("/", index), get("/docs", docs), get("/page/{file}", asset),
        get("/openapi.json", openapi_json), get("/api/streams", streams), get("/api/streams/{name}", stream),
        Route("/api/streams/{name}", change, methods=["PUT"]),
        get("/api/streams/{name}/picture.jpg", latest_image), get("/api/streams/{name}/video", video),
        get("/api/streams/{name}/areas", area_routes.stream_areas),
        Route("/api/streams/{name}/areas", area_routes.change_areas, methods=["PUT"]),
        get("/api/events", area_routes.list_events), get("/api/events/{id}/snapshot.jpg", area_routes.snapshot),
        get("/api/events/{id}/clip.mp4", area_routes.clip),
        get("/events", listen), get("/metrics", metrics),
        get("/v2", v2.server), get("/v2/health/live", v2.live), get("/v2/health/ready", v2.ready),
        *(get(named + more, v2.model) for more in ("", "/versions/{version}")),
        *(get(f"{named}{more}/ready", v2.model_ready) for more in ("", "/versions/{version}")),
    ]  # fmt: skip


def build(app_state: AppState, token: Optional[str]) -> App:
    """Build the ASGI application, behind the guard."""

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        app_state.stop = asyncio.Event()
        yield
        app_state.close()

    app = Starlette(routes=routes(), lifespan=running)
    app.state.edgecsp = app_state
    app.router.redirect_slashes = False

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # Call the router directly: Starlette's two middleware layers wrap each message of a response, and their work is
        # done here.
        scope["app"] = app
        try:
            await app.router(scope, receive, send)
        except EdgecspError as error:
            await _handle_error(Request(scope), error)(scope, receive, send)
        except HTTPException as error:
            await _handle_http_error(Request(scope), error)(scope, receive, send)

    return Guard(answer, token=token, limits=app_state.limits, login=(PAGE / "login.html").read_bytes())
