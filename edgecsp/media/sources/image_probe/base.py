"""Result of a probe, and numbers read from bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class Probe:
    """An image's header: its format, its size in pixels as stored, its frames or pages.

    `width` and `height` are 0 where the header does not say. `doubt` is why a decoder may read another size, ""
    when it cannot. `scans` are a progressive JPEG's, `orientation` is a JPEG's EXIF value (1..8). `transforms` are an
    AVIF's, in order: ("irot", quarter turns anticlockwise) and ("imir", 0 exchanges top and bottom, 1 left and right).
    """

    kind: str
    width: int = 0
    height: int = 0
    frames: int = 1
    doubt: str = ""
    scans: int = 1
    orientation: int = 1
    transforms: Tuple[Tuple[str, int], ...] = ()

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.width * self.height


def big(data: bytes, at: int, size: int) -> int:
    """A big-endian unsigned number of `size` bytes; what lies behind the end counts as absent."""
    return int.from_bytes(data[at : at + size], "big")


def little(data: bytes, at: int, size: int) -> int:
    """A little-endian unsigned number of `size` bytes."""
    return int.from_bytes(data[at : at + size], "little")
