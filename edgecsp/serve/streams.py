"""Threads that read the streams: each source is opened, read and reopened on its own, whatever happens to the others.

    source -> newest frame (`media.scheduler`) -> pool.detect (-> Tracker -> StreamAreas) -> StreamState, and the bus
                                                                      |-> Recorder

A video file simulates a camera: it is read at its own rate and restarted at its end.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Protocol, Sequence, Tuple

from ..errors import EdgecspError, UsageError
from ..media import scheduler, sources
from ..media.sources import schemes
from ..options import Thresholds
from ..system import cpu
from ..types import Array, Frame, Model, Result
from . import events, unexpected
from ._paced import Paced
from .address import redact_source
from .live import StreamState
from .recorder import Recorder
from .retry import Backoff
from .tracking import StreamTracking

STALE_S = 5.0  # an older image is no longer shown as live
STEADY_S = 10.0  # after so long a live time the backoff is reset
PATIENCE_S = 20.0  # longer than the timeouts of a network source


class Detects(Protocol):
    """The part of an inference pool that streams use."""

    @property
    def model(self) -> Model:
        """The model."""
        ...

    def detect(self, image: Array, settings: Thresholds) -> Result:
        """Detect objects in an image; blocks."""
        ...


def views(uris: Sequence[str], settings: Optional[Thresholds] = None) -> List[StreamState]:
    """Create the states of sources, named cam1, cam2 ... No camera is opened. Raises as `check` does."""
    for uri in uris:
        check(uri)
    return [StreamState(uri, f"cam{number}", settings=settings) for number, uri in enumerate(uris, 1)]


def check(uri: str) -> None:
    """Check a source without opening cameras: files must be readable, URLs of a supported scheme.

    Raises `SourceError` or `UsageError`.
    """
    if uri == "-":
        raise UsageError("standard input cannot be a stream; send images to /v1/detect instead")
    if uri.isdigit() or uri.startswith(("/dev/video", "gst:", "csi:")):
        return
    if "://" not in uri:
        sources.open(uri).close()
    else:
        schemes.require(uri)


class Streams:
    """The threads that read the streams; `start` them, and always `close` them.

    `loop` restarts videos at their end. A stream without a frame for `stale_s` seconds gets the state "no signal".
    State changes are published on the bus, events of lines and zones by the `recorder`. `backoff` creates the waits
    between retries, `open_source` the sources.
    """

    def __init__(
        self,
        views: Sequence[StreamState],
        pool: Detects,
        bus: events.Bus,
        *,
        loop: bool = True,
        stale_s: float = STALE_S,
        backoff: Callable[[], Backoff] = Backoff,
        open_source: Callable[[str], sources.Source] = sources.open,
        recorder: Optional[Recorder] = None,
    ) -> None:
        self.views = list(views)
        self._stale_s = stale_s
        self._stop = threading.Event()
        decoders = max(1, cpu.threads() // max(1, len(self.views)))
        self._feeds = [
            _Feed(
                view, pool, bus, self._stop, loop, backoff(), open_source, decoders,
                None if view.areas is None else StreamTracking(view.areas, pool.model, recorder),
            )
            for view in self.views
        ]  # fmt: skip
        self._threads: List[threading.Thread] = []

    def start(self) -> None:
        """Start a thread for each stream; returns at once."""
        works = [(feed.run, f"edgecsp-{feed.view.name}") for feed in self._feeds]
        for work, name in (*works, (self._check_stale, "edgecsp-look")):
            self._threads.append(unexpected.start_thread("stream", work, self._stop, name))

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Stop all threads and wait for them, at most `patience_s` seconds."""
        self._stop.set()
        for feed in self._feeds:
            feed.close()
        unexpected.join_threads(self._threads, patience_s)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for view in self.views:
            view.set_state("ended", "the server is shutting down")

    def _check_stale(self) -> None:
        while not self._stop.wait(min(0.5, self._stale_s / 4)):
            for feed in self._feeds:
                feed.check_stale(self._stale_s)

    def __enter__(self) -> Streams:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Outcome:
    """Result of a frame, or the reason why there is none, with the arrival time."""

    came: float
    result: Optional[Result]
    error: str = ""


@dataclass
class _Feed:
    """One stream: opened, read until it fails, reopened."""

    view: StreamState
    _pool: Detects
    _bus: events.Bus
    _stop: threading.Event
    _loop: bool
    _backoff: Backoff
    _open: Callable[[str], sources.Source]
    _decoders: int
    _tracking: Optional[StreamTracking] = None
    _paced: Optional[Paced] = None
    _opened: int = 0
    _had_something: bool = False

    def __post_init__(self) -> None:
        name, publish = self.view.name, self._bus.publish
        self.view.on_state_change = lambda state, reason: publish(events.state(name, state, reason))

    def run(self) -> None:
        """Run the thread until it is stopped or a video ends."""
        while not self._stop.is_set():
            begun, frames, video = time.monotonic(), self.view.frames, False
            try:
                why, video = self._watch()
            except EdgecspError as error:
                why = str(error)
            except BaseException as error:  # noqa: BLE001 - one failure of a library must not end the stream
                why = f"{type(error).__name__}: {error}"
                unexpected.report("stream", error)
            if self._stop.is_set():
                return
            if video and not why:
                if not self._loop:
                    self.view.set_state("ended", "the video ended")
                    return
                continue
            self.view.set_state("no signal", redact_source(why or "the source ended"))
            if self.view.frames > frames and time.monotonic() - begun > STEADY_S:
                self._backoff.reset()
            self._stop.wait(self._backoff.next_s())

    def close(self) -> None:
        """Close the current source, from another thread."""
        paced = self._paced
        if paced is not None:
            paced.close()

    def check_stale(self, stale_s: float) -> None:
        """Set the state "no signal" when the image is too old, from another thread."""
        snapshot, paced = self.view.latest(), self._paced
        if snapshot is not None and snapshot.frame.stream.fps:
            stale_s = max(stale_s, 3 / snapshot.frame.stream.fps)  # some cameras send one frame in ten seconds
        if snapshot is None or time.monotonic() - snapshot.at < stale_s:
            return
        waits = paced is not None and time.monotonic() - paced.came < stale_s
        why = "the engine did not respond" if waits else "no frame"
        self.view.set_state("no signal", f"{why} for {stale_s:g} s")

    def _watch(self) -> Tuple[str, bool]:
        """Read the source once until its end; return why it failed ("" if not) and whether it is a video."""
        source = self._open(self.view.uri)
        self._opened += 1
        self.view.reconnects += source.live and self._opened > 1
        source.threads = self._decoders
        if self._tracking is not None:
            self._tracking.begin(source)
        paced = self._paced = Paced(source, self._stop)
        why = ""
        last: List[int] = [-1]
        try:
            with closing(scheduler.results([paced], self._detect, stop=self._stop)) as results:
                for item in results:
                    if isinstance(item, scheduler.FrameResult):
                        self._show(item.frame, item.result, last)
                    elif item.error is not None:
                        why = str(item.error) or type(item.error).__name__
                        if not isinstance(item.error, EdgecspError):
                            unexpected.report("stream", item.error)
                    del item
        finally:
            self._paced = None
            paced.close()
        return why, not source.live

    def _detect(self, frame: Frame) -> Any:
        """Detect in the scheduler's worker: an engine error belongs to this frame and does not end the stream."""
        paced = self._paced
        came = paced.pop_arrival(frame.index) if paced else time.monotonic()
        try:
            settings = self.view.settings if self._tracking is None else self._tracking.lower(self.view.settings)
            return _Outcome(came, self._pool.detect(frame.image, settings))
        except EdgecspError as error:
            why = str(error)
        except BaseException as error:  # noqa: BLE001 - shown on the page; the next frame may work
            why = f"{type(error).__name__}: {error}"
            unexpected.report("stream", error)
        self.view.set_state("failed", redact_source(why))
        self._stop.wait(1.0)
        return _Outcome(came, None, why)

    def _show(self, frame: Frame, outcome: Any, last: List[int]) -> None:
        if last[0] >= 0:
            self.view.dropped += max(0, frame.index - last[0] - 1)
        last[0] = frame.index
        result = outcome.result
        if result is None:
            return
        if self._tracking is not None:
            result = self._tracking.update(frame, result)
        self.view.publish(frame, result, (time.monotonic() - outcome.came) * 1000)
        # Of consecutive empty results only the first is published.
        if len(result) or self._had_something:
            self._bus.publish(events.detections(self.view.name, frame, result))
        self._had_something = len(result) > 0
