"""HTTP for downloads: a GET whose every failure is either worth another try (`DownloadCut`) or told to the user.

Only https, also after a redirect. Nothing waits for ever: see `Patience`.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Tuple
from urllib.parse import urlsplit

from ...errors import SourceError

BLOCK = 1 << 16
SLOWEST_BYTES_S = 1024


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


def get(url: str, headers: Dict[str, str], timeout_s: float) -> Any:
    """The response to a GET: 200 or 206, or 416 if a range was asked for. Raises `DownloadCut` or `SourceError`."""
    _check_scheme(url)
    request = urllib.request.Request(url, headers={"User-Agent": "edgecsp", "Accept-Encoding": "identity", **headers})
    try:
        return urllib.request.build_opener(_Redirects).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416 and "Range" in headers:
            return error
        error.close()
        raise _status_error(url, error) from error
    except urllib.error.URLError as error:
        raise _connection_error(url, error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadCut(f"the connection broke ({error})") from error


def extent(response: Any) -> Tuple[Optional[int], Optional[int]]:
    """Offset at which the body begins (None: it is the whole file), and the file's length if the server gives it."""
    if response.code == 200:
        return None, response.length
    content_range = response.headers.get("Content-Range", "")
    piece = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", content_range.strip())
    if not piece:
        return -1, None
    total = None if piece[2] == "*" else int(piece[2])
    if response.code == 416:  # nothing follows what we have: all of it is here, or it is of another file
        return (-1 if total is None else total), total
    return (-1 if piece[1] is None else int(piece[1])), total


def tag(response: Any) -> str:
    """The name of this version of the file: a strong ETag, else its date, else nothing."""
    etag: str = response.headers.get("ETag", "")
    date: str = response.headers.get("Last-Modified", "")
    return etag if etag.startswith('"') else date


def blocks(response: Any, timeout_s: float, length: Optional[int]) -> Iterator[bytes]:
    """Read the body as it comes, at most `length` bytes. Raises `DownloadCut` when it breaks, stalls or trickles."""
    since, came = time.monotonic(), 0
    while length is None or length > 0:
        try:
            block = response.read1(BLOCK if length is None else min(BLOCK, length))
        except (OSError, http.client.HTTPException) as error:
            silent = isinstance(error, (socket.timeout, TimeoutError))
            raise DownloadCut(
                f"nothing came for {timeout_s:g} s" if silent else f"the connection broke ({error})"
            ) from error
        if not block:
            return
        yield block
        length = None if length is None else length - len(block)
        came += len(block)
        passed_s = time.monotonic() - since
        if passed_s >= timeout_s:
            if came < SLOWEST_BYTES_S * passed_s:
                raise DownloadCut(f"only {came:,} bytes came in {passed_s:.0f} s")
            since, came = time.monotonic(), 0


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        fp.close()  # urllib would read the body to its end, which may never come
        _check_scheme(newurl, f", where {req.full_url} leads,")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str, whence: str = "") -> None:
    if urlsplit(url).scheme != "https":
        raise SourceError(f"{url}{whence} is refused: weights come over https alone")


def _status_error(url: str, error: urllib.error.HTTPError) -> Exception:
    detail = "".join(c for c in f"{error.code} {error.reason}"[:80] if c.isprintable()).strip()
    if error.code in (408, 425, 429) or error.code >= 500:
        retry_after = error.headers.get("Retry-After") or ""
        return DownloadCut(
            f"the server answered {detail}", float(retry_after) if re.fullmatch(r"\d{1,6}", retry_after) else 0.0
        )
    if error.code in (404, 410):
        return SourceError(f"there is no file at {url} any more (the server answered {detail})")
    if 300 <= error.code < 400:
        return SourceError(f"cannot download {url}: its redirects lead nowhere (the server answered {error.code})")
    return SourceError(f"cannot download {url}: the server answered {detail}")


def _connection_error(url: str, reason: Any) -> Exception:
    host = urlsplit(url).hostname
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SourceError(
            f"cannot download {url}: the certificate of {host} is not to be trusted ({reason.verify_message}). "
            f"Is this machine's clock right? It says {time.strftime('%Y-%m-%d')}"
        )
    if isinstance(reason, socket.gaierror):
        return Unreachable(f"no host {host} was found (is there a network?)")
    if isinstance(reason, (socket.timeout, TimeoutError)):
        return DownloadCut(f"{host} did not answer in time")
    if isinstance(reason, OSError) and not isinstance(reason, (ssl.SSLError, ConnectionResetError)):
        return Unreachable(f"{host} cannot be reached ({reason.strerror or reason})")
    return DownloadCut(f"no connection with {host} ({reason})")
