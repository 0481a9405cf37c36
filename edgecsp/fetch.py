"""Downloads over https that are whole and right, or not there at all.

    fetch.download("https://host/x.weights", Path("x.weights"), digest=("sha256", "dcce06..."), size=35_434_956)

What has arrived waits in `x.weights.part`; it survives a cut connection, Ctrl-C and a board that was switched
off, and the next call goes on from there (Range, If-Range). The file gets its name when its length and its
digest are right. Nothing waits for ever: see `Transport`.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Tuple
from urllib.parse import urlsplit

from . import drive
from .errors import IntegrityError, OutputError, SourceError

MAX_BYTES = 2 << 30
BLOCK = 1 << 16
SLOWEST_BYTES_S = 1024
ENOUGH_TO_TRY_ON = 1 << 20


@dataclass(frozen=True)
class Transport:
    """How patient to be, and whom to trust.

    A connection that is silent, or slower than 1 KiB/s, for `timeout_s` is cut; after `tries` attempts in a row that
    brought less than 1 MiB it is given up. Before each the wait doubles, from `backoff_s` to a minute. Only
    the hosts in `plain_hosts` (for tests) may be spoken to without TLS.
    """

    timeout_s: float = 30.0
    tries: int = 5
    backoff_s: float = 1.0
    plain_hosts: Tuple[str, ...] = ()
    tls: Optional[ssl.SSLContext] = None


def download(
    url: str,
    target: Path,
    *,
    digest: Optional[Tuple[str, str]] = None,
    size: Optional[int] = None,
    limit: int = MAX_BYTES,
    by: Optional[Transport] = None,
    progress: Callable[[int, Optional[int]], None] = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Bring what is at an https `url` to `target`.

    `digest` is (algorithm, hex) and `size` the bytes it must have; it never grows beyond `limit`. `progress` is
    told the bytes that are here and those there will be (None: the server does not say), `note` why it tries again.
    Raises `SourceError` (it cannot be had), `IntegrityError` (it is something else; nothing is kept) or `OutputError`.
    """
    job = _Download(url, target, digest, size, limit if size is None else size, by or Transport(), progress)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        job.fill(note)
        job.check()
        job.part.become(target)
    except OSError as error:
        job.part.discard()  # a full disk is no place to keep half a file
        raise OutputError(f"cannot write {target}: {error.strerror or error}; nothing was kept") from error


def digest_of(path: Path, kind: str = "sha256") -> str:
    """The hex digest of a file, read in pieces; `kind` is hashlib's name."""
    digest = hashlib.new(kind)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class _Cut(Exception):
    """It stopped too early: worth another try, from where it stopped. `wait_s`: the server asks for so long."""

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class _Unreachable(_Cut):
    """Nobody is there: worth another try only if somebody was, a moment ago."""


class _Part:
    """What has arrived, in `TARGET.part`; beside it, the server's tag of the version that it is of."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._tag = target.with_name(f"{target.name}.part.tag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def tag(self) -> str:
        return self._tag.read_text("latin-1") if self._tag.is_file() else ""

    def begin(self, tag: str) -> None:
        self.path.write_bytes(b"")
        self._tag.write_text(tag, "latin-1")

    def become(self, target: Path) -> None:
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, target)
        self._tag.unlink()

    def discard(self) -> None:
        for path in (self.path, self._tag):
            with suppress(OSError):
                path.unlink()


@dataclass
class _Download:
    """One file on its way."""

    url: str
    target: Path
    digest: Optional[Tuple[str, str]]
    size: Optional[int]
    limit: int
    by: Transport
    progress: Callable[[int, Optional[int]], None]
    confirmed: bool = False

    def __post_init__(self) -> None:
        self.url = drive.direct(self.url)
        self.part = _Part(self.target)
        _check_scheme(self.url, self.by.plain_hosts)

    def fill(self, note: Callable[[str], None]) -> None:
        """Attempts, with a wait between, until the part is complete."""
        begun = furthest = self.part.size
        failures = 0
        while self.size is None or self.part.size != self.size:
            try:
                self.attempt()
                return
            except _Cut as cut:
                have = self.part.size
                failures = 1 if have >= furthest + ENOUGH_TO_TRY_ON else failures + 1
                furthest = max(furthest, have)
                if failures >= self.by.tries or (isinstance(cut, _Unreachable) and have == begun):
                    kept = f"; the {have:,} bytes that came are kept, and the next try goes on from there" if have else ""
                    raise SourceError(f"cannot download {self.url}: {cut}{kept}") from cut
                wait_s = min(60.0, max(cut.wait_s, self.by.backoff_s * 2 ** (failures - 1)))
                note(f"{cut}; trying again in {wait_s:g} s")
                time.sleep(wait_s)

    def attempt(self) -> None:
        """One request; what comes is added to the part. Raises `_Cut`."""
        with _open(self.url, self._range(), self.by) as response:
            if response.status == 416:  # nothing follows what we have: all is here, or it is something else
                if _total(response) != self.part.size:
                    self.part.discard()
                    raise _Cut("what had come of it does not fit what the server has now")
                return
            page = drive.page(response)
            if page is None:
                return self._receive(response)
            if page.confirmed_url is None or self.confirmed:
                raise SourceError(f"cannot download {self.url}: the server sent a web page{page.shown} instead of the file")
        self.url, self.confirmed = page.confirmed_url, True
        _check_scheme(self.url, self.by.plain_hosts)
        return self.attempt()

    def _range(self) -> Dict[str, str]:
        if self.part.size > self.limit or not (self.part.tag or self.digest):
            self.part.discard()  # without a tag or a digest nobody would notice that two versions were joined
        have = self.part.size
        tag = {"If-Range": self.part.tag} if have and self.part.tag else {}
        return {"Range": f"bytes={have}-", **tag} if have else {}

    def _receive(self, response: Any) -> None:
        if response.status != 206:
            self.part.begin(_tag(response))
        have, total = self.part.size, _total(response)
        if response.status == 206 and not response.headers["Content-Range"].startswith(f"bytes {have}-"):
            self.part.discard()
            raise _Cut("the server sent another piece than the one asked for")
        self._check_room(have, total)
        with open(self.part.path, "ab") as file:
            self.progress(have, total)
            for block in _blocks(response, self.by.timeout_s, None if total is None else total - have):
                file.write(block)
                have += len(block)
                self._check_limit(have)
                self.progress(have, total)
        wanted = self.size if total is None else total
        if wanted is not None and have < wanted:
            raise _Cut(f"the connection was cut after {have:,} of {wanted:,} bytes")

    def _check_limit(self, size: int) -> None:
        if size > self.limit:
            self.part.discard()
            raise IntegrityError(f"{self.url} is larger than the {self.limit:,} bytes it may have; nothing was kept")

    def _check_room(self, have: int, total: Optional[int]) -> None:
        if total is None:
            return
        self._check_limit(total)
        if self.size is not None and total != self.size:
            self.part.discard()
            raise IntegrityError(f"{self.url} has {total:,} bytes; {self.size:,} were expected. Nothing was kept")
        free = shutil.disk_usage(self.target.parent).free
        if free < total - have:
            raise OutputError(f"{self.target.parent} has room for {free:,} bytes; {total - have:,} are still to come")

    def check(self) -> None:
        """Raise `IntegrityError`, and throw the part away, unless it is what it should be."""
        found = self.part.size
        if self.size is not None and found != self.size:
            self.part.discard()
            raise IntegrityError(f"{self.url} has {found:,} bytes; {self.size:,} were expected. Nothing was kept")
        kind, wanted = self.digest or ("", "")
        if not wanted:
            return
        got = digest_of(self.part.path, kind)
        if got != wanted.lower():
            self.part.discard()
            raise IntegrityError(
                f"{self.url} is not the file it should be: {kind} {wanted} was expected, {got} was found. "
                "It was thrown away"
            )


# -- http ----------------------------------------------------------------------------------------------------


def _check_scheme(url: str, plain_hosts: Tuple[str, ...], whence: str = "") -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in plain_hosts):
        raise SourceError(f"{whence}{url} is refused: weights come over https alone")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, plain_hosts: Tuple[str, ...]) -> None:
        self._plain_hosts = plain_hosts

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        fp.close()  # urllib would read the body to its end, which may never come
        _check_scheme(newurl, self._plain_hosts, f"{req.full_url} was asked for; its redirect to ")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: Dict[str, str], by: Transport) -> Any:
    """The response to a GET: 200, 206 or 416. Raises `_Cut` or `SourceError`."""
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=by.tls), _Redirects(by.plain_hosts))
    request = urllib.request.Request(url, headers={"User-Agent": "edgecsp", "Accept-Encoding": "identity", **headers})
    try:
        return opener.open(request, timeout=by.timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416 and headers:
            return error
        error.close()
        raise _refused(url, error) from error
    except urllib.error.URLError as error:
        raise _unreached(url, error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"the connection broke ({error})") from error


def _refused(url: str, error: urllib.error.HTTPError) -> Exception:
    said = f"{error.code} {error.reason}".splitlines()[0].strip()
    if error.code in (408, 425, 429) or error.code >= 500:
        asked = error.headers.get("Retry-After") or ""
        return _Cut(f"the server answered {said}", float(asked) if re.fullmatch(r"\d{1,6}", asked) else 0.0)
    if error.code in (404, 410):
        return SourceError(f"there is no file at {url} any more (the server answered {said})")
    if 300 <= error.code < 400:
        return SourceError(f"cannot download {url}: its redirects lead nowhere (the server answered {error.code})")
    return SourceError(f"cannot download {url}: the server answered {said}")


def _unreached(url: str, reason: Any) -> Exception:
    host = urlsplit(url).hostname
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SourceError(
            f"cannot download {url}: the certificate of {host} is not to be trusted ({reason.verify_message}). "
            f"Is this machine's clock right? It says {time.strftime('%Y-%m-%d')}"
        )
    if isinstance(reason, socket.gaierror):
        return _Unreachable(f"the host {host} was not found; is there a network?")
    if isinstance(reason, (socket.timeout, TimeoutError)):
        return _Cut(f"{host} did not answer in time")
    if isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError):
        return _Unreachable(f"{host} cannot be reached ({reason.strerror or reason})")
    return _Cut(f"no connection with {host} ({reason})")


def _blocks(response: Any, timeout_s: float, length: Optional[int]) -> Iterator[bytes]:
    """The body as it comes, at most `length` bytes. Raises `_Cut` when it breaks, dries up or merely trickles."""
    since, came = time.monotonic(), 0
    while length is None or length > 0:
        try:
            block = response.read1(BLOCK if length is None else min(BLOCK, length))
        except (socket.timeout, TimeoutError):
            raise _Cut(f"nothing came for {timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"the connection broke ({error})") from error
        if not block:
            return
        yield block
        length = None if length is None else length - len(block)
        came += len(block)
        passed = time.monotonic() - since
        if passed >= timeout_s:
            if came < SLOWEST_BYTES_S * passed:
                raise _Cut(f"only {came:,} bytes came in {passed:.0f} s")
            since, came = time.monotonic(), 0


def _total(response: Any) -> Optional[int]:
    """How long the whole file is, None when the server does not say."""
    if response.status in (206, 416):
        match = re.search(r"/(\d{1,18})$", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    length: Optional[int] = response.length
    return length


def _tag(response: Any) -> str:
    """What names this version of the file: a strong ETag, else its date."""
    etag: str = response.headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    date: str = response.headers.get("Last-Modified", "")
    return date
