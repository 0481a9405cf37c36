"""Sources that are watched for ever, a thread each: opened, read, opened again; one that is dead leaves the rest alone.

    source -> the newest frame (`flow`) -> pool.detect -> view, and the bus

A video stands in for a camera: it is read at its own rate, from the beginning again when it is over.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Protocol, Sequence, Tuple

from ..errors import EdgecspError, SourceError, UsageError
from ..media import scheduler, sources
from ..media.sources.network import SCHEMES
from ..pipeline import Settings
from ..system import cpu
from ..types import Array, Frame, Result
from . import events, unexpected
from ._paced import Paced
from .address import redact_source
from .live import StreamState
from .retry import Backoff

STALE_S = 5.0  # a picture older than that is not shown for a live one
STEADY_S = 10.0  # a source that was live so long may be asked for again at once
PATIENCE_S = 20.0  # more than a network source's own waits


class Detects(Protocol):
    """What streams need of a pool."""

    def detect(self, image: Array, settings: Settings) -> Result:
        """What is in a picture; waits for it."""
        ...


def views(uris: Sequence[str], settings: Optional[Settings] = None) -> List[StreamState]:
    """Sources -> views called cam1, cam2 ...; see `check` for what is raised. No camera is opened."""
    for uri in uris:
        check(uri)
    return [StreamState(uri, f"cam{number}", settings=settings) for number, uri in enumerate(uris, 1)]


def check(uri: str) -> None:
    """Whether a source can be meant: files must be there and readable, URLs of a kind that is known.

    A camera need not be there yet. Raises `SourceError` or `UsageError`.
    """
    if uri == "-":
        raise UsageError("a stream cannot be read from standard input; send pictures to /v1/detect instead")
    if uri.isdigit() or uri.startswith(("/dev/video", "gst:", "csi:")):
        return
    scheme, separator, _ = uri.partition("://")
    if not separator:
        sources.open(uri).close()
    elif scheme.lower() not in SCHEMES:
        known = ", ".join((*SCHEMES, "csi", "gst:PIPELINE"))
        raise SourceError(f"{redact_source(uri)}: no source speaks {scheme.lower()!r}; known: {known}")


class Streams:
    """The threads behind the views; `start` them, and `close` them in any case.

    `loop` begins films again at their end. A view that has not had a frame for `stale_s` seconds says so. What becomes
    of a stream is told on the bus. `backoff` makes the waits between tries, `open_source` the sources.
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
    ) -> None:
        self.views = list(views)
        self._stale_s = stale_s
        self._stop = threading.Event()
        decoders = max(1, cpu.threads() // max(1, len(self.views)))
        self._feeds = [
            _Feed(view, pool, bus, self._stop, loop, backoff(), open_source, decoders) for view in self.views
        ]
        self._threads: List[threading.Thread] = []

    def start(self) -> None:
        """Open all, each in its own thread; returns at once."""
        targets = [(feed.run, f"edgecsp-{feed.view.name}") for feed in self._feeds] + [
            (self._check_stale, "edgecsp-look")
        ]
        for target, name in targets:
            words = ("stream", target, self._stop)
            thread = threading.Thread(target=unexpected.keep_running, args=words, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Stop all and wait for them: no thread and no handle is left, unless a source keeps silent for longer."""
        self._stop.set()
        for feed in self._feeds:
            feed.close()
        late = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, late - time.monotonic()))
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for view in self.views:
            view.set_state("ended", "the server is being shut down")

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
    """What came of a frame: a result, or why there is none; and when the frame had come."""

    came: float
    result: Optional[Result]
    error: str = ""


class _Feed:
    """One stream: opened, read until it breaks, opened again."""

    def __init__(
        self,
        view: StreamState,
        pool: Detects,
        bus: events.Bus,
        stop: threading.Event,
        loop: bool,
        backoff: Backoff,
        open_source: Callable[[str], sources.Source],
        decoders: int,
    ) -> None:
        self.view = view
        self._pool, self._bus, self._stop, self._loop = pool, bus, stop, loop
        self._backoff, self._open, self._decoders = backoff, open_source, decoders
        self._paced: Optional[Paced] = None
        self._opened = 0
        self._had_something = False
        view.on_state_change = lambda state, reason: bus.publish(events.state(view.name, state, reason))

    def run(self) -> None:
        """The thread: until it is stopped, or a video is over."""
        while not self._stop.is_set():
            begun, frames, video = time.monotonic(), self.view.frames, False
            try:
                why, video = self._watch()
            except EdgecspError as error:
                why = str(error)
            except BaseException as error:  # noqa: BLE001 - a library that stumbles once must not end the stream for ever
                why = f"{type(error).__name__}: {error}"
                unexpected.report("stream", error)
            if self._stop.is_set():
                return
            if video and not why:
                if not self._loop:
                    self.view.set_state("ended", "the video is over")
                    return
                continue
            self.view.set_state("no signal", redact_source(why or "the source ended"))
            if self.view.frames > frames and time.monotonic() - begun > STEADY_S:
                self._backoff.reset()
            self._stop.wait(self._backoff.next_s())

    def close(self) -> None:
        """End what is being read, from another thread."""
        paced = self._paced
        if paced is not None:
            paced.close()

    def check_stale(self, stale_s: float) -> None:
        """Take an old picture away, from another thread."""
        snapshot, paced = self.view.latest(), self._paced
        if snapshot is not None and snapshot.frame.stream.fps:
            stale_s = max(stale_s, 3 / snapshot.frame.stream.fps)  # there are cameras that give a frame in ten seconds
        if snapshot is None or time.monotonic() - snapshot.at < stale_s:
            return
        waits = paced is not None and time.monotonic() - paced.came < stale_s
        why = "the engine has not answered" if waits else "no frame"
        self.view.set_state("no signal", f"{why} for {stale_s:g} s")

    def _watch(self) -> Tuple[str, bool]:
        """One opening of the source: why it broke off ("" when it did not), and whether it is a video."""
        source = self._open(self.view.uri)
        self._opened += 1
        self.view.reconnects += source.live and self._opened > 1
        source.threads = self._decoders
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
        """In `flow`'s worker: an error of the engine is this frame's, not the end of the stream."""
        paced = self._paced
        came = paced.pop_arrival(frame.index) if paced else time.monotonic()
        try:
            return _Outcome(came, self._pool.detect(frame.image, self.view.settings))
        except EdgecspError as error:
            why = str(error)
        except BaseException as error:  # noqa: BLE001 - shown to people; the next frame may be better
            why = f"{type(error).__name__}: {error}"
            unexpected.report("stream", error)
        self.view.set_state("failed", redact_source(why))
        self._stop.wait(1.0)
        return _Outcome(came, None, why)

    def _show(self, frame: Frame, outcome: Any, last: List[int]) -> None:
        if last[0] >= 0:
            self.view.dropped += max(0, frame.index - last[0] - 1)
        last[0] = frame.index
        if outcome.result is None:
            return
        self.view.publish(frame, outcome.result, (time.monotonic() - outcome.came) * 1000)
        # Of what is empty only the first is news.
        if len(outcome.result) or self._had_something:
            self._bus.publish(events.detections(self.view.name, frame, outcome.result))
        self._had_something = len(outcome.result) > 0
