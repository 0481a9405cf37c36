"""Shared by `edgecsp serve` and `edgecsp up`: start all parts of the server, and stop them within two seconds."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

import typer

from ..errors import EngineUnavailable, UsageError
from ..options import Options
from ..system import install
from . import _options, _signals
from ._logging import inform
from .render import startup
from .render import streams as render_streams

if TYPE_CHECKING:
    from ..pipeline import Detector
    from ..serve.event_store import EventStore
    from ..serve.events import Bus
    from ..serve.live import StreamState
    from ..serve.mqtt import Broker
    from ..serve.recorder import Recorder
    from ..serve.site import EventsConfig
    from ..serve.webhooks import Hook

ENDS_WITHIN_S = 1.6
NEEDED = ("starlette", "uvicorn", "httptools", "prometheus_client")
FILES = 4096


@dataclass(frozen=True)
class Place:
    """Address to listen on, and the token for clients."""

    host: str = "127.0.0.1"
    port: int = 8080
    token: Optional[str] = None

    def __post_init__(self) -> None:
        from ..serve import is_loopback

        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host}: this address is reachable by others and needs a token. Create one: "
                "openssl rand -hex 16 > token && chmod 600 token, then use --token-file token or set EDGECSP_TOKEN "
                "(arguments are visible to other users in ps)"
            )


def require() -> None:
    """Raise `EngineUnavailable` when a package of the server is missing."""
    from importlib.util import find_spec

    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        names = _options.join_names([name.replace("_", "-") for name in lacking])
        raise EngineUnavailable(f"the server needs {names}, not installed; type: {install.command('serve')}")


def run(
    place: Place,
    options: Options,
    views: Callable[[Detector], Sequence[StreamState]],
    *,
    announce: Callable[[Detector], None] = startup.print_engine,
    queue: int = 64,
    loop: bool = True,
    broker: Optional[Broker] = None,
    mqtt_every_s: float = 1.0,
    hooks: Sequence[Hook] = (),
    events_config: Optional[EventsConfig] = None,
) -> None:
    """Serve until Ctrl-C; then exit with the signal's code.

    `views` creates the stream states once the model is loaded, `announce` says what was loaded.
    """
    import cv2

    from .. import pipeline, serve
    from ..media import scheduler
    from ..serve.events import Bus
    from ..serve.inference_pool import InferencePool
    from ..serve.metrics import Metrics
    from ..serve.streams import Streams
    from ..system import cpu

    _signals.return_large()
    _allow_files()
    cv2.setNumThreads(1)  # images are processed concurrently; OpenCV's own threads would only compete
    listener = serve.bind(place.host, place.port)
    closers: List[Callable[[], None]] = []
    options = replace(options, concurrency=scheduler.default_concurrency(options.threads or cpu.threads()))
    try:
        with _signals.until_signal() as stop:
            pool = InferencePool(lambda: pipeline.open_detector(options), queue=queue)
            closers.append(pool.close)
            stream_states, bus = list(views(pool.detector)), Bus()
            announce(pool.detector)
            engine_info = engine_facts(pool.detector)
            metrics = Metrics(pool, stream_states, bus, facts={key: str(value) for key, value in engine_info.items()})
            store = _open_store(events_config)
            closers.append(store.close)
            server = serve.Server(
                pool, stream_states, bus, metrics, listener=listener, token=place.token, facts=engine_info,
                event_store=store,
            )  # fmt: skip
            server.start()
            closers.append(server.close)
            gc.freeze()  # exclude existing objects from garbage collection, which stops all threads
            closers.append(render_streams.log_states(bus))
            closers.extend(_tellers(metrics, broker, mqtt_every_s, hooks, stream_states, bus, pool.model.labels))
            recorder = _open_recorder(store, bus, events_config)
            recorder.start()
            closers.append(lambda: recorder.close(ENDS_WITHIN_S))
            streams = Streams(stream_states, pool, bus, loop=loop, recorder=recorder)
            streams.start()
            closers.append(lambda: streams.close(ENDS_WITHIN_S))
            _announce(server.url, place, stream_states)
            while not stop.is_set():  # a signal handled by another thread does not interrupt a wait without a timeout
                time.sleep(0.1)
    finally:
        _end(closers)
        listener.close()  # after the server's loop has ended
    inform("stopped")
    raise typer.Exit(128 + stop.signal)


def _open_store(config: Optional[EventsConfig]) -> EventStore:
    """Open the events of the site's folder, or of this run alone."""
    from ..serve.event_store import EventStore

    if config is None:
        return EventStore()
    return EventStore(config.folder, max_mb=config.max_mb, max_days=config.max_days)


def _open_recorder(store: EventStore, bus: Bus, config: Optional[EventsConfig]) -> Recorder:
    from ..serve.recorder import Recorder

    if config is None:
        return Recorder(store, bus)
    return Recorder(store, bus, before_s=config.before_s, after_s=config.after_s, clips=config.clips)


def engine_facts(detector: Detector) -> Dict[str, Any]:
    """Return the engine information for the page and the metrics."""
    from ..system import cpu

    chosen = detector.chosen
    assert chosen is not None
    return {
        "engine": chosen.engine,
        "device": chosen.device,
        "precision": chosen.precision,
        "threads": chosen.threads or cpu.threads(),
    }


def _tellers(
    metrics: Any,
    broker: Optional[Broker],
    every_s: float,
    hooks: Sequence[Hook],
    views: Sequence[StreamState],
    bus: Any,
    labels: Sequence[str],
) -> List[Callable[[], None]]:
    """Start those who send on; how each is ended."""
    closers: List[Callable[[], None]] = []
    if broker is not None:
        from ..serve.mqtt import Mqtt

        mqtt = metrics.mqtt = Mqtt(broker, views, bus, labels=labels, every_s=every_s)
        mqtt.start()
        closers.append(lambda: mqtt.close(ENDS_WITHIN_S))
    if hooks:
        from ..serve.webhooks import Webhooks

        webhooks = metrics.webhooks = Webhooks(hooks, bus)
        webhooks.start()
        closers.append(lambda: webhooks.close(ENDS_WITHIN_S))
    return closers


def _announce(url: str, place: Place, views: Sequence[StreamState]) -> None:
    what = f"{len(views)} stream" + "s" * (len(views) > 1) if views else "the API only (no sources)"
    inform(f"serving {what} at {url}")
    for view in views:
        inform(f"  {view.name}: {view.source}", prefix=False)
    inform(f"  try: curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg' {url}/v1/detect", prefix=False)
    if place.token is not None:
        inform(f"  with the header 'Authorization: Bearer TOKEN'; in a browser, {url} asks for the token", prefix=False)
    inform("  stop with Ctrl-C", prefix=False)


def _end(closers: Sequence[Callable[[], None]]) -> None:
    """Close everything concurrently, streams first, so that their last events are still sent."""
    late = time.monotonic() + ENDS_WITHIN_S
    threads = [threading.Thread(target=closer, daemon=True) for closer in reversed(closers)]
    for thread in threads:
        thread.start()
        thread.join(0.15)
    for thread in threads:
        thread.join(max(0.0, late - time.monotonic()))


def _allow_files() -> None:
    """Raise the limit of open files, since each connection needs one."""
    try:
        import resource
    except ImportError:  # no such limit on Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
