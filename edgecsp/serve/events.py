"""Event bus: detections, states, and events of lines and zones, in one order, for listeners at their own pace.

An event is a JSON object: `id` (grows, also from one start to the next), `type` ("detections", "state" or
"area"), `stream` (its name), `time` (UTC), and either the fields of `edgecsp run --json`, `state` and `reason`, or
`event` (what happened at a line or in a zone).
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any, AsyncIterator, Callable, Deque, Dict, Iterator, List, Optional

from ..media.sinks.rows import to_dict
from ..system.clock import now
from ..types import Frame, Result

LIMIT = 256
HEARTBEAT_S = 15.0
Event = Dict[str, Any]


def detections(stream: str, frame: Frame, result: Result) -> Event:
    """Create the event of a frame's result: a row of `edgecsp run --json` with the stream's name."""
    return {"type": "detections", "stream": stream, "time": now(), **to_dict(frame, result)}


def state(stream: str, new_state: str, reason: str) -> Event:
    """Create the event of a stream that changed its state."""
    return {"type": "state", "stream": stream, "time": now(), "state": new_state, "reason": reason}


def area(event: Event) -> Event:
    """Create the event of what happened at a line or in a zone, an object of the `EventStore`."""
    return {"type": "area", "stream": event["stream"], "time": event["time"], "event": event}


class Subscription:
    """Event queue of one listener: at most `limit` events wait, then the oldest is dropped and counted in `lost`.

    It gets events of `event_type` alone; None: of all types.

    Iterate over it, or `take` one; `close` ends the iteration from any thread.
    """

    def __init__(
        self, bus: Bus, limit: int, woken: Callable[[], None] = lambda: None, event_type: Optional[str] = None
    ) -> None:
        self._bus = bus
        self._woken = woken
        self._event_type = event_type
        self._waiting: Deque[Event] = deque(maxlen=limit)
        self._ready = threading.Condition()
        self.lost = 0
        self.closed = False

    def put(self, event: Event) -> None:
        """Queue an event; never blocks."""
        if self._event_type not in (None, event["type"]):
            return
        with self._ready:
            self.lost += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(event)
            self._ready.notify()
        self._woken()

    def take(self, timeout_s: Optional[float] = 0.0) -> Optional[Event]:
        """Return the next event, None when none comes within `timeout_s` (None: no limit) or the queue is closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self.closed, timeout_s)
            return self._waiting.popleft() if self._waiting else None

    def __iter__(self) -> Iterator[Event]:
        yield from iter(partial(self.take, None), None)

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """Stop receiving events; queued ones can still be taken."""
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
    """Publishes events from any thread to any number of listeners; a slow listener loses only its own oldest events.

    The last `recent` events are kept for listeners that reconnect.
    """

    def __init__(self, recent: int = LIMIT) -> None:
        self._lock = threading.Lock()
        self._listeners: List[Subscription] = []
        self._recent: Deque[Event] = deque(maxlen=recent)
        # Starts at the milliseconds since 1970, so that ids grow over a restart of the server (unless there were more
        # than 1000 events a second all the time): a browser that reconnects asks for ids above its last one.
        self._last = int(time.time() * 1000)
        self._closed = False

    def publish(self, event: Event) -> None:
        """Send an event to all listeners; never blocks."""
        with self._lock:
            if self._closed:
                return
            self._last += 1
            numbered = {"id": self._last, **event}
            self._recent.append(numbered)
            for listener in self._listeners:
                listener.put(numbered)

    def subscribe(
        self,
        limit: int = LIMIT,
        *,
        after: Optional[int] = None,
        woken: Callable[[], None] = lambda: None,
        event_type: Optional[str] = None,
    ) -> Subscription:
        """Subscribe to events of one type or all, from now on or from the event after id `after` as far as it is kept.

        `woken` is called, in any thread, when there is something to take. It must not block or raise.
        """
        listener = Subscription(self, limit, woken, event_type)
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
        """Remove a listener."""
        with self._lock, suppress(ValueError):
            self._listeners.remove(listener)

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return len(self._listeners)

    def close(self) -> None:
        """Close all subscriptions."""
        with self._lock:
            self._closed = True
            listeners = list(self._listeners)
        for listener in listeners:
            listener.close()


async def sse(
    bus: Bus,
    *,
    after: Optional[int] = None,
    limit: int = LIMIT,
    heartbeat_s: float = HEARTBEAT_S,
    event_type: Optional[str] = None,
) -> AsyncIterator[str]:
    """Stream events as `text/event-stream`: id, event and data; an event "lost" counts those a slow client missed.

    A comment is sent every `heartbeat_s` without events, so that proxies keep the connection. It ends with the bus.
    Source: WHATWG HTML, "Server-sent events".
    """
    loop, ready = asyncio.get_running_loop(), asyncio.Event()

    def woken() -> None:
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(ready.set)

    with bus.subscribe(limit, after=after, woken=woken, event_type=event_type) as events:
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
