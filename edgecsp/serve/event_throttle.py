"""Reduce events to changes, at a limited rate, for brokers and webhooks."""

from __future__ import annotations

import time
from collections import Counter
from typing import Callable, Dict, Iterator, Optional, Tuple
from typing import Counter as CounterOf

from .events import Event, Subscription

EVERY_S = 1.0


def counts(event: Event) -> CounterOf[str]:
    """Count detections by label in an event (of a classifier: the best class)."""
    rows = event["detections"] if "detections" in event else event["classes"][:1]
    return Counter(row["label"] for row in rows)


class EventThrottle:
    """Iterate over the events that report a change, until the subscription is closed.

    An event of detections passes if its counts by label differ from the last reported ones of its stream, at most one
    in `every_s` seconds; in between the newest one waits. Changes of state pass at once, and so does what happens at a
    line or in a zone, unless the same kind of it did less than `every_s` before: that is dropped, but counted.
    """

    def __init__(
        self, events: Subscription, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._events, self._every_s, self._clock = events, every_s, clock
        self._reported: Dict[str, CounterOf[str]] = {}
        self._at: Dict[str, float] = {}
        self._pending: Dict[str, Event] = {}
        self._area_at: Dict[Tuple[str, str, str, Optional[str]], float] = {}

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._events.take(self._wait_s())
            if event is None and self._events.closed:
                break
            if event is not None:
                yield from self._accept(event)
            yield from self._due()
        pending, self._pending = self._pending, {}
        yield from pending.values()

    def _wait_s(self) -> Optional[float]:
        if not self._pending:
            return None
        return max(0.0, min(self._at[stream] for stream in self._pending) + self._every_s - self._clock())

    def _accept(self, event: Event) -> Iterator[Event]:
        stream = event["stream"]
        if event["type"] == "area":
            yield from self._accept_area(event)
        elif event["type"] == "state":
            pending = self._pending.pop(stream, None)
            if pending is not None:
                yield pending
            self._reported.pop(stream, None)
            yield event
        elif self._reported.get(stream) == counts(event):
            self._pending.pop(stream, None)  # the change lasted less than `every_s`
        elif self._clock() - self._at.get(stream, -self._every_s) >= self._every_s:
            yield self._report(event)
        else:
            self._pending[stream] = event

    def _accept_area(self, event: Event) -> Iterator[Event]:
        one = event["event"]
        key, now = (one["stream"], one["area"], one["kind"], one["direction"]), self._clock()
        if now - self._area_at.get(key, -self._every_s) >= self._every_s:
            self._area_at[key] = now
            yield event

    def _due(self) -> Iterator[Event]:
        now = self._clock()
        for stream in [name for name in self._pending if now - self._at[name] >= self._every_s]:
            yield self._report(self._pending[stream])

    def _report(self, event: Event) -> Event:
        stream = event["stream"]
        self._pending.pop(stream, None)
        self._reported[stream], self._at[stream] = counts(event), self._clock()
        return event
