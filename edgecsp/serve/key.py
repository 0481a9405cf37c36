"""What opens the server: its token, or the cookie that a browser has been given for it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Callable, Mapping, Optional

from ..errors import HTTPRequestError

COOKIE = "edgecsp"
COOKIE_BYTES = 16 << 10  # of the header: a browser sends a host's cookies to all of its ports
FIELD = "api_key"  # of the forms of those programs that can send a key in no other way


class ApiKey:
    """A server's token, and the cookie for it: the token cannot be told from that."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.cookie = hmac.new(token.encode(), b"edgecsp page", hashlib.sha256).hexdigest()

    def is_token(self, token: str) -> bool:
        """Whether this is the token, in a time that does not tell how near it is."""
        return _same(token, self._token)

    def is_in(self, headers: Mapping[str, str]) -> bool:
        """Whether a request's headers show it. Raises `HTTPRequestError` for cookies that are too many to be read."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(token.strip()):
            return True
        cookies = headers.get("cookie", "")
        if len(cookies) > COOKIE_BYTES:
            raise HTTPRequestError(431, f"the Cookie header has {len(cookies)} bytes; {COOKIE_BYTES} are read")
        # Ours is hexadecimal and never quoted. http.cookies unquotes in quadratic time.
        pairs = (pair.partition("=") for pair in cookies.split(";"))
        token = next((value.strip() for name, _, value in pairs if name.strip() == COOKIE), "")
        return _same(token, self.cookie)


class Caller:
    """Who sends a request. `known` once it has shown the key, or where none is needed; then `admit` is called."""

    def __init__(self, key: Optional[ApiKey], admit: Callable[[], None] = lambda: None) -> None:
        self._key, self._admit = key, admit
        self.known = key is None

    def admit(self) -> None:
        """Let it share what all share that have the key. Raises `HTTPRequestError`."""
        if not self.known:
            self._admit()
            self.known = True

    def field(self, name: str, value: str) -> None:
        """Look at a form's field: it may be the key. Raises `HTTPRequestError` when it should be and is not."""
        if name == FIELD and not self.known:
            if self._key is not None and not self._key.is_token(value):
                raise no_key()
            self.admit()

    def check(self) -> None:
        """Raise `HTTPRequestError` when it is not known."""
        if not self.known:
            raise no_key()


def no_key() -> HTTPRequestError:
    """What is answered to a form without the key."""
    return HTTPRequestError(
        401, f"a token is needed: the form's field {FIELD} before its image, or the header  Authorization: Bearer TOKEN"
    )


def _same(token: str, wanted: str) -> bool:
    return hmac.compare_digest(token.encode("utf-8", "replace"), wanted.encode())
