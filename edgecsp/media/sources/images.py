"""Still images: files, and encoded bytes."""

from __future__ import annotations

import sys
from typing import Iterator, Optional, Sequence

from ...cache import files
from ...errors import SourceError
from ...options.choices import MAX_PIXELS
from ...types import Frame, Stream
from .base import Source
from .decoding import MAX_BYTES, DecodedImage, decode, looks_like, quiet_opencv
from .paths import check_regular

__all__ = [
    "MAX_BYTES", "MAX_PIXELS", "DecodedImage", "EncodedImage", "ImageFiles", "decode", "load", "looks_like",
    "quiet_opencv", "read", "read_stdin",
]  # fmt: skip


class ImageFiles(Source):
    """Image files in the given order, each a stream of its own with one frame (the stride does not apply).

    With `forgive`, an unreadable file is counted in `problems` and skipped; if none can be read, or without `forgive`,
    `SourceError`. Warnings about damaged images are counted in `problems` too. An image of more than `max_pixels` by
    its header is not read.
    """

    def __init__(
        self, paths: Sequence[str], *, forgive: bool = False, name: Optional[str] = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        super().__init__(name or (paths[0] if len(paths) == 1 else f"{len(paths)} images"), paths=paths)
        self.forgive = forgive
        self.max_pixels = max_pixels

    @property
    def frames(self) -> Optional[int]:
        """The number of files."""
        return len(self.paths)

    def check(self) -> None:
        """Read a single image once; several are checked as they are read."""
        if len(self.paths) == 1 and not self.forgive:
            read(self.paths[0], self.max_pixels)

    def __iter__(self) -> Iterator[Frame]:
        failed = 0
        for path in self.paths:
            if self.closed:
                return
            try:
                image, warnings = read(path, self.max_pixels)
            except SourceError as error:
                if not self.forgive:
                    raise
                failed += 1
                self.problems[str(error)] += 1
                continue
            for text in warnings:
                self.problems[f"{path}: {text}"] += 1
            yield Frame(image, Stream(path, "image", frames=1, path=path))
        if failed and failed == len(self.paths):
            raise SourceError(f"none of {self.name} can be read; first error: {next(iter(self.problems))}")


class EncodedImage(Source):
    """One encoded image in memory, decoded to (H, W, 3) uint8 BGR."""

    def __init__(self, data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__(name)
        self._image, self._warnings = decode(data, name, max_pixels)

    @property
    def frames(self) -> Optional[int]:
        """One."""
        return 1

    def __iter__(self) -> Iterator[Frame]:
        for text in self._warnings:
            self.problems[f"{self.name}: {text}"] += 1
        yield Frame(self._image, Stream(self.name, "image", frames=1))


def read_stdin(max_pixels: int = MAX_PIXELS) -> EncodedImage:
    """Read an encoded image from standard input."""
    if sys.stdin is None:
        raise SourceError("'-' reads an image from standard input, which is closed; pipe one in: < dog.jpg")
    if sys.stdin.isatty():
        raise SourceError("'-' reads an image from standard input, which is a terminal; pipe one in: < dog.jpg")
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not data:
        raise SourceError("'-' reads an image from standard input, which is empty; pipe one in: < dog.jpg")
    return EncodedImage(data, "stdin", max_pixels)


def read(path: str, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Read an image file as (H, W, 3) uint8 BGR, upright by EXIF, with warnings; raises `SourceError`."""
    return decode(load(path), path, max_pixels)


def load(path: str) -> bytes:
    """Read the bytes of an image file, at most one more than `decode` accepts; raises `SourceError`."""
    check_regular(path)
    # Not cv2.imread: it does not accept every file name, and returns None for any error.
    return files.read(path, MAX_BYTES + 1)
