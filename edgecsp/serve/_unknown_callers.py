"""Bound the number of connections of a kind: the oldest are closed first, after a short grace period."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

MOMENT_S = 0.1
EVERY_S = 0.02  # surplus connections are closed a few at a time, because closing blocks the loop


class _Member(NamedTuple):
    since: float
    address: str
    leave: Callable[[], None]


class Crowd:
    """At most `most` connections, and at most `share` from one address. For use on the event loop only.

    Above the limit the oldest are closed, those of a crowded address first, but none within its grace period: many
    connections are accepted in one iteration of the loop, and those with a key must be read before they are closed.
    """

    def __init__(self, most: int, share: Optional[int] = None) -> None:
        self._most, self._share = most, share
        self._members: Dict[Any, _Member] = {}
        self._of: Dict[str, Dict[Any, None]] = {}
        self._next: Optional[asyncio.TimerHandle] = None

    def add(self, connection: Any, leave: Callable[[], None], address: str = "") -> None:
        """Count a connection; `leave` is called to close it."""
        loop: asyncio.AbstractEventLoop = connection.loop
        self._members[connection] = _Member(loop.time(), address, leave)
        over = len(self._members) > self._most
        if self._share is not None:
            of = self._of.setdefault(address, {})
            of[connection] = None
            over = over or len(of) > self._share
        if over and self._next is None:
            self._wait(loop)

    def remove(self, connection: Any) -> None:
        """Stop counting a connection; unknown ones are ignored."""
        member = self._members.pop(connection, None)
        if member is not None and self._share is not None:
            of = self._of[member.address]
            del of[connection]
            if not of:
                del self._of[member.address]

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        # Data that arrived while the loop was busy is read in the iteration of the timer and answered in the next one.
        self._next = loop.call_later(EVERY_S, loop.call_soon, self._thin, loop)

    def _thin(self, loop: asyncio.AbstractEventLoop) -> None:
        old = loop.time() - MOMENT_S
        for of in self._crowded():
            self._let_go(list(of)[: len(of) - (self._share or 0)], old)
        self._let_go(list(self._members)[: max(0, len(self._members) - self._most)], old)
        self._next = None
        if len(self._members) > self._most or self._crowded():
            self._wait(loop)

    def _crowded(self) -> List[Dict[Any, None]]:
        return [of for of in self._of.values() if len(of) > (self._share or 0)]

    def _let_go(self, connections: Sequence[Any], old: float) -> None:
        for connection in connections:
            member = self._members[connection]
            if member.since > old:
                break
            self.remove(connection)
            member.leave()
