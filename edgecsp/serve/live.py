"""Current state of a stream: its newest frame and result, counters and history, shared by all viewers."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple
from typing import Counter as CounterOf

from ..options import Thresholds, thresholds_to_dict
from ..types import Frame, Result
from . import _render
from .address import redact_source, short_name
from .areas import StreamAreas

STATES = ("connecting", "live", "no signal", "ended", "failed")
WINDOW_S = 3.0  # window for the frame rate and the mean latency
BUCKET_S = 10
KEPT_S = 3600


@dataclass(frozen=True)
class Snapshot:
    """A frame and its result.

    `number` grows with every change of the stream, also with changes of state, so it may skip. `at` is the time of the
    result by the monotonic clock; `latency_ms` the time since the frame arrived from its source.
    """

    number: int
    frame: Frame
    result: Result
    at: float
    latency_ms: float


@dataclass
class _Bucket:
    """Label counts of 10 seconds."""

    number: int
    frames: int
    label_counts: CounterOf[str]


class StreamState:
    """The state of one stream: the latest snapshot, its connection state, its counters. Thread-safe.

    `name` is unique and valid in a path, `title` is for people, `source` is the URI without its login (`uri`, which
    has it, is for opening the stream). `settings` may be assigned: they apply from the next frame on. `areas` are the
    lines and zones of a stream that is tracked, None for another. `frames` counts processed frames, `dropped` those
    that were not processed because a newer one came, `label_counts` detections by label, `reconnects` how often the
    source was reopened. `observe` is called with the seconds of each encoding, `on_state_change` with each new state
    and its reason.
    """

    def __init__(
        self,
        uri: str,
        name: str,
        *,
        title: str = "",
        settings: Optional[Thresholds] = None,
        areas: Optional[StreamAreas] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", name):
            raise ValueError(f"a stream's name must be letters, digits, - and _: {name!r}")
        self.uri = uri
        self.name = name
        self.source = redact_source(uri)
        self.title = title or short_name(uri)
        self.settings = settings or Thresholds()
        self.areas = areas
        self.frames = self.dropped = self.reconnects = 0
        self.label_counts: CounterOf[str] = Counter()
        self.observe: Callable[[str, float], None] = lambda stage, seconds: None
        self.on_state_change: Callable[[str, str], None] = lambda state, reason: None
        self._clock = clock
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._number = 0
        self._state, self._reason = "connecting", ""
        self._snapshot: Optional[Snapshot] = None
        self._hw = (360, 640)
        self._encoded: Tuple[int, bytes] = (-1, b"")
        self._recent: Deque[Tuple[float, float]] = deque()
        self._buckets: Deque[_Bucket] = deque(maxlen=KEPT_S // BUCKET_S)
        self._callbacks: List[Callable[[int], None]] = []

    def __repr__(self) -> str:
        return f"<StreamState {self.name}: {self.source}>"

    # -- updates by the stream -----------------------------------------------------------------------------------

    def publish(self, frame: Frame, result: Result, latency_ms: float) -> Snapshot:
        """Set the newest frame and result; the stream is live."""
        at = self._clock()
        with self._changed:
            self._number += 1
            snapshot = self._snapshot = Snapshot(self._number, frame, result, at, latency_ms)
            self._hw = frame.hw
            was_down, self._state, self._reason = self._state != "live", "live", ""
            if was_down:
                self.on_state_change("live", "")
            self.frames += 1
            self._recent.append((at, latency_ms))
            self._forget(at)
            self._count(at, result)
            self._notify()
            return snapshot

    def set_state(self, state: str, reason: str = "") -> bool:
        """Set the state of the stream; whether it changed. Any state but "live" removes the image."""
        if state not in STATES:
            raise ValueError(f"a stream's state is one of {', '.join(STATES)}, not {state!r}")
        with self._changed:
            if (state, reason) == (self._state, self._reason):
                return False
            self._number += 1
            self._state, self._reason = state, reason
            self.on_state_change(state, reason)
            if state != "live":
                self._snapshot = None
                self._recent.clear()
            self._notify()
            return True

    def _notify(self) -> None:
        self._changed.notify_all()
        for callback in self._callbacks:
            callback(self._number)

    def _count(self, at: float, result: Result) -> None:
        labels = result.counted()
        self.label_counts.update(labels)
        number = int(at // BUCKET_S)
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number, 0, Counter()))
        self._buckets[-1].frames += 1
        self._buckets[-1].label_counts.update(labels)

    def _forget(self, now: float) -> None:
        while self._recent and now - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()

    # -- viewers -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of `STATES`."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the stream is not live, for people; "" when it is."""
        return self._reason

    @property
    def wh(self) -> Optional[Tuple[int, int]]:
        """Width and height of the latest frame, None before the first."""
        height, width = self._hw
        return (width, height) if self.frames else None

    @property
    def number(self) -> int:
        """Number of the latest change."""
        return self._number

    @property
    def fps(self) -> float:
        """Frames per second over the last three seconds; 0 when not live."""
        with self._changed:
            self._forget(self._clock())
            times = [at for at, _ in self._recent]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    @property
    def latency_ms(self) -> Optional[float]:
        """Mean time from a frame's arrival to its result over the last three seconds; None without frames."""
        with self._changed:
            self._forget(self._clock())
            return sum(ms for _, ms in self._recent) / len(self._recent) if self._recent else None

    def latest(self) -> Optional[Snapshot]:
        """The newest snapshot; None when the stream is not live."""
        return self._snapshot

    def wait(self, after: int, timeout_s: float) -> Optional[Snapshot]:
        """Wait for a snapshot with a number above `after`; None when none comes within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._snapshot is not None and self._snapshot.number > after, timeout_s)
            return self._snapshot if self._snapshot is not None and self._snapshot.number > after else None

    def subscribe(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the number of each new snapshot or state, in any thread. It must not block."""
        with self._changed:
            self._callbacks.append(callback)

    def unsubscribe(self, callback: Callable[[int], None]) -> None:
        """Remove a callback."""
        with self._changed:
            self._callbacks.remove(callback)

    def jpeg(self) -> Tuple[int, bytes]:
        """Encode the current image as JPEG, with its number: the newest frame with boxes, or a card with the reason.

        Encoded once for all callers, at most 1280 pixels wide and high.
        """
        with self._encoding:
            with self._changed:
                number, snapshot, state, reason = self._number, self._snapshot, self._state, self._reason
            if self._encoded[0] != number:
                begun = time.perf_counter()
                image = (
                    _render.render_frame(snapshot.frame, snapshot.result)
                    if snapshot
                    else _render.render_message(self._hw, (self.title, state, reason))
                )
                self._encoded = number, _render.encode_jpeg(image)
                self.observe("encode", time.perf_counter() - begun)
            return self._encoded

    def counts(self, minutes: float = 5.0) -> Dict[str, Any]:
        """Label counts over the last minutes (60 at most) in steps of 10 s, newest last, as JSON.

        `counts` by label are means over the frames of a step, 0 where there was none; `frames` is their number.
        """
        last = int(self._clock() // BUCKET_S)
        spans = max(1, min(KEPT_S // BUCKET_S, round(minutes * 60 / BUCKET_S)))
        with self._changed:
            buckets = {b.number: (b.frames, dict(b.label_counts)) for b in self._buckets if last - b.number < spans}
        empty: Tuple[int, Dict[str, int]] = (0, {})
        columns = [buckets.get(number, empty) for number in range(last - spans + 1, last + 1)]
        labels = sorted({label for _, counts in columns for label in counts})
        return {
            "step_s": BUCKET_S,
            "frames": [frames for frames, _ in columns],
            "counts": {
                label: [round(counts.get(label, 0) / max(1, frames), 2) for frames, counts in columns]
                for label in labels
            },
        }

    def to_dict(self) -> Dict[str, Any]:
        """Name, source, state, figures and settings as JSON."""
        latency, settings, hw = self.latency_ms, self.settings, self._hw
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "state": self.state,
            "reason": self.reason,
            "fps": round(self.fps, 2),
            "latency_ms": None if latency is None else round(latency, 2),
            "frames": self.frames,
            "dropped": self.dropped,
            "reconnects": self.reconnects,
            "width": hw[1],
            "height": hw[0],
            "track": self.areas is not None,
            "editable": self.areas is not None and self.areas.is_editable,
            "areas": None if self.areas is None else self.areas.counts(),
            **thresholds_to_dict(settings),
        }
