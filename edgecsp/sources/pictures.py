"""Still pictures: files, and encoded bytes from elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence

import numpy as np

from ..core import Array, Frame, Stream
from ..errors import SourceError
from .base import Source

MAX_BYTES = 1 << 30


class Pictures(Source):
    """Picture files in the given order, each a stream of its own with one frame (the stride passes them by).

    With `forgive`, a file that cannot be read is counted in `problems` and the others go on; when none can,
    or without `forgive`, `SourceError`.
    """

    def __init__(self, paths: Sequence[str], *, forgive: bool = False, name: Optional[str] = None) -> None:
        super().__init__(name or (paths[0] if len(paths) == 1 else f"{len(paths)} pictures"), paths=paths)
        self.forgive = forgive

    @property
    def frames(self) -> Optional[int]:
        """The number of files."""
        return len(self.paths)

    def check(self) -> None:
        """Read a single picture once; many are found out on the way."""
        if len(self.paths) == 1 and not self.forgive:
            read(self.paths[0])

    def __iter__(self) -> Iterator[Frame]:
        failed = 0
        for path in self.paths:
            if self.closed:
                return
            try:
                image = read(path)
            except SourceError as error:
                if not self.forgive:
                    raise
                failed += 1
                self.problems[str(error)] += 1
                continue
            yield Frame(image, Stream(path, "image", frames=1))
        if failed and failed == len(self.paths):
            raise SourceError(f"none of {self.name} can be read; first: {next(iter(self.problems))}")


class Bytes(Source):
    """One encoded picture that is already in memory: (H, W, 3) uint8 BGR once decoded."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(name)
        self._image = decode(data, name)

    @property
    def frames(self) -> Optional[int]:
        """One."""
        return 1

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(self._image, Stream(self.name, "image", frames=1))


def from_stdin() -> Bytes:
    """The encoded picture that is piped to standard input."""
    if sys.stdin is None:
        raise SourceError("'-' reads a picture from standard input, which is closed; pipe one in: < dog.jpg")
    if sys.stdin.isatty():
        raise SourceError("'-' reads a picture from standard input, which is a terminal here; pipe one in: < dog.jpg")
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not data:
        raise SourceError("'-' reads a picture from standard input, and nothing came; pipe one in: < dog.jpg")
    return Bytes(data, "stdin")


def read(path: str) -> Array:
    """A picture file -> (H, W, 3) uint8 BGR, upright by its EXIF; raises `SourceError`."""
    try:
        # Not cv2.imread: it does not take every file name, and says None for all that can go wrong.
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    return decode(data, path)


def decode(data: bytes, name: str) -> Array:
    """Encoded bytes -> (H, W, 3) uint8 BGR, upright by its EXIF; `name` is for the `SourceError`."""
    import cv2

    if not data:
        raise SourceError(f"{name} is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise SourceError(f"{name} is larger than {MAX_BYTES >> 20} MiB, no picture; name a video by its extension")
    why = ""
    image = None
    with quiet_opencv():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            why = f" ({getattr(error, 'err', '') or error})"
    if image is None:
        raise SourceError(
            f"{name} is not a whole picture in a format OpenCV reads: {len(data)} bytes, {looks_like(data)}{why}; "
            "make a new copy, or convert it to .jpg or .png"
        )
    return np.ascontiguousarray(image, np.uint8)


_MAGIC = (
    (b"\xff\xd8\xff", "begins like a JPEG"),
    (b"\x89PNG", "begins like a PNG"),
    (b"GIF8", "is a GIF"),
    (b"%PDF", "is a PDF"),
    (b"PK\x03\x04", "is a zip archive"),
    (b"\x1f\x8b", "is gzip-compressed"),
    (b"<", "is HTML or XML text"),
)


def looks_like(data: bytes) -> str:
    """What the first bytes of a file say of it, for an error message."""
    for magic, words in _MAGIC:
        if data.startswith(magic):
            return words
    if data[4:8] == b"ftyp":
        return f"is an ISO media file ({data[8:12].decode('ascii', 'replace').strip()}: mp4, mov, heic)"
    head = data[:64]
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return f"is text ({head[:24].decode('ascii')!r})"
    return f"begins with {head[:8].hex(' ')}"


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own log off stderr: what went wrong is told in our words."""
    import cv2

    log = getattr(getattr(cv2, "utils", None), "logging", None)
    if log is None:
        yield
        return
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)
