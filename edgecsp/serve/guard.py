"""Authentication, origin checks and body limits: every request passes here before anything reads it.

Without a token the server answers only its own machine, and must not be reached by a foreign page in a browser of that
machine either: not by DNS rebinding (the Host header is checked), nor by a form or script of that page (Origin and
Sec-Fetch-Site are). With a token, clients that present it are answered: as a bearer token, or in a browser by the
cookie that it is exchanged for. A body is counted and timed while it arrives.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

from ..errors import HTTPRequestError, UsageError
from . import unexpected
from .body import DISCARDED_UNASKED, MOST_DISCARDED, Body, Limits, Message, Receive, Scope, Send, read, too_large
from .budget import Budget, network
from .key import COOKIE, ApiKey, Caller, no_key

COOKIE_S = 30 * 86400
LEAST_TOKEN = 16
LEAST_SIGNS = 4  # different characters: random hex of 16 characters has fewer once in a billion
ALIVE = ("/v2/health/live", "/v2/health/ready")  # health checks of containers have no token
LOGIN_BYTES = 4096  # of the login form or query: a token and what a browser adds
LOGIN_FIELDS = 16
SAFE = ("GET", "HEAD", "OPTIONS")
BY_FIELD = "/v1/vision/"  # its clients can send a key only in a form field; see `detect`
# Only the page's own scripts and styles, nothing from other servers, no framing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
UNFRAMED = (b"content-security-policy", b"frame-ancestors 'none'")  # nor may responses that are not pages
FOR_PAGES = ((b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"same-origin"))

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Whether a listening address is reachable from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_token(token: str, where: str) -> str:
    """Return a token stripped of its newline. Raises `UsageError` when it is easy to guess."""
    token = token.strip()
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"the token in {where} has {len(token)} characters; it needs at least {LEAST_TOKEN}, ASCII without spaces; "
            "create one: openssl rand -hex 16"
        )
    if len(set(token)) < LEAST_SIGNS:
        raise UsageError(
            f"the token in {where} has only {len(set(token))} different characters and is easy to guess; "
            "create one: openssl rand -hex 16"
        )
    return token


class Guard:
    """ASGI middleware around the server's application."""

    def __init__(self, app: App, *, token: Optional[str], limits: Limits, login: bytes) -> None:
        self._app = app
        self._key = None if token is None else ApiKey(token)
        self._limits = limits
        self._login = login  # the login page
        self._bodies = Budget(limits.held_bytes, _too_many)
        self._unknown_bodies = Budget(
            limits.unknown_bytes, no_key, share=limits.unknown_bytes_of_address, free=limits.unknown_free
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        if self._key is None:
            body, caller = Body(self._bodies, "", receive, self._limits), Caller(None)
        else:
            address = network((scope.get("client") or ("",))[0])
            body = Body(self._unknown_bodies, address, receive, self._limits)
            caller = Caller(self._key, lambda: self._welcome(scope, body))
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = _with_ours(message.get("headers", ()))
                if not body.complete:
                    headers.append((b"connection", b"close"))
                await send({**message, "headers": headers})
            elif body.complete or message.get("more_body", False):
                await send(message)
            else:
                # A client that sends before it reads would miss a response that closes the connection at once.
                await send({**message, "more_body": True})
                await body.discard(MOST_DISCARDED if caller.known else DISCARDED_UNASKED)
                await send({"type": "http.response.body", "body": b""})

        try:
            headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
            if self._key is not None and self._key.is_in(headers):
                caller.admit()
            if await self._admit(scope, headers, caller, body, answer):
                await self._app(scope, body.receive, answer)
        except HTTPRequestError as error:
            if started:
                raise
            await _respond_json(answer, error.status, {"error": str(error)}, _retry(error))
        except Exception as error:
            reference = unexpected.report("request", error)
            if started:  # the response has begun: close the connection
                raise
            await _respond_json(answer, 500, {"error": f"internal error {reference}; see the server's log"})
        finally:
            body.close()

    def _welcome(self, scope: Scope, body: Body) -> None:
        """Move an authenticated client to the larger budgets: its body here, its connection in `_http_protocol`."""
        body.move(self._bodies)
        scope.get("state", {}).get("admit", _nobody)()

    # -- authentication ----------------------------------------------------------------------------------------------

    async def _admit(self, scope: Scope, headers: Mapping[str, str], caller: Caller, body: Body, answer: Send) -> bool:
        """Whether the request may proceed; if not, the response is sent here."""
        method, path = scope["method"], scope["path"]
        size = headers.get("content-length", "0")
        if not size.isdecimal() or len(size) > 18:
            raise HTTPRequestError(400, f"Content-Length {size[:32]!r} is not a number")
        if int(size) > self._limits.body_bytes:
            raise HTTPRequestError(413, too_large(self._limits))
        body.complete = int(size) == 0 and "transfer-encoding" not in headers
        if self._key is None:
            _check_host(headers.get("host", ""))
        _check_site(method, path, headers)
        scope.setdefault("state", {})["caller"] = caller
        if self._key is None or path in ALIVE or path.startswith("/page/"):
            return True
        if caller.known or path.startswith(BY_FIELD):
            return True
        if path == "/" and method == "GET":
            token = _token_in(scope["query_string"])
            if token:
                await self._log_in(self._key, token, answer)
                return False
        if path == "/login" and method == "POST":
            await self._log_in(self._key, _token_in(await read(body.receive, LOGIN_BYTES)), answer)
            return False
        if method == "GET" and "text/html" in headers.get("accept", ""):
            await _respond_html(answer, 401, self._login)
            return False
        await _respond_json(
            answer, 401,
            {"error": "a token is needed; send the header  Authorization: Bearer TOKEN"},
            ((b"www-authenticate", b'Bearer realm="edgecsp"'),),
        )  # fmt: skip
        return False

    async def _log_in(self, key: ApiKey, token: str, answer: Send) -> None:
        """Exchange a token for the cookie and redirect, so that the token leaves the address bar."""
        if not key.is_token(token):
            await _respond_html(
                answer, 401, self._login.replace(b"<!--wrong-->", b'<p role="alert">Invalid token.</p>')
            )
            return
        cookie = f"{COOKIE}={key.cookie}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        await answer({"type": "http.response.start", "status": 303, "headers": headers})
        await answer({"type": "http.response.body", "body": b""})


def _nobody() -> None:
    """Do nothing: connections are not counted."""


def _too_many() -> HTTPRequestError:
    return HTTPRequestError(503, "too many large requests at the same time; try again in a second", 1)


def _token_in(form: bytes) -> str:
    """Return the field `token` of a form or query. Raises `HTTPRequestError`."""
    if len(form) > LOGIN_BYTES:
        raise HTTPRequestError(413, f"the login has {len(form)} bytes; the limit is {LOGIN_BYTES}")
    try:
        return parse_qs(form.decode("latin-1"), max_num_fields=LOGIN_FIELDS).get("token", [""])[0]
    except ValueError as error:
        raise HTTPRequestError(400, f"the login has more than {LOGIN_FIELDS} fields; it needs one: token") from error


def _check_host(host: str) -> None:
    """Refuse names that are not this machine's own, for servers without a token (DNS rebinding)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise HTTPRequestError(
            403, f"this server answers only as localhost, not as {host[:100]!r}; other names need a token"
        )


def _check_site(method: str, path: str, headers: Mapping[str, str]) -> None:
    """Refuse requests that a foreign page makes, except following a link (CSRF)."""
    visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not visit:
        raise HTTPRequestError(403, "requests from other sites' pages are refused")
    origin = headers.get("origin")
    if method not in SAFE and origin is not None and _place(origin) != headers.get("host", "").lower():
        raise HTTPRequestError(403, f"requests from pages of {origin[:100]} are refused")


def _place(origin: str) -> Optional[str]:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


# -- responses -----------------------------------------------------------------------------------------------------


def _with_ours(headers: Any) -> List[Tuple[bytes, bytes]]:
    fields: List[Tuple[bytes, bytes]] = [*headers, *ALWAYS]
    kinds = {key: value for key, value in fields if key in (b"content-type", b"cache-control")}
    if b"cache-control" not in kinds:
        fields.append((b"cache-control", b"no-store"))
    if kinds.get(b"content-type", b"").startswith(b"text/html"):
        fields.extend(FOR_PAGES)
    else:
        fields.append(UNFRAMED)
    return fields


def _retry(error: HTTPRequestError) -> Tuple[Tuple[bytes, bytes], ...]:
    return () if error.retry_after_s is None else ((b"retry-after", str(error.retry_after_s).encode()),)


async def _respond_json(answer: Send, status: int, body: Dict[str, Any], headers: Any = ()) -> None:
    await _respond(answer, status, b"application/json", json.dumps(body).encode(), headers)


async def _respond_html(answer: Send, status: int, page: bytes) -> None:
    await _respond(answer, status, b"text/html; charset=utf-8", page, ())


async def _respond(answer: Send, status: int, kind: bytes, body: bytes, headers: Any) -> None:
    fields = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await answer({"type": "http.response.start", "status": status, "headers": fields})
    await answer({"type": "http.response.body", "body": body})
