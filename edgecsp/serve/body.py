"""How much a caller may take, and a request's body as it comes: counted, and within its time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, List, MutableMapping, Optional, Tuple, cast

from ..errors import HTTPRequestError
from .budget import Budget

MOST_DISCARDED = 256 << 20  # bytes; this machine's own programs send more in a second
DISCARDED_UNASKED = 1 << 20  # of a caller without a valid key
JOINED_BYTES = 4 << 20

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
    # Of all callers together that have shown no valid key, where one is needed; an address has a part of each.
    unknown: int = 64  # connections
    unknown_of_address: int = 16
    unknown_bytes: int = 8 << 20  # of bodies, beyond the first `unknown_free` of each
    unknown_bytes_of_address: int = 4 << 20
    unknown_free: int = 64 << 10


class Body:
    """A request's body as it comes: counted in a budget, and within its time."""

    def __init__(self, budget: Budget, address: str, receive: Receive, limits: Limits) -> None:
        self._budget, self._address = budget, address
        self._receive, self._limits = receive, limits
        self._clock: Optional[asyncio.TimerHandle] = None
        self._waiting: Optional[asyncio.Task[Any]] = None
        self._late = False
        self.size = 0
        self.complete = False

    async def receive(self) -> Message:
        """ASGI's `receive`. Raises `HTTPRequestError`."""
        if self.complete:
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
            raise HTTPRequestError(408, f"the body did not come within {self._limits.body_s:g} s")
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            if self.size + size > self._limits.body_bytes:
                raise HTTPRequestError(413, too_large(self._limits))
            self._budget.change(self._address, self.size, self.size + size)
            self.size += size
            self.complete = not message.get("more_body", False)
        else:
            self.complete = True
        if self.complete and self._clock is not None:
            self._clock.cancel()
        return message

    def _expire(self) -> None:
        self._late = True
        if self._waiting is not None:
            self._waiting.cancel()

    def move(self, budget: Budget) -> None:
        """Count it in another budget. Raises `HTTPRequestError`."""
        budget.change(self._address, 0, self.size)
        self._budget.change(self._address, self.size, 0)
        self._budget = budget

    def close(self) -> None:
        """Stop the clock, and count its bytes no more."""
        if self._clock is not None:
            self._clock.cancel()
        self._budget.change(self._address, self.size, 0)
        self.size = 0

    async def discard(self, most: int) -> None:
        """Take what still comes, for a second: whoever sends before reading would never see the answer."""
        late, left = time.monotonic() + 1.0, most
        while not self.complete and left > 0 and time.monotonic() < late:
            try:
                message = await asyncio.wait_for(self._receive(), max(0.001, late - time.monotonic()))
            except asyncio.TimeoutError:
                return
            self.complete = message["type"] != "http.request" or not message.get("more_body", False)
            left -= len(message.get("body", b""))


def too_large(limits: Limits) -> str:
    """What is said of a body that is."""
    return f"the body is larger than {limits.body_bytes >> 20} MiB"


async def piece(receive: Receive) -> Tuple[bytes, bool]:
    """The next piece of a body, and whether more follow.

    Raises `HTTPRequestError`, which nobody hears, when the caller goes before the body's end.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise HTTPRequestError(400, "the connection was closed before the end of the body")
    return message.get("body", b""), message.get("more_body", False)


async def read(receive: Receive, most: Optional[int] = None, hint: str = "") -> bytes:
    """All of a body, of at most so many bytes; `hint` says what else would do. Raises `HTTPRequestError`."""
    pieces: List[bytes] = []
    large = bytearray()  # grows in place: pieces that are joined are there twice for a moment, which takes less time
    size, more = 0, True
    while more:
        data, more = await piece(receive)
        size += len(data)
        if most is not None and size > most:
            raise HTTPRequestError(413, f"the body is larger than {most} bytes{hint}")
        pieces.append(data)
        if size > JOINED_BYTES:
            large += b"".join(pieces)
            pieces.clear()
    return cast(bytes, large) if large else b"".join(pieces)
