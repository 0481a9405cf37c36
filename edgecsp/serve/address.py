"""URLs of sources, brokers and web servers, and their redacted form without credentials."""

from __future__ import annotations

from contextlib import suppress
from typing import Sequence
from urllib.parse import SplitResult, urlsplit

from ..errors import UsageError
from ..system.redaction import redact, redact_text


def redact_source(text: str) -> str:
    """Remove credentials from a source or a text that quotes one: URLs, also within GStreamer pipelines."""
    if "://" in text and not any(sign.isspace() for sign in text) and not text.startswith(("gst:", "csi:")):
        return redact(text)
    return redact_text(text)


def short_name(uri: str) -> str:
    """Default title of a source: a file's name, a URL's host and path, or "camera 0"."""
    if uri.isdigit():
        return f"camera {uri}"
    safe = redact_source(uri)
    if "://" in safe:
        return safe.partition("://")[2].split("?")[0].rstrip("/") or safe
    return safe.rstrip("/").rpartition("/")[2] or safe


def split(url: str, schemes: Sequence[str], what: str, example: str) -> SplitResult:
    """Split a URL that must have one of these schemes and a host. Raises `UsageError` without quoting credentials."""
    port: object = ValueError
    with suppress(ValueError):  # its message may quote the login, so it is not even chained
        parts = urlsplit(url)
        port = parts.port
    if port is ValueError:  # without its @, a login looks like a host and a port: nothing of it is quoted
        raise UsageError(f"the URL of the {what} is invalid (brackets or port); example: {example}")
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(f"{redact_source(url)} is not a valid {what} URL; example: {example}")
    return parts
