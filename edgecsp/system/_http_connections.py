"""Connections of the HTTP client: opened directly or by a proxy, kept while they are idle, with their failures."""

from __future__ import annotations

import base64
import functools
import http.client
import io
import os
import selectors
import socket
import ssl
import threading
import time
import urllib.request
from contextlib import suppress
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit

IDLE_OF_SERVER, MOST_IDLE = 4, 16
ERRORS = (OSError, http.client.HTTPException, ValueError)  # ValueError: a header that HTTP cannot carry
SLOWEST_BYTES_S = 1024
PORTS = {"http": 80, "https": 443}


class RequestFailed(Exception):
    """A request without a complete response. The text says why, without URL and login.

    `kind`: "address" (not a URL, or a scheme that is not allowed), "redirect" (to such a one, or too many of them),
    "host" (no such name), "unreachable", "certificate", "timeout", "broken" (cut, or not HTTP), "size" (too large a
    body). `url` is the address that was refused.
    """

    def __init__(self, kind: str, text: str, url: str = "") -> None:
        super().__init__(text)
        self.kind, self.url = kind, url


class Endpoint(NamedTuple):
    """The far end of a connection. `process`: a child must not write into the connections of its parent."""

    scheme: str
    host: str
    port: int
    proxy: Optional[SplitResult]
    process: int

    @property
    def label(self) -> str:
        return self.host if self.proxy is None else f"{self.host} by the proxy {self.proxy.hostname}"

    @property
    def is_plain_proxy(self) -> bool:
        return self.proxy is not None and self.scheme == "http"


class TooSlow(socket.timeout):
    """Bytes that come, but fewer than `SLOWEST_BYTES_S`."""


class _Paced(io.RawIOBase):
    """The bytes of a connection, cut when they trickle: in the head, in the body or in what frames it."""

    def __init__(self, raw: Any, timeout_s: float) -> None:
        self._raw, self._timeout_s = raw, timeout_s
        self.begin()

    def begin(self) -> None:
        """Count from the next byte on."""
        self._since: Optional[float] = None
        self._came = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._raw.readinto(buffer) or 0)
        now = time.monotonic()
        self._since, self._came = now if self._since is None else self._since, self._came + count
        passed_s = now - self._since
        if count and passed_s >= self._timeout_s:
            if self._came < SLOWEST_BYTES_S * passed_s:
                raise TooSlow(f"only {self._came:,} bytes came in {passed_s:.0f} s")
            self.begin()
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class PacedResponse(http.client.HTTPResponse):
    """A response of http.client that is cut when it trickles."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        buffered: Any = self.fp
        self.pace = _Paced(buffered.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self.pace)


class IdleConnections:
    """Open connections without a request, a few for each server."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._entries: List[Tuple[Endpoint, Any, float]] = []  # the oldest first
        self._closed = False

    def take(self, endpoint: Endpoint) -> Any:
        """Return the newest connection to a server that looks alive, or None."""
        while True:
            with self._lock:
                at = next((at for at in reversed(range(len(self._entries))) if self._entries[at][0] == endpoint), None)
                if at is None:
                    return None
                _, connection, since = self._entries.pop(at)
            # Nothing is to come: what can be read is the end of the connection.
            if time.monotonic() - since < self._idle_s and not _is_readable(connection.sock):
                return connection
            connection.close()

    def put(self, endpoint: Endpoint, connection: Any) -> None:
        with self._lock:
            self._entries.append((endpoint, connection, time.monotonic()))
            of_server = [entry for entry in self._entries if entry[0] == endpoint]
            surplus = self._entries if self._closed else of_server[:-IDLE_OF_SERVER] or self._entries[:-MOST_IDLE]
            self._entries = [entry for entry in self._entries if entry not in surplus]
        for _, old, _ in surplus:
            old.close()

    def close(self) -> None:
        with self._lock:
            entries, self._entries, self._closed = self._entries, [], True
        for _, connection, _ in entries:
            connection.close()


class LentConnection:
    """A connection in use."""

    def __init__(self, idle: IdleConnections, endpoint: Endpoint, connection: Any) -> None:
        self._idle, self.endpoint, self.connection = idle, endpoint, connection

    def give_back(self, keep: bool) -> None:
        connection, self.connection = self.connection, None
        if connection is not None and keep:
            self._idle.put(self.endpoint, connection)
        elif connection is not None:
            connection.close()


def _is_readable(sock: Any) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def connect(endpoint: Endpoint, timeout_s: float) -> Any:
    host, port, proxy = endpoint.host, endpoint.port, endpoint.proxy
    try:
        if proxy is not None:
            host, port = str(proxy.hostname), proxy.port or 80
        if endpoint.scheme == "https":
            context = _tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
            connection: Any = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
            if proxy is not None:
                connection.set_tunnel(endpoint.host, endpoint.port, proxy_login(proxy))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        connection.response_class = PacedResponse
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
    except ERRORS as error:
        raise _connect_failure(endpoint, error, timeout_s) from error
    return connection


@functools.lru_cache(maxsize=4)
def _tls_context(file: Optional[str], folder: Optional[str]) -> ssl.SSLContext:
    """Build the context once: it reads a hundred certificates (those that OpenSSL's variables name)."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def find_proxy(target: SplitResult) -> Optional[SplitResult]:
    proxy = urllib.request.getproxies().get(target.scheme)
    if not proxy or urllib.request.proxy_bypass(target.netloc):
        return None
    with suppress(ValueError):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.hostname and parts.port != 0:
            return parts
    raise RequestFailed("unreachable", f"the environment variable {target.scheme}_proxy is not a valid URL")


def basic(user: str, password: str) -> str:
    """Value of the header Authorization for a user and a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def proxy_login(proxy: Optional[SplitResult]) -> Mapping[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    return {"Proxy-Authorization": basic(unquote(proxy.username), unquote(proxy.password or ""))}


def _connect_failure(endpoint: Endpoint, error: Exception, timeout_s: float) -> RequestFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return RequestFailed(
            "certificate",
            f"the certificate of {endpoint.host} is not to be trusted ({error.verify_message}). "
            f"Is this machine's clock right? It says {time.strftime('%Y-%m-%d')}",
        )
    if isinstance(error, socket.gaierror):
        return RequestFailed("host", f"no host {endpoint.label} was found (is there a network?)")
    is_cut = isinstance(error, (ssl.SSLError, ConnectionResetError, socket.timeout, TimeoutError))
    if isinstance(error, OSError) and not is_cut:
        return RequestFailed("unreachable", f"{endpoint.label} cannot be reached ({error.strerror or error})")
    return exchange_failure(endpoint, error, timeout_s, f"no connection with {endpoint.label}")


def exchange_failure(
    endpoint: Endpoint, error: Exception, timeout_s: float, words: str = "the connection broke"
) -> RequestFailed:
    if isinstance(error, TooSlow):
        return RequestFailed("timeout", f"{endpoint.label} is too slow: {error}")
    if isinstance(error, (socket.timeout, TimeoutError)):
        return RequestFailed("timeout", f"{endpoint.label} did not answer in time: no response for {timeout_s:g} s")
    return RequestFailed("broken", f"{words} ({error or type(error).__name__})")
