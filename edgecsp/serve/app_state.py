"""State shared by the routes: the inference pool, the streams, the limits, response helpers and MJPEG broadcasters.

An image is encoded once, off the event loop, and sent to all viewers.
"""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Set, Tuple

from starlette.responses import Response

from .. import __version__
from ..errors import HTTPRequestError
from ..media import draw
from ..options import Thresholds
from . import tensors
from .body import Limits
from .event_store import EventStore
from .events import Bus
from .inference_context import InferenceContext
from .inference_pool import InferencePool
from .live import StreamState

if TYPE_CHECKING:
    from .metrics import Metrics

PLOT_MINUTES = 10.0
STATE_S = 0.4  # the state of the page is cached this long: many viewers cost as much as one


class AppState:
    """State shared by the routes: the inference pool, the streams, the limits and response helpers."""

    def __init__(
        self,
        pool: InferencePool,
        views: Sequence[StreamState],
        bus: Bus,
        metrics: Metrics,
        facts: Mapping[str, Any],
        limits: Limits,
        event_store: EventStore,
    ) -> None:
        self.pool = pool
        self.views = {view.name: view for view in views}
        self.bus = bus
        self.metrics = metrics
        self.facts = dict(facts)
        self.limits = limits
        self.event_store = event_store
        self.model = pool.model
        self.signature = tensors.Signature(self.model)
        self.broadcasters: Dict[str, MjpegBroadcaster] = {}
        self.viewers = 0
        self.stop: Optional[asyncio.Event] = None
        self._encoders = ThreadPoolExecutor(2, thread_name_prefix="edgecsp-encode")
        self._state: Tuple[float, bytes] = (float("-inf"), b"")

    @property
    def settings(self) -> Thresholds:
        """Default thresholds for requests that set none."""
        return self.pool.detector.settings

    def find_view(self, request: Any) -> StreamState:
        """The stream that a request's path names. Raises `HTTPRequestError`."""
        name = request.path_params["name"]
        if name not in self.views:
            known = f"; available: {', '.join(self.views)}" if self.views else "; this server has no streams"
            raise HTTPRequestError(404, f"no stream named {name[:60]!r}{known}")
        return self.views[name]

    @property
    def healthy(self) -> bool:
        """Whether requests can be answered."""
        return self.pool.healthy

    async def ask(self, work: Callable[[InferenceContext], Any]) -> Any:
        """Run work that needs the session and return its value. Raises `ServerOverloaded` and `EngineFailed`."""
        return await asyncio.wrap_future(self.pool.ask(work))

    async def encode_jpeg(self, view: StreamState) -> Tuple[int, bytes]:
        """Encode a stream's image off the event loop; its number and the JPEG."""
        return await asyncio.get_running_loop().run_in_executor(self._encoders, view.jpeg)

    @contextmanager
    def reserve_viewer(self) -> Iterator[None]:
        """Count a viewer for the block. Raises `HTTPRequestError` when there are too many."""
        if self.viewers >= self.limits.viewers:
            raise HTTPRequestError(
                503, f"{self.viewers} viewers and listeners are connected, which is the limit; try again later", 10
            )
        self.viewers += 1
        try:
            yield
        finally:
            self.viewers -= 1

    def respond_bytes(self, data: bytes, status: int = 200, retry_after_s: Optional[int] = None) -> Response:
        """Build a response from encoded JSON."""
        headers = None if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return Response(data, status, headers, media_type="application/json")

    def respond(self, value: Any, status: int = 200) -> Response:
        """Build a JSON response from a value."""
        return self.respond_bytes(json.dumps(value, allow_nan=False).encode(), status)

    def respond_tensors(self, data: bytes, header: Optional[int]) -> Response:
        """Build a response of `v2.infer`."""
        if header is None:
            return self.respond_bytes(data)
        return Response(data, headers={tensors.HEADER: str(header)}, media_type="application/octet-stream")

    def state(self) -> bytes:
        """State of the whole page as JSON."""
        now = time.monotonic()
        if now - self._state[0] > STATE_S:
            self._state = now, json.dumps(self._build_state(), allow_nan=False).encode()
        return self._state[1]

    def _build_state(self) -> Dict[str, Any]:
        model, pool = self.model, self.pool
        return {
            "version": __version__,
            "model": {
                "name": model.name, "task": model.task, "labels": list(model.labels), "conf": model.conf,
                "iou": model.iou, "width": model.input.hw[1], "height": model.input.hw[0],
                "random": model.origin.get("weights") == "random",
                "palette": [f"#{value:06x}" for value in draw.PALETTE_RGB],
            },
            **{key: self.facts.get(key) for key in ("engine", "device", "precision", "threads")},
            "healthy": pool.healthy, "restarts": pool.restarts, "waiting": pool.depth, "queue": pool.queue,
            "streams": [self.stream_to_dict(view) for view in self.views.values()],
        }  # fmt: skip

    def stream_to_dict(self, view: StreamState) -> Dict[str, Any]:
        """A stream as JSON: figures, filters and the plot of its label counts."""
        return {**view.to_dict(), "plot": view.counts(PLOT_MINUTES)}

    def end(self) -> None:
        """Disconnect all viewers; call on the event loop."""
        if self.stop is not None:
            self.stop.set()
        for broadcaster in self.broadcasters.values():
            broadcaster.wake()

    @property
    def stopped(self) -> bool:
        """Whether the server is shutting down."""
        return self.stop is not None and self.stop.is_set()

    def close(self) -> None:
        """Shut the encoder threads down."""
        self._encoders.shutdown(wait=False)


class MjpegBroadcaster:
    """Broadcasts the images of one stream: each is encoded once and sent to all viewers."""

    def __init__(self, app_state: AppState, view: StreamState) -> None:
        self._app_state, self._view = app_state, view
        self._loop = asyncio.get_running_loop()
        self._waiting: Set[asyncio.Future[None]] = set()
        self._encoding: Optional[asyncio.Task[None]] = None
        self._again = False
        self.number, self.jpeg = -1, b""
        self.viewers = 0

    def open(self) -> None:
        """Add a viewer."""
        self.viewers += 1
        if self.viewers == 1:
            self.number = -1  # the last image is out of date
            self._view.subscribe(self._on_change)
            self._encode_newest()

    def close(self) -> None:
        """Remove a viewer."""
        self.viewers -= 1
        if self.viewers == 0:
            self._view.unsubscribe(self._on_change)

    async def after(self, number: int, timeout_s: float) -> bytes:
        """Wait for an image newer than `number` and return it; after `timeout_s` return the same again."""
        if self.number <= number:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiting.add(waiter)
            try:
                await asyncio.wait_for(waiter, timeout_s)
            except asyncio.TimeoutError:
                self._encode_newest()
            finally:
                self._waiting.discard(waiter)
        return self.jpeg

    def wake(self) -> None:
        """Wake all waiting viewers."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _on_change(self, number: int) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._encode_newest)

    def _encode_newest(self) -> None:
        if self._encoding is not None and not self._encoding.done():
            self._again = True
        elif self.viewers:
            self._encoding = self._loop.create_task(self._encode())

    async def _encode(self) -> None:
        while True:
            self._again = False
            self.number, self.jpeg = await self._app_state.encode_jpeg(self._view)
            self.wake()
            if not self._again:
                return
