"""Downloads over https: complete and verified, or not present at all.

    fetch.download("https://host/x.weights", Path("x.weights"), digest=("sha256", "dcce06..."), size=35_434_956)

What has arrived waits in `x.weights.part`; it survives a cut connection, Ctrl-C and a board that was switched
off, and the next call goes on from there (Range, If-Range). The file gets its name when its length and its
digest are right. `web` knows HTTP, `pages` knows what is sent in a file's place.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

from ...errors import IntegrityError, OutputError, SourceError
from ...system.http import RequestFailed, Response
from ...system.progress import NO_PROGRESS, Progress
from .. import files
from . import http as web
from . import pages
from .http import Patience

__all__ = ["MAX_BYTES", "Patience", "download"]

MAX_BYTES = 2 << 30
_WORTH_GOING_ON = 1 << 20

LOG = logging.getLogger(__name__)


def download(
    url: str,
    target: Path,
    *,
    digest: Optional[Tuple[str, str]] = None,
    size: Optional[int] = None,
    limit: int = MAX_BYTES,
    patience: Optional[Patience] = None,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Download an https `url` to `target`.

    `digest` is (algorithm, hex) and `size` the bytes it must have; without a size, `limit` is the most. `progress`
    shows the bytes that are here and those there will be. Why it tries again is logged. Raises `SourceError` (it cannot
    be had), `IntegrityError` (it is something else; nothing is kept) or `OutputError`.
    """
    part = _Part(target)
    job = _Download(
        pages.direct_url(url), part, digest, size, limit if size is None else size, patience or Patience(), progress
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        job.fill()
        job.check()
        part.commit(target)
    except OSError as error:
        part.discard()  # a full disk is no place to keep half a file
        raise OutputError(f"cannot write {target}: {error.strerror or error}; nothing was kept") from error


class _Part:
    """The partial download `TARGET.part`, and beside it the server's tag of its version."""

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

    def commit(self, target: Path) -> None:
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, target)
        self._tag.unlink(missing_ok=True)

    def discard(self) -> None:
        for path in (self.path, self._tag):
            with suppress(OSError):
                path.unlink()


@dataclass
class _Download:
    """The download of one file."""

    url: str
    part: _Part
    digest: Optional[Tuple[str, str]]
    size: Optional[int]
    limit: int
    patience: Patience
    progress: Progress
    confirmed: bool = False

    @property
    def label(self) -> str:
        """The URL as messages quote it."""
        return web.quotable(self.url)

    def fill(self) -> None:
        """Attempts, with a wait between, until the part is complete."""
        begun = furthest = self.part.size
        failures = 0
        while self.size is None or self.part.size != self.size:
            try:
                self._attempt()
                return
            except web.DownloadCut as cut:
                have = self.part.size
                failures = 1 if have >= furthest + _WORTH_GOING_ON else failures + 1
                furthest = max(furthest, have)
                if failures >= self.patience.tries or (isinstance(cut, web.Unreachable) and have == begun):
                    resume_note = f"; {have:,} bytes are kept, and the next try goes on from there" if have else ""
                    raise SourceError(f"cannot download {self.label}: {cut}{resume_note}") from cut
                wait_s = min(60.0, max(cut.wait_s, self.patience.backoff_s * 2 ** (failures - 1)))
                LOG.warning("%s; trying again in %g s", cut, wait_s)
                time.sleep(wait_s)

    def check(self) -> None:
        """Raise `IntegrityError` unless the part is what it should be."""
        self._check_length(self.part.size)
        if self.digest:
            kind, expected = self.digest
            actual = files.digest_of(self.part.path, kind)
            if actual != expected.lower():
                raise self._wrong(f"is not the file it should be: {kind} {expected} was expected, {actual} was found")

    def _attempt(self) -> None:
        """One request; what comes is added to the part. Raises `web.DownloadCut` when it ends too early."""
        try:
            with web.get(self.url, self._range(), self.patience.timeout_s) as response:
                page = pages.find_page(response)
                if page is None:
                    self._receive(response)
                    return
        except RequestFailed as failure:
            raise web.describe_failure(self.url, failure) from failure
        if page.confirmed_url is None or self.confirmed:
            raise SourceError(
                f"cannot download {self.label}: the server sent a web page{page.label} instead of the file"
            )
        self.url, self.confirmed = page.confirmed_url, True
        self._attempt()

    def _range(self) -> Dict[str, str]:
        if self.part.size > self.limit or not (self.part.tag or self.digest):
            self.part.discard()  # without a tag or a digest nobody would notice two versions in one file
        have, tag = self.part.size, self.part.tag
        return {"Range": f"bytes={have}-", **({"If-Range": tag} if tag else {})} if have else {}

    def _receive(self, response: Response) -> None:
        first, total = web.extent(response)
        if first not in (None, self.part.size):
            self.part.discard()
            raise web.DownloadCut("what came before does not fit what the server has now")
        have = 0 if first is None else first
        if total is not None:
            self._check_length(total)
            self._check_room(total - have)
        if first is None:
            self.part.begin(web.tag(response))
        with open(self.part.path, "ab") as file:
            self.progress.update(completed=have, total=total)
            for block in response.blocks(None if total is None else total - have):
                have += len(block)
                if have > self.limit:
                    raise self._wrong(f"is larger than the {self.limit:,} bytes it may have")
                file.write(block)
                self.progress.update(completed=have, total=total)
        expected = self.size if total is None else total
        if expected is not None and have < expected:
            raise web.DownloadCut(f"the connection was cut after {have:,} of {expected:,} bytes")

    def _check_length(self, length: int) -> None:
        if self.size is not None and length != self.size:
            raise self._wrong(f"has {length:,} bytes, {self.size:,} were expected")
        if length > self.limit:
            raise self._wrong(f"has {length:,} bytes, {self.limit:,} is the most it may have")

    def _check_room(self, needed: int) -> None:
        folder = self.part.path.parent
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OutputError(f"{folder} has room for {free:,} bytes; {needed:,} are still to come")

    def _wrong(self, text: str) -> IntegrityError:
        self.part.discard()
        return IntegrityError(f"{self.label} {text}. It was deleted")
