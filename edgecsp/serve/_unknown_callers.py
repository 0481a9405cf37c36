"""Connections of a kind, so many of them and no more: the oldest go, once they have had a moment to ask."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

MOMENT_S = 0.1
EVERY_S = 0.02  # those who have to go go a few at a time: the loop does nothing else meanwhile


class _Member(NamedTuple):
    since: float
    address: str
    leave: Callable[[], None]


class Crowd:
    """At most `most` connections, and `share` of an address. On the loop alone.

    Over it the oldest go, those of a crowded address first; but none within a moment of its coming. Many are accepted
    in one turn of the loop, before any of them is read, and whoever has a key among them shall be heard.
    """

    def __init__(self, most: int, share: Optional[int] = None) -> None:
        self._most, self._share = most, share
        self._members: Dict[Any, _Member] = {}
        self._of: Dict[str, Dict[Any, None]] = {}
        self._next: Optional[asyncio.TimerHandle] = None

    def add(self, connection: Any, leave: Callable[[], None], address: str = "") -> None:
        """Count a connection; `leave` is called when it has to go."""
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
        """Count it no more, if it was."""
        member = self._members.pop(connection, None)
        if member is not None and self._share is not None:
            of = self._of[member.address]
            del of[connection]
            if not of:
                del self._of[member.address]

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        # What came while the loop was busy is read in the turn in which the timer ends, and answered in the next one.
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
