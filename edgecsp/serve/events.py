"""What happens, told to all who listen: detections and changes of state, in one order, to each at its own pace.

An event is a JSON object: `id` (grows, also from one start to the next), `type` ("detections" or "state"), `stream`
(the view's name), `time` (UTC), and the words of `edgecsp run --json` or `state` and `reason`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, AsyncIterator, Callable, Deque, Dict, Iterator, List, Optional

from ..media.sinks.rows import to_dict
from ..types import Frame, Result

LIMIT = 256
HEARTBEAT_S = 15.0
Event = Dict[str, Any]


def detections(stream: str, frame: Frame, result: Result) -> Event:
    """The event of a frame and what is in it: a row of `edgecsp run --json`, and whose it is."""
    return {"type": "detections", "stream": stream, "time": now(), **to_dict(frame, result)}


def state(stream: str, new_state: str, reason: str) -> Event:
    """The event of a stream that has become live, or is so no more."""
    return {"type": "state", "stream": stream, "time": now(), "state": new_state, "reason": reason}


def now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Subscription:
    """One listener's events: at most `limit` wait, then the oldest goes and `lost` counts it.

    Iterate it, or `take` one; `close` ends the iteration, in whatever thread it is.
    """

    def __init__(self, bus: Bus, limit: int, woken: Callable[[], None]) -> None:
        self._bus = bus
        self._woken = woken
        self._waiting: Deque[Event] = deque(maxlen=limit)
        self._ready = threading.Condition()
        self.lost = 0
        self.closed = False

    def put(self, event: Event) -> None:
        """Take an event in; never waits."""
        with self._ready:
            self.lost += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(event)
            self._ready.notify()
        self._woken()

    def take(self, timeout_s: Optional[float] = 0.0) -> Optional[Event]:
        """The next event, None when there is none within `timeout_s` (None: however long it takes) or for ever."""
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self.closed, timeout_s)
            return self._waiting.popleft() if self._waiting else None

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self.take(None)
            if event is None:
                return
            yield event

    def close(self) -> None:
        """Hear no more; what waits can still be taken."""
        self._bus.forget(self)
        with self._ready:
            self.closed = True
            self._ready.notify_all()
        self._woken()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Bus:
    """Events from any thread to any number of listeners; who is slow loses its own oldest and nobody else's.

    The last `recent` events are kept for a listener that was away for a moment.
    """

    def __init__(self, recent: int = LIMIT) -> None:
        self._lock = threading.Lock()
        self._listeners: List[Subscription] = []
        self._recent: Deque[Event] = deque(maxlen=recent)
        # In milliseconds since 1970 at the start: a browser that comes back after a restart asks for what is newer
        # than what it has, and has less than all of it as long as there are no 1000 events a second for ever.
        self._last = int(time.time() * 1000)
        self._closed = False

    def publish(self, event: Event) -> None:
        """Tell all; never waits for any of them."""
        with self._lock:
            if self._closed:
                return
            self._last += 1
            numbered = {"id": self._last, **event}
            self._recent.append(numbered)
            for listener in self._listeners:
                listener.put(numbered)

    def subscribe(
        self, limit: int = LIMIT, *, after: Optional[int] = None, woken: Callable[[], None] = lambda: None
    ) -> Subscription:
        """Listen from now on, or from the event behind the one numbered `after`, as far as it is kept.

        `woken` is called, in any thread, when there is something to take. It must not wait, nor raise.
        """
        listener = Subscription(self, limit, woken)
        with self._lock:
            for event in self._recent:
                if after is not None and event["id"] > after:
                    listener.put(event)
            if self._closed:
                listener.closed = True
            else:
                self._listeners.append(listener)
        return listener

    def forget(self, listener: Subscription) -> None:
        """Tell it no more."""
        with self._lock, suppress(ValueError):
            self._listeners.remove(listener)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def close(self) -> None:
        """End all listening."""
        with self._lock:
            self._closed = True
            listeners = list(self._listeners)
        for listener in listeners:
            listener.close()


async def sse(
    bus: Bus, *, after: Optional[int] = None, limit: int = LIMIT, heartbeat_s: float = HEARTBEAT_S
) -> AsyncIterator[str]:
    """A listener's events as `text/event-stream`: id, event and data of each, "lost" when it was too slow for some.

    A comment goes out when nothing happens for `heartbeat_s`, or a proxy would take the connection for dead. It ends
    with the bus. Source: WHATWG HTML, "Server-sent events".
    """
    loop, ready = asyncio.get_running_loop(), asyncio.Event()

    def woken() -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whoever listened
            loop.call_soon_threadsafe(ready.set)

    with bus.subscribe(limit, after=after, woken=woken) as events:
        lost = 0
        yield ": events of edgecsp\nretry: 3000\n\n"
        while True:
            ready.clear()
            event = events.take()
            if events.lost > lost:
                yield _block("lost", {"lost": events.lost - lost})
                lost = events.lost
            if event is not None:
                yield f"id: {event['id']}\n" + _block(event["type"], event)
            elif events.closed:
                return
            else:
                try:
                    await asyncio.wait_for(ready.wait(), heartbeat_s)
                except asyncio.TimeoutError:
                    yield ": still here\n\n"


def _block(kind: str, data: Event) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
