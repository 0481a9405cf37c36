"""HTTP server for images and streams: a web page, the KServe protocol and events on one inference session.

    with serve.Server(pool, views, bus, metrics) as server:
        ...                                    # server.url answers until the block ends

`pool` owns the session, `streams` update the `live.StreamState`s, `Server` answers requests. Nothing here prints or
exits. Requests cannot name a source: sources come from the command line or the site file only.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence

from ..errors import UsageError
from . import unexpected
from .body import Limits
from .guard import check_token, is_loopback

if TYPE_CHECKING:
    from .event_store import EventStore
    from .events import Bus
    from .inference_pool import InferencePool
    from .live import StreamState
    from .metrics import Metrics

__all__ = ["Limits", "Server", "bind", "check_token", "is_loopback"]

ACCEPTED_AT_ONCE = 64  # connections accepted per loop iteration; open connections are served in between
BACKLOG = 1024  # connections waiting in the kernel to be accepted
PATIENCE_S = 1.5
STARTS_WITHIN_S = 30.0


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket without listening: a port in use is reported before the model loads. Raises `UsageError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, OverflowError) as error:
        raise UsageError(
            f"--host {host}: {getattr(error, 'strerror', None) or error}; 127.0.0.1 serves this machine only"
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot listen on {host}, port {port}: {reason}; try --port {_next(port)}") from error
    return listener


def _next(port: int) -> int:
    return port + 1 if 1023 < port < 65535 else 8080


class Server:
    """The HTTP server: a thread with the event loop. Start it, then close it, or use it as a context manager.

    `listener` is a socket of `bind` [default: one at 127.0.0.1 and any free port]. Without a `token` only requests to
    this machine's own names are answered. `facts` (engine, device, precision, threads) are shown on the page.
    `event_store` has the events of lines and zones [default: an empty one]. Closing the server also closes the bus,
    which ends its HTTP listeners.
    """

    def __init__(
        self,
        pool: InferencePool,
        views: Sequence[StreamState],
        bus: Bus,
        metrics: Metrics,
        *,
        listener: Optional[socket.socket] = None,
        token: Optional[str] = None,
        facts: Optional[Mapping[str, Any]] = None,
        limits: Optional[Limits] = None,
        event_store: Optional[EventStore] = None,
    ) -> None:
        import uvicorn

        from . import app
        from ._http_protocol import protocol
        from .app_state import AppState
        from .event_store import EventStore

        limits = limits or Limits()
        self._listener = listener or bind("127.0.0.1", 0)
        self._address = self._listener.getsockname()[:2]
        self._own_store = EventStore() if event_store is None else None
        event_store = event_store or self._own_store
        assert event_store is not None
        self._app_state = AppState(pool, views, bus, metrics, facts or {}, limits, event_store)
        config = uvicorn.Config(
            app.build(self._app_state, token), http=protocol(limits, needs_key=token is not None), ws="none",
            loop="asyncio", lifespan="on",
            log_config=None, log_level="critical", access_log=False, proxy_headers=False, server_header=False,
            backlog=ACCEPTED_AT_ONCE, timeout_keep_alive=int(limits.header_s), timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)
        self._thread: Optional[threading.Thread] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._ready = threading.Event()
        self._broken: List[BaseException] = []

    @property
    def url(self) -> str:
        """URL of the server for a browser."""
        host, port = self._address
        if host in ("0.0.0.0", "::"):
            host = _own_address()
        name = "localhost" if host in ("127.0.0.1", "::1") else host
        return f"http://{f'[{name}]' if ':' in name else name}:{port}"

    def start(self) -> Server:
        """Start the server thread; requests are answered when this returns."""
        self._thread = threading.Thread(target=self._run, name="edgecsp-http", daemon=True)
        self._thread.start()
        if not self._ready.wait(STARTS_WITHIN_S) or self._broken:
            raise RuntimeError(f"the server did not start: {self._broken}")
        return self

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised by `start`
            self._broken.append(error)
            unexpected.report("server", error)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_unhandled)
        serving = asyncio.ensure_future(self._uvicorn.serve(sockets=[self._listener]))
        while not self._uvicorn.started and not serving.done():
            await asyncio.sleep(0.01)
        if self._uvicorn.started:
            self._listener.listen(BACKLOG)  # asyncio accepts a whole backlog in one iteration
        self._ready.set()
        await serving

    def close(self) -> None:
        """Stop accepting requests; finish running ones within a second and end open streams."""
        self._uvicorn.should_exit = True
        self._app_state.bus.close()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._app_state.end)
        if self._thread is not None:
            self._thread.join(PATIENCE_S)
        self._listener.close()
        if self._own_store is not None:
            self._own_store.close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def _unhandled(loop: asyncio.AbstractEventLoop, context: Dict[str, Any]) -> None:
    """Report an exception of a callback, or of a task that nobody awaits."""
    error = context.get("exception")
    unexpected.report("server", error if error is not None else RuntimeError(str(context.get("message"))))


def _own_address() -> str:
    """Local address on the default route; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737)
            address: str = probe.getsockname()[0]
            return address
        except OSError:
            return "localhost"
