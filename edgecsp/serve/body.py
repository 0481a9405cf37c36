"""Limits for clients, and request bodies that are counted and timed while they arrive."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, List, MutableMapping, Optional, Tuple, cast

from ..errors import HTTPRequestError
from .budget import Budget

MOST_DISCARDED = 256 << 20  # bytes; local programs send more in a second
DISCARDED_UNASKED = 1 << 20  # of a client without a valid key
JOINED_BYTES = 4 << 20

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """Limits for clients: body bytes (each and in total), seconds for a body and a header, pixels, viewers."""

    body_bytes: int = 32 << 20
    held_bytes: int = 256 << 20
    body_s: float = 20.0
    header_s: float = 10.0
    idle: int = 200  # idle connections; above the limit the oldest is closed
    pixels: int = 50_000_000
    viewers: int = 64  # endless responses: video and events
    # For all unauthenticated clients together, where a key is needed; and for one address.
    unknown: int = 64  # connections
    unknown_of_address: int = 16
    unknown_bytes: int = 8 << 20  # of bodies, beyond the first `unknown_free` of each
    unknown_bytes_of_address: int = 4 << 20
    unknown_free: int = 64 << 10


class Body:
    """A request body while it arrives: counted in a budget and bounded in time."""

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
        # One timer for the whole body: asyncio.wait_for would create a task for each piece.
        if self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(self._limits.body_s, self._expire)
        task = self._waiting = asyncio.current_task()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self._late:
                raise
            getattr(task, "uncancel", int)()  # Python 3.11 counts cancellation requests
        finally:
            self._waiting = None
        if self._late:
            raise HTTPRequestError(408, f"the body did not arrive within {self._limits.body_s:g} s")
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
        """Move the body to another budget. Raises `HTTPRequestError`."""
        budget.change(self._address, 0, self.size)
        self._budget.change(self._address, self.size, 0)
        self._budget = budget

    def close(self) -> None:
        """Stop the timer and release the bytes from the budget."""
        if self._clock is not None:
            self._clock.cancel()
        self._budget.change(self._address, self.size, 0)
        self.size = 0

    async def discard(self, most: int) -> None:
        """Read and drop up to `most` bytes for a second: clients that send before they read get the response."""
        late, left = time.monotonic() + 1.0, most
        while not self.complete and left > 0 and time.monotonic() < late:
            try:
                message = await asyncio.wait_for(self._receive(), max(0.001, late - time.monotonic()))
            except asyncio.TimeoutError:
                return
            self.complete = message["type"] != "http.request" or not message.get("more_body", False)
            left -= len(message.get("body", b""))


def too_large(limits: Limits) -> str:
    """Error message for a body that is too large."""
    return f"the body is larger than {limits.body_bytes >> 20} MiB"


async def piece(receive: Receive) -> Tuple[bytes, bool]:
    """Receive the next piece of a body; whether more follow.

    Raises `HTTPRequestError` when the client disconnects before the end.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise HTTPRequestError(400, "the connection was closed before the end of the body")
    return message.get("body", b""), message.get("more_body", False)


async def read(receive: Receive, most: Optional[int] = None, hint: str = "") -> bytes:
    """Read a whole body of at most `most` bytes; `hint` is added to the error. Raises `HTTPRequestError`."""
    pieces: List[bytes] = []
    large = bytearray()  # grows in place: joining small pieces is faster but needs the memory twice
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
