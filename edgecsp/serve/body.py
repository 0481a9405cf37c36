"""How much a caller may take, and a request's body as it comes: counted, and within its time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, List, MutableMapping, Optional

from ..errors import Refused

MOST_DISCARDED = 256 << 20  # bytes; this machine's own programs send more in a second

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """What a caller may take: bytes of a body and of all together, seconds for it and for a header, pixels, viewers."""

    body_bytes: int = 32 << 20
    held_bytes: int = 256 << 20
    body_s: float = 20.0
    header_s: float = 10.0
    idle: int = 200  # connections that have asked nothing yet, or nothing more; over it the oldest goes
    pixels: int = 50_000_000
    viewers: int = 64  # answers that do not end: pictures and events


class Body:
    """A request's body as it comes: counted, and within its time."""

    def __init__(self, hold: Callable[[int], None], receive: Receive, limits: Limits) -> None:
        self._hold, self._receive, self._limits = hold, receive, limits
        self._clock: Optional[asyncio.TimerHandle] = None
        self._waiting: Optional[asyncio.Task[Any]] = None
        self._late = False
        self.size = 0
        self.whole = False

    async def receive(self) -> Message:
        """ASGI's `receive`. Raises `Refused`."""
        if self.whole:
            return await self._receive()
        # One timer for all of it: asyncio.wait_for would make a task of each piece.
        if self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(self._limits.body_s, self._expire)
        task = self._waiting = asyncio.current_task()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self._late:
                raise
            getattr(task, "uncancel", int)()  # Python 3.11 counts what was meant to be cancelled
        finally:
            self._waiting = None
        if self._late:
            raise Refused(408, f"the body did not come within {self._limits.body_s:g} s")
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            if self.size + size > self._limits.body_bytes:
                raise Refused(413, too_large(self._limits))
            self._hold(size)
            self.size += size
            self.whole = not message.get("more_body", False)
        else:
            self.whole = True
        if self.whole:
            self.close()
        return message

    def _expire(self) -> None:
        self._late = True
        if self._waiting is not None:
            self._waiting.cancel()

    def close(self) -> None:
        """Stop the clock."""
        if self._clock is not None:
            self._clock.cancel()

    async def discard(self) -> None:
        """Take what still comes, for a second: whoever sends before reading would never see the answer."""
        late, left = time.monotonic() + 1.0, MOST_DISCARDED
        while not self.whole and left > 0 and time.monotonic() < late:
            try:
                message = await asyncio.wait_for(self._receive(), max(0.001, late - time.monotonic()))
            except asyncio.TimeoutError:
                return
            self.whole = message["type"] != "http.request" or not message.get("more_body", False)
            left -= len(message.get("body", b""))


def too_large(limits: Limits) -> str:
    """What is said of a body that is."""
    return f"the body is larger than {limits.body_bytes >> 20} MiB"


async def read(receive: Receive) -> bytes:
    """All of a body. Raises `Refused`, which nobody hears, when the caller goes before its end."""
    pieces: List[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the connection was closed before the end of the body")
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)
