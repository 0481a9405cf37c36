"""HTTP's connections: uvicorn's, with a clock for those that do not ask, and bounds on what is kept of a request.

uvicorn waits for a first request as long as the caller likes, and for the rest of a header that has begun. Somebody who
opens connections and says nothing would take every file descriptor of the process. The parser (llhttp, as in Node.js)
has no bound of its own on a header, a trailer or how many requests come at once; here they have one.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, List, Optional, Type

from ._unknown_callers import Crowd
from .body import Limits
from .budget import network

HEAD_BYTES = 64 << 10  # of a request line and its fields, and of what a chunked body has beside the body
FIELDS = 100
PIPELINED = 16  # requests that wait for the answer to an earlier one of their connection
PIECE = 256 << 10
PIECE_UNKNOWN = 16 << 10  # of a connection that has shown no valid key: what is read before that is known is bounded
AHEAD = 64 << 10  # of a body that nobody has taken yet


class _Refusal(Exception):
    """Raised in the parser's callbacks: what came is no request that we take."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Joined:
    """A connection to which an answer's head goes together with the first of its body: one call of the kernel, not two.

    What has no body soon (events) has its head sent all the same, in the loop's next turn.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: Optional[bytes] = None
        self._begun = False

    def write(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        elif not self._begun and not data.startswith(b"HTTP/1.1 100"):
            self._begun, self._head = True, data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        closing: bool = self._transport.is_closing()
        return closing


class _Unbounded(int):
    """The length of a body that ends with its connection: uvicorn counts it down, and it is never too short."""

    def __lt__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __sub__(self, other: object) -> _Unbounded:
        return self

    __hash__ = int.__hash__


def protocol(limits: Limits, *, needs_key: bool) -> Type[asyncio.Protocol]:
    """uvicorn's protocol for these limits, all its connections counted together.

    Where callers need a key, connections are counted until one of their requests has shown it, whatever they do: who
    sends a body byte by byte holds a file descriptor as well. `scope["state"]["admit"]` is called then.
    """
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    idle = Crowd(limits.idle)
    unknown = Crowd(limits.unknown, limits.unknown_of_address)
    # One for all: what it holds has been parsed when the next connection is read.
    buffer = memoryview(bytearray(PIECE))

    class Bounded(HttpToolsProtocol, asyncio.BufferedProtocol):
        _late: Optional[asyncio.TimerHandle] = None
        _known = not needs_key
        _beside = 0  # bytes that came since the last request ended and are no body
        _in_body = False

        # -- what comes --------------------------------------------------------------------------------------------

        def get_buffer(self, sizehint: int) -> memoryview:
            return buffer if self._known else buffer[:PIECE_UNKNOWN]

        def buffer_updated(self, nbytes: int) -> None:
            self.data_received(buffer[:nbytes])

        def data_received(self, data: Any) -> None:
            self._unset_keepalive_if_required()
            self._beside += len(data)
            try:
                self._feed(data)
            except httptools.HttpParserError as error:
                self._refuse(error.__context__ if isinstance(error.__context__, _Refusal) else _no_request(error))
                return
            if self._beside > HEAD_BYTES:
                self._refuse(_too_long())
                return
            cycle = self.cycle
            if cycle is not None and cycle.more_body and len(cycle.body) > AHEAD:
                self.flow.pause_reading()  # until it is taken
            if self._asks():
                self._wake()

        def _feed(self, data: Any) -> None:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as asked:
                # The parser stops at a request that would go on in another protocol, and leaves its body. None is
                # spoken here; such a request is answered as any other (RFC 9110, 7.8), so it is read without the wish.
                self._feed(self._without_upgrade())
                self._feed(data[asked.args[0] :])

        def _without_upgrade(self) -> bytes:
            version = self.parser.get_http_version().encode()
            fields = (b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
            return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(fields))

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_body = False

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._in_body:
                return  # a trailer is no header (RFC 9110, 6.5.1), and nothing here goes by one
            super().on_header(name, value)
            if len(self.headers) > FIELDS:
                raise _too_long()

        def on_headers_complete(self) -> None:
            self._in_body = True
            if self.parser.get_method() == b"CONNECT":
                raise _Refusal(400, "this is no proxy")
            if self.parser.should_upgrade():
                return
            if self.parser.get_http_version() != "1.0" and sum(name == b"host" for name, _ in self.headers) != 1:
                raise _Refusal(400, "a request of HTTP/1.1 has one Host header")  # RFC 9112, 3.2
            if len(self.pipeline) >= PIPELINED:
                raise _Refusal(400, f"more than {PIPELINED} requests came before their answers")
            super().on_headers_complete()
            cycle: Any = self.cycle
            cycle.transport = _Joined(self.transport, self.loop)
            if not self._known:
                cycle.scope["state"]["admit"] = self._admit
            if self.parser.get_http_version() == "1.0":
                # Such a caller knows no chunks, and no 100 Continue (RFC 9112, 6.1 and RFC 9110, 10.1.1): an answer of
                # unknown length ends with its connection.
                cycle.chunked_encoding, cycle.expected_content_length = False, _Unbounded()
                cycle.waiting_for_100_continue = False

        def on_body(self, body: bytes) -> None:
            # Chunks of a byte are five bytes of framing each: no body that anybody sends.
            self._beside = max(0, self._beside - 2 * len(body))
            cycle: Any = self.cycle
            if not cycle.response_complete:
                cycle.body = cycle.body + body if cycle.body else body
                cycle.message_event.set()

        def on_message_complete(self) -> None:
            self._beside = 0
            if not self.parser.should_upgrade():
                super().on_message_complete()

        def _refuse(self, why: _Refusal) -> None:
            """Close, and say why where that cannot be taken for a part of another answer."""
            if not self.transport.is_closing():
                if not (self._asks() and (self.cycle.response_started or self.pipeline)):
                    self.transport.write(_answer(why))
                self.transport.close()

        # -- who waits ---------------------------------------------------------------------------------------------

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if not self._known:
                unknown.add(self, self._turn_out, network(self.client[0] if self.client else ""))
            self._rest()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._asks():  # it may be the next one of several that came together
                self._rest()

        def connection_lost(self, exc: Optional[Exception]) -> None:
            unknown.remove(self)
            self._wake()
            super().connection_lost(exc)

        def _asks(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _rest(self) -> None:
            self._wake()
            if self.transport.is_closing():
                return
            if self._known:
                idle.add(self, self.transport.close)
            self._late = self.loop.call_later(limits.header_s, self.transport.close)

        def _admit(self) -> None:
            self._known = True
            unknown.remove(self)

        def _turn_out(self) -> None:
            if self._asks():
                self._refuse(_Refusal(429, "too many connections without a valid token; the oldest is closed"))
            if not self.transport.is_closing() or self.transport.get_write_buffer_size():
                self.transport.abort()  # it does not read: closing it would wait for that

        def _wake(self) -> None:
            idle.remove(self)
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Bounded


def _no_request(error: Exception) -> _Refusal:
    return _Refusal(400, f"what came is no HTTP/1.1 request: {str(error)[:100]}")


def _too_long() -> _Refusal:
    return _Refusal(431, f"a request's header has at most {FIELDS} fields and {HEAD_BYTES >> 10} KiB")


def _answer(why: _Refusal) -> bytes:
    body = json.dumps({"error": str(why)}).encode()
    head: List[str] = [
        f"HTTP/1.1 {why.status} {HTTPStatus(why.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "content-security-policy: frame-ancestors 'none'",
        "connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
