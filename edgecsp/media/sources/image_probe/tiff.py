"""TIFF directories: the size, the pages, the compressed strips; and EXIF, which is a TIFF. Source: TIFF 6.0."""

from __future__ import annotations

import zlib
from typing import Dict, Iterator, List, Optional, Set, Tuple

from .base import Probe

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ENTRIES = 1000  # of a directory; TIFF 6.0 knows 80 tags
ALL_ENTRIES = 200_000  # of all directories: some 15,000 pages
STRIPS = 1_000_000

_SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}
_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _ORIENTATION = 254, 256, 257, 259, 274
_PLACES = ((273, 279), (324, 325))  # strips and tiles: where each begins, and how many bytes it has
_SMALLER_OR_MASK = 0b101  # of an image on another page
_DEFLATE = (8, 32946)
_PIXEL_BYTES = 32  # four channels of 64 bits

_Tag = Tuple[int, int, int]  # its type, how many, where the values are


class _Directories:
    """The directories of a TIFF (classic or BigTIFF), one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._order = "little" if data[:2] == b"II" else "big"
        self._wide = self.number(2, 2) == 43

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], self._order)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Dict[int, _Tag]]:
        """Each directory's tags: type, count and where the values begin."""
        wide = self._wide
        visited: Set[int] = set()
        at = self.number(8, 8) if wide else self.number(4, 4)
        place, entry, counted = (8, 20, 8) if wide else (4, 12, 2)
        left = ALL_ENTRIES
        while 0 < at < len(self.data) - counted and at not in visited:
            visited.add(at)
            count = self.number(at, counted)
            left -= count + 1
            if count > ENTRIES or left < 0:
                return
            tags: Dict[int, _Tag] = {}
            for here in range(at + counted, at + counted + count * entry, entry):
                kind, many = self.number(here + 2, 2), self.number(here + 4, place)
                value = here + 4 + place
                inside = _SIZES.get(kind, 1) * many <= place
                tags.setdefault(self.number(here, 2), (kind, many, value if inside else self.number(value, place)))
            yield tags
            at = self.number(at + counted + count * entry, place)

    def values(self, tags: Dict[int, _Tag], tag: int) -> List[int]:
        """The whole numbers of a tag; empty when it is not there."""
        kind, many, at = tags.get(tag, (0, 0, 0))
        size = _SIZES.get(kind)
        if size is None or many > STRIPS or at + many * size > len(self.data):
            return []
        return [self.number(at + i * size, size) for i in range(many)]

    def value(self, tags: Dict[int, _Tag], tag: int, default: int) -> int:
        """The first number of a tag."""
        kind, many, at = tags.get(tag, (0, 0, 0))
        return self.number(at, _SIZES[kind]) if many and kind in _SIZES and at < len(self.data) else default


def probe(data: bytes) -> Probe:
    """Read the first directory's size, and count the pages (no smaller copies, no masks)."""
    directories, width, height, pages = _Directories(data), 0, 0, 0
    for number, tags in enumerate(directories):
        if number == 0:
            width, height = directories.value(tags, _WIDTH, 0), directories.value(tags, _HEIGHT, 0)
        pages += not directories.value(tags, _SUBFILE, 0) & _SMALLER_OR_MASK
    return Probe("TIFF", width, height, max(1, pages), "" if width and height else "no size in its first directory")


def orientation(data: bytes) -> int:
    """The EXIF orientation, 1..8; 0 when there is none."""
    if data[:4] not in SIGNATURES[:2]:
        return 0
    directories = _Directories(data)
    value = next((directories.value(tags, _ORIENTATION, 0) for tags in directories), 0)
    return value if 1 <= value <= 8 else 0


def is_damaged(data: bytes) -> bool:
    """Whether a Deflate strip or tile of the first page fails its checksum; other compressions have none."""
    directories = _Directories(data)
    tags: Dict[int, _Tag] = next(iter(directories), {})
    if directories.value(tags, _COMPRESSION, 1) not in _DEFLATE:
        return False
    begins, sizes = ([at for pair in _PLACES for at in directories.values(tags, pair[i])] for i in (0, 1))
    left = _PIXEL_BYTES * (directories.value(tags, _WIDTH, 0) * directories.value(tags, _HEIGHT, 0) + 65536)
    for at, size in zip(begins, sizes):
        count = _inflate(data[at : at + size], left) if size else 0
        if count is None:
            return True
        left -= count
        if left <= 0:  # more than the image can hold: not what was asked about
            return False
    return False


def _inflate(packed: bytes, most: int) -> Optional[int]:
    """How many bytes come out, at least `most` when it is stopped there; None when the data is damaged."""
    stream, count = zlib.decompressobj(), 0
    try:
        while not stream.eof and count < most:
            piece = stream.decompress(packed, 1 << 20)  # a piece at a time, which is thrown away
            packed = stream.unconsumed_tail
            count += len(piece)
            if not piece and not packed and not stream.eof:
                return None
    except zlib.error:
        return None
    return count
