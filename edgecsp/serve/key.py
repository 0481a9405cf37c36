"""Authentication: the server's token, and the cookie that a browser gets for it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Callable, Mapping, Optional

from ..errors import HTTPRequestError

COOKIE = "edgecsp"
COOKIE_BYTES = 16 << 10  # of the Cookie header: a browser sends a host's cookies to all of its ports
FIELD = "api_key"  # form field for programs that cannot send a header


class ApiKey:
    """A server's token and its cookie, from which the token cannot be derived."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.cookie = hmac.new(token.encode(), b"edgecsp page", hashlib.sha256).hexdigest()

    def is_token(self, token: str) -> bool:
        """Whether this is the token; compared in constant time."""
        return _same(token, self._token)

    def is_in(self, headers: Mapping[str, str]) -> bool:
        """Whether a request's headers have the token or cookie. Raises `HTTPRequestError` for a huge Cookie."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(token.strip()):
            return True
        cookies = headers.get("cookie", "")
        if len(cookies) > COOKIE_BYTES:
            raise HTTPRequestError(431, f"the Cookie header has {len(cookies)} bytes; the limit is {COOKIE_BYTES}")
        # Ours is hexadecimal and never quoted. http.cookies unquotes in quadratic time.
        pairs = (pair.partition("=") for pair in cookies.split(";"))
        token = next((value.strip() for name, _, value in pairs if name.strip() == COOKIE), "")
        return _same(token, self.cookie)


class Caller:
    """The client of a request. `known` once it has presented the key, or where none is needed; then calls `admit`."""

    def __init__(self, key: Optional[ApiKey], admit: Callable[[], None] = lambda: None) -> None:
        self._key, self._admit = key, admit
        self.known = key is None

    def admit(self) -> None:
        """Mark the client as authenticated. Raises `HTTPRequestError`."""
        if not self.known:
            self._admit()
            self.known = True

    def field(self, name: str, value: str) -> None:
        """Check a form field, which may be the key. Raises `HTTPRequestError` for a wrong key."""
        if name == FIELD and not self.known:
            if self._key is not None and not self._key.is_token(value):
                raise no_key()
            self.admit()

    def check(self) -> None:
        """Raise `HTTPRequestError` when the client is not authenticated."""
        if not self.known:
            raise no_key()


def no_key() -> HTTPRequestError:
    """Error for a form without the key."""
    return HTTPRequestError(
        401, f"a token is needed: the form's field {FIELD} before its image, or the header  Authorization: Bearer TOKEN"
    )


def _same(value: str, expected: str) -> bool:
    return hmac.compare_digest(value.encode("utf-8", "replace"), expected.encode())
