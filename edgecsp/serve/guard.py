"""Who may ask, and how much: every request passes here before anything reads it.

Without a token the server answers its own machine alone, and then a page from elsewhere in a browser of that machine
must not reach it either: neither by a name that was made to point here (the Host header is looked at) nor by a form or
a script of its own (Origin and Sec-Fetch-Site are). With a token, whoever has it may ask: as a bearer, or in a browser
by the cookie that it is exchanged for. A body is counted as it comes, and the clock runs.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from http.cookies import CookieError, SimpleCookie
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

from ..errors import Refused, UsageError
from . import unexpected
from .body import Body, Limits, Message, Receive, Scope, Send, read, too_large

COOKIE = "edgecsp"
COOKIE_S = 30 * 86400
LEAST_TOKEN = 16
LEAST_SIGNS = 4  # different ones: random hex of 16 characters has fewer once in a billion
ALIVE = ("/v2/health/live", "/v2/health/ready")  # what watches over containers has no token, and learns nothing else
SAFE = ("GET", "HEAD", "OPTIONS")
BY_FIELD = "/v1/vision/"  # whose callers can send a key in a form's field only; see `pictures`
# Scripts and styles are the page's own files, nothing comes from elsewhere, nobody may frame it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
UNFRAMED = (b"content-security-policy", b"frame-ancestors 'none'")  # what is no page may not be framed either
FOR_PAGES = ((b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"same-origin"))

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Whether an address that is listened at is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_token(token: str, where: str) -> str:
    """The token of a file or the environment, without its newline. Raises `UsageError` when it is easily guessed."""
    token = token.strip()
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"the token in {where} has {len(token)} characters; it needs {LEAST_TOKEN} or more, ASCII without spaces: "
            "openssl rand -hex 16"
        )
    if len(set(token)) < LEAST_SIGNS:
        raise UsageError(
            f"the token in {where} is {len(set(token))} different characters again and again, which is easily guessed; "
            "make one: openssl rand -hex 16"
        )
    return token


class Guard:
    """An ASGI application around the server's own."""

    def __init__(self, app: App, *, token: Optional[str], limits: Limits, login: bytes) -> None:
        self._app = app
        self._token = token
        self._limits = limits
        self._login = login  # the page that asks for the token
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        body = Body(self.hold, receive, self._limits)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = _with_ours(message.get("headers", ()))
                if not body.whole:
                    headers.append((b"connection", b"close"))
                await send({**message, "headers": headers})
            elif body.whole or message.get("more_body", False):
                await send(message)
            else:
                # Whoever sends all before reading would never see an answer that closes the connection at once.
                await send({**message, "more_body": True})
                await body.discard()
                await send({"type": "http.response.body", "body": b""})

        try:
            headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
            if await self._admit(scope, headers, body, answer):
                await self._app(scope, body.receive, answer)
        except Refused as error:
            if started:
                raise
            await _say(answer, error.status, {"error": str(error)}, _retry(error))
        except Exception as error:
            reference = unexpected.report("request", error)
            if started:  # half an answer cannot be taken back: the connection is closed
                raise
            await _say(answer, 500, {"error": f"internal error {reference}; search the server's log for it"})
        finally:
            body.close()
            self._held -= body.size

    def hold(self, size: int) -> None:
        """Count bytes of a body that are kept. Raises `Refused`."""
        if self._held + size > self._limits.held_bytes:
            raise Refused(503, "too many large requests at the same time; ask again in a second", 1)
        self._held += size

    # -- who ---------------------------------------------------------------------------------------------------------

    async def _admit(self, scope: Scope, headers: Mapping[str, str], body: Body, answer: Send) -> bool:
        """Whether the request may go on; what is answered otherwise is answered here."""
        method, path = scope["method"], scope["path"]
        size = headers.get("content-length", "0")
        if not size.isdecimal() or len(size) > 18:
            raise Refused(400, f"Content-Length {size[:32]!r} is no number")
        if int(size) > self._limits.body_bytes:
            raise Refused(413, too_large(self._limits))
        body.whole = int(size) == 0 and "transfer-encoding" not in headers
        if self._token is None:
            _check_host(headers.get("host", ""))
        _check_site(method, path, headers)
        if self._token is None or path in ALIVE or path.startswith("/page/"):
            return True
        scope.setdefault("state", {})["token"] = self._token
        if self._is_known(headers) or path.startswith(BY_FIELD):
            scope["state"]["known"] = self._is_known(headers)
            return True
        if path == "/" and method == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if given:
                await self._log_in(given, answer)
                return False
        if path == "/login" and method == "POST":
            said = parse_qs((await read(body.receive)).decode("latin-1"))
            await self._log_in(said.get("token", [""])[0], answer)
            return False
        if method == "GET" and "text/html" in headers.get("accept", ""):
            await _page(answer, 401, self._login)
            return False
        await _say(
            answer, 401,
            {"error": "a token is needed; send the header  Authorization: Bearer TOKEN"},
            ((b"www-authenticate", b'Bearer realm="edgecsp"'),),
        )  # fmt: skip
        return False

    def _is_known(self, headers: Mapping[str, str]) -> bool:
        assert self._token is not None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and same(given.strip(), self._token):
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and same(morsel.value, cookie(self._token))

    async def _log_in(self, given: str, answer: Send) -> None:
        """Exchange a token for the cookie, and have the browser forget the address with the token."""
        assert self._token is not None
        if not same(given, self._token):
            await _page(
                answer, 401, self._login.replace(b"<!--wrong-->", b'<p role="alert">That is not the token.</p>')
            )
            return
        said = f"{COOKIE}={cookie(self._token)}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", said.encode()), (b"content-length", b"0")]
        await answer({"type": "http.response.start", "status": 303, "headers": headers})
        await answer({"type": "http.response.body", "body": b""})


def same(given: str, wanted: str) -> bool:
    """Whether two words are the same, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def cookie(token: str) -> str:
    """What stands for a token in a browser: the token cannot be told from it."""
    return hmac.new(token.encode(), b"edgecsp page", hashlib.sha256).hexdigest()


def _check_host(host: str) -> None:
    """Without a token, only who knows this machine by a name of its own may ask (DNS rebinding)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise Refused(
            403, f"this server knows itself as localhost, not as {host[:100]!r}; under other names it needs a token"
        )


def _check_site(method: str, path: str, headers: Mapping[str, str]) -> None:
    """A page from elsewhere may be a link to ours, and nothing more (CSRF)."""
    visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not visit:
        raise Refused(403, "another site's page may not ask this server")
    origin = headers.get("origin")
    if method not in SAFE and origin is not None and _place(origin) != headers.get("host", "").lower():
        raise Refused(403, f"a page of {origin[:100]} may not ask this server")


def _place(origin: str) -> Optional[str]:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


# -- answers -------------------------------------------------------------------------------------------------------


def _with_ours(headers: Any) -> List[Tuple[bytes, bytes]]:
    said: List[Tuple[bytes, bytes]] = [*headers, *ALWAYS]
    kinds = {key: value for key, value in said if key in (b"content-type", b"cache-control")}
    if b"cache-control" not in kinds:
        said.append((b"cache-control", b"no-store"))
    if kinds.get(b"content-type", b"").startswith(b"text/html"):
        said.extend(FOR_PAGES)
    else:
        said.append(UNFRAMED)
    return said


def _retry(error: Refused) -> Tuple[Tuple[bytes, bytes], ...]:
    return () if error.retry_after_s is None else ((b"retry-after", str(error.retry_after_s).encode()),)


async def _say(answer: Send, status: int, said: Dict[str, Any], headers: Any = ()) -> None:
    await _whole(answer, status, b"application/json", json.dumps(said).encode(), headers)


async def _page(answer: Send, status: int, page: bytes) -> None:
    await _whole(answer, status, b"text/html; charset=utf-8", page, ())


async def _whole(answer: Send, status: int, kind: bytes, body: bytes, headers: Any) -> None:
    said = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await answer({"type": "http.response.start", "status": status, "headers": said})
    await answer({"type": "http.response.body", "body": body})
