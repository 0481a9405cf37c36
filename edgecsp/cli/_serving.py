"""What `edgecsp serve` and `edgecsp up` have in common: everything is started, and ended within two seconds."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

import typer

from ..errors import EngineUnavailable, UsageError
from . import _options, _signals
from ._logging import inform
from .render import streams as _states

if TYPE_CHECKING:
    from ..pipeline import Detector
    from ..serve.live import StreamState
    from ..serve.mqtt import Broker
    from ..serve.webhooks import Hook

ENDS_WITHIN_S = 1.6
NEEDED = ("starlette", "uvicorn", "httptools", "prometheus_client")
FILES = 4096


@dataclass(frozen=True)
class Place:
    """Where it listens, and what it asks of those who come."""

    host: str = "127.0.0.1"
    port: int = 8080
    token: Optional[str] = None

    def __post_init__(self) -> None:
        from ..serve import is_loopback

        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host}: others can reach it there, so it needs a token. Make one, and give its file: "
                "openssl rand -hex 16 > token && chmod 600 token, then --token-file token; or set EDGECSP_TOKEN "
                "(an argument would be read by everybody who may type ps)"
            )


def require() -> None:
    """Raises `EngineUnavailable` unless what the server is made of is here."""
    from importlib.util import find_spec

    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        names = _options.listed([name.replace("_", "-") for name in lacking])
        raise EngineUnavailable(f"the server needs {names}, not installed here; type: pip install 'edgecsp[serve]'")


def run(
    place: Place,
    open_detector: Callable[[], Detector],
    views: Callable[[Detector], Sequence[StreamState]],
    *,
    facts: Callable[[Detector], Dict[str, Any]],
    queue: int = 64,
    loop: bool = True,
    broker: Optional[Broker] = None,
    mqtt_every_s: float = 1.0,
    hooks: Sequence[Hook] = (),
) -> None:
    """Serve until Ctrl-C; then exit with the signal's code.

    `views` makes the streams when the model is there, `facts` says what is shown of the engine.
    """
    import cv2

    from .. import serve
    from ..serve.events import Bus
    from ..serve.inference_pool import InferencePool
    from ..serve.metrics import Metrics
    from ..serve.streams import Streams

    _signals.return_large()
    _allow_files()
    cv2.setNumThreads(1)  # pictures go side by side; OpenCV's own threads would only spin beside them
    held = serve.bound(place.host, place.port)
    closers: List[Callable[[], None]] = []
    try:
        with _signals.until_signal() as stop:
            batcher = InferencePool(open_detector, queue=queue)
            closers.append(batcher.close)
            shown, bus, said = list(views(batcher.detector)), Bus(), facts(batcher.detector)
            metrics = Metrics(batcher, shown, bus, facts={key: str(value) for key, value in said.items()})
            server = serve.Server(batcher, shown, bus, metrics, held=held, token=place.token, facts=said)
            server.start()
            closers.append(server.close)
            gc.freeze()  # what is there now stays: the collector, which stops all threads, has less to look through
            closers.append(_states.log_states(bus))
            closers.extend(_tellers(metrics, broker, mqtt_every_s, hooks, shown, bus, batcher.model.labels))
            streams = Streams(shown, batcher, bus, loop=loop)
            streams.start()
            closers.append(lambda: streams.close(ENDS_WITHIN_S))
            _announce(server.url, place, shown)
            while not stop.is_set():  # a signal that another thread is given wakes nobody who waits for ever
                time.sleep(0.1)
    finally:
        _end(closers)
        held.close()  # not before: the server's loop still has it
    inform("ended")
    raise typer.Exit(128 + stop.signal)


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
    what = f"{len(views)} stream" + "s" * (len(views) > 1) if views else "pictures alone (no source was given)"
    inform(f"serving {what} at {url}")
    for view in views:
        inform(f"  {view.name}: {view.source}", prefix=False)
    inform(f"  a picture: curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg' {url}/v1/detect", prefix=False)
    if place.token is not None:
        inform(f"  with the header 'Authorization: Bearer TOKEN'; in a browser, {url} asks for the token", prefix=False)
    inform("  Ctrl-C ends it", prefix=False)


def _end(closers: Sequence[Callable[[], None]]) -> None:
    """Close everything at the same time, the streams first by a moment: what they end with is still told."""
    late = time.monotonic() + ENDS_WITHIN_S
    threads = [threading.Thread(target=closer, daemon=True) for closer in reversed(closers)]
    for thread in threads:
        thread.start()
        thread.join(0.15)
    for thread in threads:
        thread.join(max(0.0, late - time.monotonic()))


def _allow_files() -> None:
    """Each connection is a file: as many as this user may have, within reason."""
    try:
        import resource
    except ImportError:  # no such limit on Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
