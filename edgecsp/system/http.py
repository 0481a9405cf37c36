"""One HTTP/1.1 client for downloads, webhooks and images of web servers. It keeps connections for the next request.

    with Client().open("https://host/x.weights", timeout_s=30) as response:
        data = response.read(limit=1 << 20)

Every failure is a `RequestFailed` whose text is a sentence that quotes neither the URL nor a login. Nothing waits for
ever: a silent or a trickling server is cut. A login never follows a redirect to another server, https never becomes
http, certificates are verified. The proxies are those of the environment (http_proxy, https_proxy, no_proxy).

The standard library and not urllib3 or httpx: their last releases for Python 3.8 get no security fixes any more.
"""

from __future__ import annotations

import functools
import os
import socket
import urllib.request
from contextlib import suppress
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from ._http_connections import (
    ERRORS,
    PORTS,
    Endpoint,
    IdleConnections,
    LentConnection,
    PacedResponse,
    RequestFailed,
    TooSlow,
    basic,
    connect,
    exchange_failure,
    find_proxy,
    proxy_login,
)  # fmt: skip

__all__ = ["Client", "RequestFailed", "Response", "basic", "shared_client"]

BLOCK = 1 << 16
REDIRECTS = 10
IDLE_S = 30.0  # common servers close an idle connection after 5 to 75 s
UNREAD_BYTES, UNREAD_S = 1 << 16, 1.0  # of a body that nobody wants, and of a wait for it
_MOVED = (301, 302, 303, 307, 308)
_OF_ONE_SERVER = ("authorization", "cookie", "proxy-authorization")
_READABLE = "%/:=&?~#+!$,;'@()*[]"

Login = Optional[Tuple[str, str]]


class Response:
    """Status, reason and headers of a response, and its body as it comes. Close it, or use it as a context manager.

    `url` is where the redirects led, `length` the bytes of the body, None when the server does not say. The connection
    is kept when the body was read to its end.
    """

    def __init__(self, raw: PacedResponse, url: str, lent: LentConnection, timeout_s: float) -> None:
        self.status, self.headers, self.url, self.length = raw.status, raw.headers, url, raw.length
        self._raw, self._lent, self._timeout_s = raw, lent, timeout_s
        # Counted here: read1() of http.client on Python 3.8 waits for more at the end of a body.
        self._left = raw.length

    @property
    def status_text(self) -> str:
        """Status and reason on one line: 404 Not Found."""
        return "".join(sign for sign in f"{self.status} {self._raw.reason}"[:80] if sign.isprintable()).strip()

    def peek(self, count: int) -> bytes:
        """Return the next bytes of the body without taking them, at most `count`."""
        try:
            return bytes(self._raw.peek(count)[:count])
        except ERRORS as error:
            raise self._broken(error) from error

    def blocks(self, most: Optional[int] = None) -> Iterator[bytes]:
        """Read the body as it comes, at most `most` bytes; one that is cut ends early. Raises `RequestFailed`."""
        self._raw.pace.begin()
        while self._left != 0 and most != 0:
            try:
                block = self._raw.read1(min(each for each in (BLOCK, self._left, most) if each is not None))
            except ERRORS as error:
                raise self._broken(error) from error
            if not block:
                return
            if self._left is not None:
                self._left -= len(block)
            most = None if most is None else most - len(block)
            yield block

    def read(self, limit: int) -> bytes:
        """Read the whole body. Raises `RequestFailed`, also when it is cut or has more than `limit` bytes."""
        if self.length is not None and self.length > limit:
            raise RequestFailed("size", f"the body has {self.length:,} bytes; the limit is {limit:,}")
        parts: List[bytes] = []
        size = 0
        for block in self.blocks():
            size += len(block)
            if size > limit:
                raise RequestFailed("size", f"the body is larger than the limit of {limit:,} bytes")
            parts.append(block)
        if self._left:
            raise RequestFailed("broken", f"the connection was cut after {size:,} of {self.length:,} bytes")
        return b"".join(parts)

    def finish(self) -> None:
        """Read a short rest of the body that nobody wants if that keeps the connection, then close."""
        if not self._raw.will_close:
            self._lent.connection.sock.settimeout(min(UNREAD_S, self._timeout_s))
            with suppress(RequestFailed):
                self.read(UNREAD_BYTES)
        self.close()

    def close(self) -> None:
        """Keep the connection if the body was read to its end, else close it."""
        is_whole = self._left == 0 or (self._left is None and self._raw.isclosed())
        self._raw.close()
        self._lent.give_back(is_whole and not self._raw.will_close)

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _broken(self, error: Exception) -> RequestFailed:
        if isinstance(error, TooSlow):
            return RequestFailed("timeout", str(error))
        if isinstance(error, (socket.timeout, TimeoutError)):
            return RequestFailed("timeout", f"nothing came for {self._timeout_s:g} s")
        return RequestFailed("broken", f"the connection broke ({error})")


class _Request(NamedTuple):
    """What is sent to one server; a redirect is another."""

    method: str
    target: SplitResult
    headers: Mapping[str, str]
    body: Optional[bytes]
    timeout_s: float
    is_repeatable: bool


class Client:
    """Sends requests from any thread; idle connections are kept for `idle_s` seconds. `close` closes those.

    `proxies`: go through the proxies of the environment, as for downloads; False for what is near, as a webhook is.
    """

    def __init__(self, *, proxies: bool = True, idle_s: float = IDLE_S) -> None:
        self._proxies = proxies
        self._idle = IdleConnections(idle_s)

    def open(
        self,
        url: str,
        method: str = "GET",
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[bytes] = None,
        *,
        timeout_s: float,
        schemes: Sequence[str] = ("https", "http"),
        redirects: int = REDIRECTS,
        repeatable: bool = False,
    ) -> Response:
        """Send a request and return the response, whatever its status. Raises `RequestFailed`.

        `timeout_s` bounds each wait. A login in the URL answers a challenge (Basic or Digest). Redirects of a GET are
        followed, at most `redirects`. A kept connection that the server has closed meanwhile is replaced, if sending
        twice does no harm: for a GET, and for a request that is `repeatable`.
        """
        target, login = _parse(url, schemes, "address")
        sent, authorization, followed = {"User-Agent": "edgecsp", **(headers or {})}, "", 0
        while True:
            fields = {**sent, **({"Authorization": authorization} if authorization else {})}
            response = self._send(_Request(method, target, fields, body, timeout_s, repeatable or method == "GET"))
            if response.status == 401 and login and not authorization:
                authorization = _answer_challenge(login, response, method)
                if authorization:
                    response.finish()
                    continue
            location = response.headers.get("Location")
            if response.status not in _MOVED or not location or method != "GET" or not redirects:
                return response
            response.finish()
            followed += 1
            if followed > redirects:
                raise RequestFailed("redirect", f"its redirects lead nowhere (more than {redirects})")
            came_from, authorization = target, ""
            allowed = [each for each in schemes if target.scheme == "http" or each == "https"]
            target, _ = _parse(location, allowed, "redirect", came_from.geturl())
            if _origin(target) != _origin(came_from):
                login = None
                sent = {name: value for name, value in sent.items() if name.lower() not in _OF_ONE_SERVER}

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.close()

    def _send(self, request: _Request) -> Response:
        endpoint = Endpoint(
            *_origin(request.target), find_proxy(request.target) if self._proxies else None, os.getpid()
        )
        connection = self._idle.take(endpoint)
        if connection is not None:
            connection.sock.settimeout(request.timeout_s)
            try:
                return _exchange(request, LentConnection(self._idle, endpoint, connection))
            except RequestFailed as failure:
                if failure.kind != "broken" or not request.is_repeatable:
                    raise
        return _exchange(request, LentConnection(self._idle, endpoint, connect(endpoint, request.timeout_s)))


def _exchange(request: _Request, lent: LentConnection) -> Response:
    target, headers = request.target, request.headers
    path = f"{target.path}?{target.query}" if target.query else target.path
    if lent.endpoint.is_plain_proxy:
        path, headers = target.geturl(), {**headers, **proxy_login(lent.endpoint.proxy)}
    raw = None
    try:
        lent.connection.request(request.method, path, request.body, dict(headers))
        raw = lent.connection.getresponse()
    except ERRORS as error:
        raise exchange_failure(lent.endpoint, error, request.timeout_s) from error
    finally:
        if raw is None:
            lent.give_back(False)
    return Response(raw, target.geturl(), lent, request.timeout_s)


@functools.lru_cache(maxsize=None)
def shared_client() -> Client:
    """Return the client of this process for downloads and images."""
    return Client()


# -- addresses and logins -----------------------------------------------------------------------------------------


def _parse(url: str, schemes: Sequence[str], kind: str, base: str = "") -> Tuple[SplitResult, Login]:
    """Split a URL into what is sent, without its login, and the login."""
    try:
        url = urljoin(base, url)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:  # its message may quote the login
        raise RequestFailed(kind, "the URL is invalid (brackets, port or characters of the host)", url) from None
    if parts.scheme not in schemes or not host or any(sign <= " " for sign in host):
        raise RequestFailed(kind, f"only URLs of {' and '.join(schemes)} with a host are allowed", url)
    netloc = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    sent = SplitResult(
        parts.scheme, netloc, quote(parts.path, safe=_READABLE) or "/", quote(parts.query, safe=_READABLE), ""
    )
    login = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return sent, login


def _origin(target: SplitResult) -> Tuple[str, str, int]:
    return target.scheme, str(target.hostname), target.port or PORTS[target.scheme]


def _answer_challenge(login: Tuple[str, str], response: Response, method: str) -> str:
    """Value of the header Authorization that answers a 401; "" when it asks for neither Digest nor Basic."""
    challenges = {
        scheme.lower(): words
        for scheme, _, words in (each.partition(" ") for each in response.headers.get_all("WWW-Authenticate", []))
    }
    if "digest" in challenges:
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, response.url, *login)
        # An algorithm that it does not know, or a challenge that is none: Basic may be left.
        with suppress(ValueError, IndexError, OSError):
            pairs = urllib.request.parse_keqv_list(urllib.request.parse_http_list(challenges["digest"]))
            digest: Any = urllib.request.HTTPDigestAuthHandler(known)
            answer = digest.get_authorization(urllib.request.Request(response.url, method=method), pairs)
            if answer:
                return f"Digest {answer}"
    return basic(*login) if "basic" in challenges else ""
