"""Sources, brokers and web servers by their URLs, and what of them may be shown: never a login."""

from __future__ import annotations

from contextlib import suppress
from typing import Sequence
from urllib.parse import SplitResult, urlsplit

from ..errors import UsageError
from ..system.redaction import redact, redact_text


def redact_source(text: str) -> str:
    """A source, or any text that may quote one, without logins and keys: URLs, also within GStreamer's pipelines."""
    if "://" in text and not any(sign.isspace() for sign in text) and not text.startswith(("gst:", "csi:")):
        return redact(text)
    return redact_text(text)


def short_name(uri: str) -> str:
    """What to call a source that was given no title: a file's name, a URL's host and path, "camera 0"."""
    if uri.isdigit():
        return f"camera {uri}"
    safe = redact_source(uri)
    if "://" in safe:
        return safe.partition("://")[2].split("?")[0].rstrip("/") or safe
    return safe.rstrip("/").rpartition("/")[2] or safe


def split(url: str, schemes: Sequence[str], what: str, example: str) -> SplitResult:
    """A URL of these schemes with a host -> its parts. Raises `UsageError`, which does not quote the login."""
    port: object = ValueError
    with suppress(ValueError):  # its message may quote the login, so it is not even chained
        parts = urlsplit(url)
        port = parts.port
    if port is ValueError:  # without its @, a login looks like a host and a port: nothing of it is quoted
        raise UsageError(f"what was given for {what} is no URL (its brackets or its port); type {example}")
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(f"{redact_source(url)} is no {what}; type {example}")
    return parts
