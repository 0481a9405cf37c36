"""The server's routes.

batcher, views, bus, metrics -> Desk -> routes -> Guard -> uvicorn
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, AsyncIterator, Dict, List, Optional, Tuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..errors import EdgecspError, HTTPRequestError
from . import _json, events, openapi, pictures, v2
from .app_state import AppState, MjpegBroadcaster
from .body import Receive, Scope, Send, read
from .guard import App, Guard
from .live import StreamState

PAGE = Path(__file__).resolve().parent / "page"
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FRAME = b"edgecsp-frame"
CHANGE_BYTES = 64 << 10  # of the JSON of a PUT
# A browser shows the last picture of all only when another one comes; and a connection that is dead is found out.
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
        raise HTTPRequestError(404, f"the page has no file {name[:60]!r}")
    return _file(name)


async def described(request: Any) -> Response:
    """GET /openapi.json."""
    desk = _desk(request)
    return desk.said(openapi.document(desk.model.name, list(desk.views), _files()))


async def state(request: Any) -> Response:
    """GET /api/state."""
    return _desk(request).json(_desk(request).state())


async def streams(request: Any) -> Response:
    """GET /api/streams."""
    desk = _desk(request)
    return desk.said({"streams": [desk.described(view) for view in desk.views.values()]})


async def stream(request: Any) -> Response:
    """GET /api/streams/{name}."""
    desk, view = _desk(request), _view(request)
    return desk.said(desk.described(view))


async def change(request: Any) -> Response:
    """PUT /api/streams/{name}: conf, iou and classes from the next frame on; null is the model's own."""
    desk, view = _desk(request), _view(request)
    try:
        said = _json.parse(await read(request.receive, CHANGE_BYTES), CHANGE_BYTES)
    except ValueError as error:
        raise HTTPRequestError(400, f"the body is no JSON: {str(error)[:100]}") from error
    if not isinstance(said, dict):
        raise HTTPRequestError(400, 'the body is a JSON object: {"conf": 0.4, "iou": 0.5, "classes": ["person"]}')
    unknown = set(said) - {"conf", "iou", "classes"}
    if unknown:
        raise HTTPRequestError(400, f"no setting is called {sorted(unknown)[0][:60]!r}; known: conf, iou, classes")
    changes: Dict[str, Any] = {}
    for name in ("conf", "iou"):
        if name in said:
            if isinstance(said[name], (bool, str, list, dict)):
                raise HTTPRequestError(400, f"{name} is a number from 0 to 1, or null")
            changes[name] = None if said[name] is None else pictures.number(str(said[name]), name)
    if "classes" in said:
        changes["class_ids"] = _classes(desk, said["classes"])
    view.settings = replace(view.settings, **changes)
    return desk.said(desk.described(view))


def _classes(desk: AppState, words: Any) -> Optional[Tuple[int, ...]]:
    if words is None:
        return None
    if not isinstance(words, list) or not all(
        isinstance(word, (str, int)) and not isinstance(word, bool) for word in words
    ):
        raise HTTPRequestError(400, "classes is a list of names or numbers, or null for all")
    return pictures.class_ids(desk.model, [str(word) for word in words])


async def picture(request: Any) -> Response:
    """GET /api/streams/{name}/picture.jpg: the newest frame with its boxes, or why there is none."""
    number, data = await _desk(request).encoded(_view(request))
    return Response(data, media_type="image/jpeg", headers={"X-Number": str(number)})


async def video(request: Any) -> Response:
    """GET /api/streams/{name}/video: pictures for ever, as a browser's img shows them."""
    desk, view = _desk(request), _view(request)
    return _Seated(desk, _frames(desk, view), f"multipart/x-mixed-replace; boundary={FRAME.decode()}")


async def _frames(desk: AppState, view: StreamState) -> AsyncIterator[bytes]:
    screen = desk.screens.get(view.name)
    if screen is None:
        screen = desk.screens[view.name] = MjpegBroadcaster(desk, view)
    screen.open()
    try:
        number, again = -1, True
        yield b"--" + FRAME + b"\r\n"
        while not desk.stopped:
            data = await screen.after(number, STALE_S if again else AGAIN_S)
            again, number = number == screen.number, screen.number
            # The line that begins the next one goes along: a browser shows a picture when it has seen that line.
            yield b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n--%b\r\n" % (len(data), data, FRAME)
    finally:
        screen.close()


async def listen(request: Any) -> Response:
    """GET /events: what is found and what becomes of streams, as server-sent events."""
    desk = _desk(request)
    after = request.headers.get("last-event-id", "")
    told = events.sse(desk.bus, after=int(after) if after.isdecimal() and len(after) < 18 else None)
    return _Seated(desk, told, "text/event-stream")


class _Seated(StreamingResponse):
    """An answer that does not end of itself. A seat is taken before it begins, and left however it ends."""

    def __init__(self, desk: AppState, pieces: Any, kind: str) -> None:
        super().__init__(pieces, media_type=kind)
        self._desk, self._pieces = desk, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._desk.seat():
            try:
                await super().__call__(scope, receive, send)
            finally:
                await self._pieces.aclose()


async def metrics(request: Any) -> Response:
    """GET /metrics."""
    data, kind = _desk(request).metrics.render()
    return Response(data, headers={"Content-Type": kind})


def _desk(request: Any) -> AppState:
    desk: AppState = request.app.state.desk
    return desk


def _view(request: Any) -> StreamState:
    views, name = _desk(request).views, request.path_params["name"]
    if name not in views:
        known = f"; there are {', '.join(views)}" if views else "; this server has none"
        raise HTTPRequestError(404, f"no stream is called {name[:60]!r}{known}")
    return views[name]


# -- the application -----------------------------------------------------------------------------------------------


def _failed(request: Any, error: EdgecspError) -> Response:
    """An error of ours as its status and one sentence."""
    if isinstance(error, HTTPRequestError):
        return _error(request, error.status, str(error), error.retry_after_s)
    return _error(request, 503, str(error), 1)


def _no_route(request: Any, error: HTTPException) -> Response:
    said = {
        404: f"there is nothing at {request.url.path[:100]}; see /docs",
        405: f"{request.method} is not for {request.url.path[:100]}; see /docs",
    }
    answer = _error(request, error.status_code, said.get(error.status_code, str(error.detail)), None)
    answer.headers.update(error.headers or {})
    return answer


def _error(request: Any, status: int, text: str, retry_after_s: Optional[int]) -> Response:
    return _desk(request).json(json.dumps({"error": text}).encode(), status, retry_after_s)


def routes() -> List[Route]:
    """Every address; `openapi` describes the same ones."""
    get, post = partial(Route, methods=["GET"]), partial(Route, methods=["POST"])
    named = "/v2/models/{model}"
    return [
        # Those that are asked most come first: they are tried in this order.
        post("/v1/detect", pictures.detect), post("/v1/vision/detection", pictures.vision),
        *(post(f"{named}{more}/infer", v2.infer) for more in ("", "/versions/{version}")),
        get("/api/state", state), get("/", index), get("/docs", docs), get("/page/{file}", asset),
        get("/openapi.json", described), get("/api/streams", streams), get("/api/streams/{name}", stream),
        Route("/api/streams/{name}", change, methods=["PUT"]),
        get("/api/streams/{name}/picture.jpg", picture), get("/api/streams/{name}/video", video),
        get("/events", listen), get("/metrics", metrics),
        get("/v2", v2.server), get("/v2/health/live", v2.live), get("/v2/health/ready", v2.ready),
        *(get(named + more, v2.model) for more in ("", "/versions/{version}")),
        *(get(f"{named}{more}/ready", v2.model_ready) for more in ("", "/versions/{version}")),
    ]  # fmt: skip


def build(desk: AppState, token: Optional[str]) -> App:
    """The application of a desk, guarded."""

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        desk.stop = asyncio.Event()
        yield
        desk.close()

    app = Starlette(routes=routes(), lifespan=running)
    app.state.desk = desk
    app.router.redirect_slashes = False

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # Straight to the router: Starlette's two layers around it would wrap each message of an answer, and what they
        # do is done here.
        scope["app"] = app
        try:
            await app.router(scope, receive, send)
        except EdgecspError as error:
            await _failed(Request(scope), error)(scope, receive, send)
        except HTTPException as error:
            await _no_route(Request(scope), error)(scope, receive, send)

    return Guard(answer, token=token, limits=desk.limits, login=(PAGE / "login.html").read_bytes())
