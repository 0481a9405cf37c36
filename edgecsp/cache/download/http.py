"""HTTP for downloads: a GET whose every failure is either worth another try (`DownloadCut`) or told to the user.

Only https, also after a redirect. Nothing waits for ever: see `Patience`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from ...errors import SourceError
from ...system.http import RequestFailed, Response, shared_client
from ...system.redaction import redact


@dataclass(frozen=True)
class Patience:
    """The limits of waiting.

    A connection that is silent, or slower than 1 KiB/s, for `timeout_s` is cut. After `tries` attempts that brought
    less than 1 MiB further it is given up; the wait before each doubles, from `backoff_s` to a minute.
    """

    timeout_s: float = 30.0
    tries: int = 5
    backoff_s: float = 1.0


class DownloadCut(Exception):
    """A transfer that ended too early: worth another try from there. `wait_s`: the wait that the server asks for."""

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class Unreachable(DownloadCut):
    """Nobody is there: worth another try only if somebody was, a moment ago."""


def get(url: str, headers: Dict[str, str], timeout_s: float) -> Response:
    """Return the response to a GET: 200 or 206, or 416 if a range was asked for. Raises `DownloadCut`, `SourceError`.

    Raises `RequestFailed` as well: see `describe_failure`.
    """
    response = shared_client().open(url, headers=headers, timeout_s=timeout_s, schemes=("https",))
    if response.status in (200, 206) or (response.status == 416 and "Range" in headers):
        return response
    error = _status_error(url, response)
    response.finish()
    raise error


def describe_failure(url: str, failure: RequestFailed) -> Exception:
    """Convert a failed request to a `DownloadCut` or, where another try is no use, to a `SourceError`."""
    if failure.kind == "address" or (failure.kind == "redirect" and failure.url):
        source = "" if failure.kind == "address" else f", where {quotable(url)} leads,"
        return SourceError(f"{quotable(failure.url)}{source} is refused: weights come over https alone")
    if failure.kind in ("certificate", "redirect"):
        return SourceError(f"cannot download {quotable(url)}: {failure}")
    return (Unreachable if failure.kind in ("host", "unreachable") else DownloadCut)(str(failure))


def quotable(url: str) -> str:
    """Return a URL for a message: without a login, but with its whole path, which names the file."""
    return redact(url, in_path=False)


def extent(response: Response) -> Tuple[Optional[int], Optional[int]]:
    """Offset at which the body begins (None: it is the whole file), and the file's length if the server gives it."""
    if response.status == 200:
        return None, response.length
    content_range = response.headers.get("Content-Range", "")
    piece = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", content_range.strip())
    if not piece:
        return -1, None
    total = None if piece[2] == "*" else int(piece[2])
    if response.status == 416:  # nothing follows what we have: all of it is here, or it is of another file
        return (-1 if total is None else total), total
    return (-1 if piece[1] is None else int(piece[1])), total


def tag(response: Response) -> str:
    """The name of this version of the file: a strong ETag, else its date, else nothing."""
    etag: str = response.headers.get("ETag", "")
    date: str = response.headers.get("Last-Modified", "")
    return etag if etag.startswith('"') else date


def _status_error(url: str, response: Response) -> Exception:
    detail = response.status_text
    if response.status in (408, 425, 429) or response.status >= 500:
        retry_after = response.headers.get("Retry-After") or ""
        return DownloadCut(
            f"the server answered {detail}", float(retry_after) if re.fullmatch(r"\d{1,6}", retry_after) else 0.0
        )
    if response.status in (404, 410):
        return SourceError(f"there is no file at {quotable(url)} any more (the server answered {detail})")
    return SourceError(f"cannot download {quotable(url)}: the server answered {detail}")
