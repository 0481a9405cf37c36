"""uvicorn's HTTP protocol with timeouts for idle connections and bounds on the size of a request's header.

uvicorn waits without a limit for the first request of a connection and for the rest of a header. Clients that open
connections and send nothing would take every file descriptor of the process. The parser (llhttp, as in Node.js) does
not bound headers, trailers or pipelined requests; this protocol does.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, List, Optional, Type

from ._unknown_callers import Crowd
from .body import Limits
from .budget import network

HEAD_BYTES = 64 << 10  # of a request line with its fields, and of the framing of a chunked body
FIELDS = 100
PIPELINED = 16  # requests waiting for the response to an earlier one on their connection
PIECE = 256 << 10
PIECE_UNKNOWN = 16 << 10  # read size of an unauthenticated connection
AHEAD = 64 << 10  # bytes of a body buffered before they are read


class _Refusal(Exception):
    """Raised in the parser's callbacks for a request that is refused."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Joined:
    """Transport that sends a response's header together with the first part of its body, in one system call.

    If no body follows soon (events), the header is sent in the next iteration of the loop.
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
    """Content length of a response that ends with its connection; uvicorn's countdown never reaches zero."""

    def __lt__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __sub__(self, other: object) -> _Unbounded:
        return self

    __hash__ = int.__hash__


def protocol(limits: Limits, *, needs_key: bool) -> Type[asyncio.Protocol]:
    """Return a uvicorn protocol class that enforces `limits` over all its connections together.

    If a key is needed, a connection counts as unauthenticated until one of its requests has presented the key. The
    guard then calls `scope["state"]["admit"]`.
    """
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    idle = Crowd(limits.idle)
    unknown = Crowd(limits.unknown, limits.unknown_of_address)
    # Shared by all connections: its content is parsed before the next connection is read.
    buffer = memoryview(bytearray(PIECE))

    class Bounded(HttpToolsProtocol, asyncio.BufferedProtocol):
        _late: Optional[asyncio.TimerHandle] = None
        _known = not needs_key
        _beside = 0  # bytes since the last request ended that are not body
        _in_body = False

        # -- reading ----------------------------------------------------------------------------------------------

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
                self.flow.pause_reading()  # until it is consumed
            if self._asks():
                self._wake()

        def _feed(self, data: Any) -> None:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The parser stops at a request to upgrade the protocol and leaves its body. No upgrade is supported:
                # the request is answered as any other (RFC 9110, 7.8), after parsing it again without Upgrade.
                self._feed(self._without_upgrade())
                self._feed(data[upgrade.args[0] :])

        def _without_upgrade(self) -> bytes:
            version = self.parser.get_http_version().encode()
            fields = (b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
            return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(fields))

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_body = False

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._in_body:
                return  # trailers (RFC 9110, 6.5.1) are ignored
            super().on_header(name, value)
            if len(self.headers) > FIELDS:
                raise _too_long()

        def on_headers_complete(self) -> None:
            self._in_body = True
            if self.parser.get_method() == b"CONNECT":
                raise _Refusal(400, "this server is not a proxy")
            if self.parser.should_upgrade():
                return
            if self.parser.get_http_version() != "1.0" and sum(name == b"host" for name, _ in self.headers) != 1:
                raise _Refusal(400, "an HTTP/1.1 request needs exactly one Host header")  # RFC 9112, 3.2
            if len(self.pipeline) >= PIPELINED:
                raise _Refusal(400, f"more than {PIPELINED} pipelined requests")
            super().on_headers_complete()
            cycle: Any = self.cycle
            cycle.transport = _Joined(self.transport, self.loop)
            if not self._known:
                cycle.scope["state"]["admit"] = self._admit
            if self.parser.get_http_version() == "1.0":
                # HTTP/1.0 has no chunks and no 100 Continue (RFC 9112, 6.1 and RFC 9110, 10.1.1): a response of unknown
                # length ends with its connection.
                cycle.chunked_encoding, cycle.expected_content_length = False, _Unbounded()
                cycle.waiting_for_100_continue = False

        def on_body(self, body: bytes) -> None:
            # Chunks of one byte have five bytes of framing each; real clients do not send them.
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
            """Close the connection, with an error response unless another response has started."""
            if not self.transport.is_closing():
                if not (self._asks() and (self.cycle.response_started or self.pipeline)):
                    self.transport.write(_answer(why))
                self.transport.close()

        # -- idle connections----------------------------------------------------------------------------------------

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if not self._known:
                unknown.add(self, self._turn_out, network(self.client[0] if self.client else ""))
            self._rest()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._asks():  # else the next pipelined request has begun
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
                self._refuse(_Refusal(429, "too many connections without a valid token; the oldest was closed"))
            if not self.transport.is_closing() or self.transport.get_write_buffer_size():
                self.transport.abort()  # the client does not read; closing would wait for it

        def _wake(self) -> None:
            idle.remove(self)
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Bounded


def _no_request(error: Exception) -> _Refusal:
    return _Refusal(400, f"invalid HTTP/1.1 request: {str(error)[:100]}")


def _too_long() -> _Refusal:
    return _Refusal(431, f"the request header exceeds {FIELDS} fields or {HEAD_BYTES >> 10} KiB")


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
