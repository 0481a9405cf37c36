"""Who may ask, and how much: every request passes here before anything reads it.

Without a token the server answers its own machine alone, and then a page from elsewhere in a browser of that machine
must not reach it either: neither by a name that was made to point here (the Host header is looked at) nor by a form or
a script of its own (Origin and Sec-Fetch-Site are). With a token, whoever has it may ask: as a bearer, or in a browser
by the cookie that it is exchanged for. A body is counted as it comes, and the clock runs.
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
LEAST_SIGNS = 4  # different ones: random hex of 16 characters has fewer once in a billion
ALIVE = ("/v2/health/live", "/v2/health/ready")  # what watches over containers has no token, and learns nothing else
LOGIN_BYTES = 4096  # of the login's form or query: a token, and what a browser adds
LOGIN_FIELDS = 16
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
        self._key = None if token is None else ApiKey(token)
        self._limits = limits
        self._login = login  # the page that asks for the token
        self._bodies = Budget(limits.held_bytes, _too_many)
        self._unknown_bodies = Budget(
            limits.unknown_bytes, no_key, share=limits.unknown_bytes_of_address, free=limits.unknown_free
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
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
                # Whoever sends all before reading would never see an answer that closes the connection at once.
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
            if started:  # half an answer cannot be taken back: the connection is closed
                raise
            await _respond_json(answer, 500, {"error": f"internal error {reference}; search the server's log for it"})
        finally:
            body.close()

    def _welcome(self, scope: Scope, body: Body) -> None:
        """Count a caller that has shown the key among those who have it: its body here, its connection in `_wire`."""
        body.move(self._bodies)
        scope.get("state", {}).get("admit", _nobody)()

    # -- who ---------------------------------------------------------------------------------------------------------

    async def _admit(self, scope: Scope, headers: Mapping[str, str], caller: Caller, body: Body, answer: Send) -> bool:
        """Whether the request may go on; what is answered otherwise is answered here."""
        method, path = scope["method"], scope["path"]
        size = headers.get("content-length", "0")
        if not size.isdecimal() or len(size) > 18:
            raise HTTPRequestError(400, f"Content-Length {size[:32]!r} is no number")
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
        """Exchange a token for the cookie, and have the browser forget the address with the token."""
        if not key.is_token(token):
            await _respond_html(
                answer, 401, self._login.replace(b"<!--wrong-->", b'<p role="alert">That is not the token.</p>')
            )
            return
        cookie = f"{COOKIE}={key.cookie}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        await answer({"type": "http.response.start", "status": 303, "headers": headers})
        await answer({"type": "http.response.body", "body": b""})


def _nobody() -> None:
    """Where no connection counts."""


def _too_many() -> HTTPRequestError:
    return HTTPRequestError(503, "too many large requests at the same time; ask again in a second", 1)


def _token_in(form: bytes) -> str:
    """The field `token` of a form or a query. Raises `HTTPRequestError`."""
    if len(form) > LOGIN_BYTES:
        raise HTTPRequestError(413, f"the login has {len(form)} bytes; {LOGIN_BYTES} are taken")
    try:
        return parse_qs(form.decode("latin-1"), max_num_fields=LOGIN_FIELDS).get("token", [""])[0]
    except ValueError as error:
        raise HTTPRequestError(400, f"the login has more than {LOGIN_FIELDS} fields; it needs one: token") from error


def _check_host(host: str) -> None:
    """Without a token, only who knows this machine by a name of its own may ask (DNS rebinding)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise HTTPRequestError(
            403, f"this server knows itself as localhost, not as {host[:100]!r}; under other names it needs a token"
        )


def _check_site(method: str, path: str, headers: Mapping[str, str]) -> None:
    """A page from elsewhere may be a link to ours, and nothing more (CSRF)."""
    visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not visit:
        raise HTTPRequestError(403, "another site's page may not ask this server")
    origin = headers.get("origin")
    if method not in SAFE and origin is not None and _place(origin) != headers.get("host", "").lower():
        raise HTTPRequestError(403, f"a page of {origin[:100]} may not ask this server")


def _place(origin: str) -> Optional[str]:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


# -- answers -------------------------------------------------------------------------------------------------------


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
