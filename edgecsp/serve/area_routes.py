"""Routes of lines and zones: what a stream has and counted, changes of them, their events with snapshots and clips."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any, Dict, List, Tuple

from starlette.responses import FileResponse, Response

from ..errors import HTTPRequestError, UsageError
from ..track import Line, Zone
from ..track.areas import require_unique
from . import _json, areas
from .app_state import AppState
from .area_schemas import AREAS_CHANGE
from .body import read
from .live import StreamState
from .schema import check, parse_text
from .schemas import EVENT_QUERY

CHANGE_BYTES = 256 << 10  # of the JSON of a PUT
LIMIT = 50  # events of an answer, unless the request says otherwise
_RANGE = re.compile(r"bytes=(?=.*\d)(\d{0,18})-(\d{0,18})")


async def stream_areas(request: Any) -> Response:
    """GET /api/streams/{name}/areas."""
    app_state = _app_state(request)
    return app_state.respond(_to_dict(app_state.find_view(request)))


async def change_areas(request: Any) -> Response:
    """PUT /api/streams/{name}/areas: replace the lines and zones, or refuse with the text for the site file."""
    app_state = _app_state(request)
    view = app_state.find_view(request)
    lines, zones = _read_change(app_state, view, await read(request.receive, CHANGE_BYTES))
    if view.areas is None or not view.areas.is_editable:
        key = "track = true and editable = true" if view.areas is None else "editable = true"
        error = f"stream {view.name} is fixed by the site file: paste this text there, or set {key} for the stream"
        return app_state.respond({"error": error, "toml": areas.to_toml(lines, zones)}, 403)
    # Saving waits for the disk.
    await asyncio.get_running_loop().run_in_executor(None, view.areas.replace, lines, zones)
    return app_state.respond(_to_dict(view))


async def list_events(request: Any) -> Response:
    """GET /api/events."""
    app_state = _app_state(request)
    values: Dict[str, Any] = {"limit": None}
    for name, text in request.query_params.items():
        if name not in EVENT_QUERY:
            raise HTTPRequestError(400, f"unknown parameter {name[:60]!r}; known: {', '.join(EVENT_QUERY)}")
        values[name] = parse_text(EVENT_QUERY[name], name, text)
    if values.get("since"):  # times are compared as text, to the millisecond
        seconds, _, fraction = values["since"].rstrip("Z").partition(".")
        values["since"] = f"{seconds}.{fraction[:3]:0<3}Z"
    limit = values.pop("limit") or LIMIT
    return app_state.respond({"events": app_state.event_store.latest(limit, **values)})


async def snapshot(request: Any) -> Response:
    """GET /api/events/{id}/snapshot.jpg."""
    return _file(request, "snapshot", "image/jpeg")


async def clip(request: Any) -> Response:
    """GET /api/events/{id}/clip.mp4, also a range of it."""
    return _file(request, "clip", "video/mp4")


def _read_change(app_state: AppState, view: StreamState, body: bytes) -> Tuple[List[Line], List[Zone]]:
    """Return the lines and zones that a stream will have. Raises `HTTPRequestError`."""
    try:
        values = _json.parse(body, CHANGE_BYTES)
    except ValueError as error:
        raise HTTPRequestError(400, f"the body is not valid JSON: {str(error)[:100]}") from error
    change = check(AREAS_CHANGE, values, "the body")
    now = view.areas or areas.StreamAreas(view.name)
    try:
        read_area = partial(areas.from_dict, model=app_state.model)
        lines = [read_area(Line, each) for each in change["lines"]] if "lines" in change else list(now.lines)
        zones = [read_area(Zone, each) for each in change["zones"]] if "zones" in change else list(now.zones)
        require_unique([*lines, *zones])
    except UsageError as error:
        raise HTTPRequestError(400, str(error)[:500]) from error
    return lines, zones


def _to_dict(view: StreamState) -> Dict[str, Any]:
    known, wh = view.areas or areas.StreamAreas(view.name), view.wh
    return {
        "track": view.areas is not None,
        "editable": known.is_editable,
        "lines": [areas.to_dict(each, wh) for each in known.lines],
        "zones": [areas.to_dict(each, wh) for each in known.zones],
        "counts": known.counts(),
    }


def _file(request: Any, kind: str, media_type: str) -> Response:
    event_id = request.path_params["id"]
    path = _app_state(request).event_store.path(event_id, kind)
    if path is None:
        raise HTTPRequestError(404, f"event {event_id[:60]!r} has no {kind}, or none yet")
    _check_range(request, path.stat().st_size)
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": "private, max-age=3600"})


def _check_range(request: Any, size: int) -> None:
    """Leave one range of bytes to `FileResponse`, and take away what else there is. Raises `HTTPRequestError`."""
    wanted_range = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted_range is None:  # RFC 9110: what cannot be parsed is ignored
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0].lower() != b"range"]
    elif (wanted_range[1] and int(wanted_range[1]) >= size) or wanted_range[0] == "bytes=-0":
        raise HTTPRequestError(416, f"the range lies behind the end, at {size} bytes")


def _app_state(request: Any) -> AppState:
    app_state: AppState = request.app.state.edgecsp
    return app_state
