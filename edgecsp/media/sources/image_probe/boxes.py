"""AVIF, HEIC and JPEG 2000: files of nested boxes. Sources: ISO/IEC 14496-12, 23008-12 and 15444-1."""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

from .base import Probe, big

JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
BOXES = 1000  # at one level
ITEMS = 10_000
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

_Span = Tuple[int, int]


def _boxes(data: bytes, begin: int, end: int) -> Iterator[Tuple[bytes, _Span]]:
    """Each box of a level: its type, and where its content begins and ends."""
    for _ in range(BOXES):
        if begin + 8 > end:
            return
        size, head = big(data, begin, 4), 8
        if size == 1:
            size, head = big(data, begin + 8, 8), 16
        stop = end if size == 0 else begin + size
        if stop > end or stop < begin + head:
            return
        yield data[begin + 4 : begin + 8], (begin + head, stop)
        begin = stop


def _find(data: bytes, span: Optional[_Span], *path: bytes) -> Optional[_Span]:
    """The content of the first box at a path of types; `meta` is a box with a version before its children."""
    for name in path:
        if span is None:
            return None
        span = next((inner for kind, inner in _boxes(data, *span) if kind == name), None)
        if span is not None and name == b"meta":
            span = span[0] + 4, span[1]
    return span


def probe_heif(data: bytes) -> Optional[Probe]:
    """Read the primary image's size and transforms, or a sequence's first track; None for other ISO media files."""
    whole = 0, len(data)
    brands = _find(data, whole, b"ftyp")
    if brands is None:
        return None
    names = {data[at : at + 4] for at in range(brands[0], min(brands[1], brands[0] + 400), 4)}
    if not names & (_AVIF | _HEIC):
        return None
    kind = "AVIF" if names & _AVIF else "HEIC"
    frames = _samples(data)
    properties = _primary_properties(data)
    sizes = [span for name, span in properties if name == b"ispe"]
    if sizes:
        width, height = big(data, sizes[0][0] + 4, 4), big(data, sizes[0][0] + 8, 4)
    else:
        track = _find(data, whole, b"moov", b"trak", b"tkhd")
        width, height = (big(data, track[1] - 8, 2), big(data, track[1] - 4, 2)) if track else (0, 0)
    transforms = tuple(
        (name.decode(), data[span[0]] & (3 if name == b"irot" else 1))
        for name, span in properties
        if name in (b"irot", b"imir") and span[0] < span[1]
    )
    doubt = "" if width and height else "no size of its primary image"
    return Probe(kind, width, height, frames, doubt, transforms=transforms)


def _samples(data: bytes) -> int:
    """Frames of the first track, 1 when there is none."""
    track = _find(data, (0, len(data)), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz")
    return max(1, big(data, track[0] + 8, 4)) if track else 1


def _primary_properties(data: bytes) -> List[Tuple[bytes, _Span]]:
    """The property boxes of the primary item, in the order in which they apply."""
    meta = _find(data, (0, len(data)), b"meta")
    pitm, ipco = _find(data, meta, b"pitm"), _find(data, meta, b"iprp", b"ipco")
    ipma = _find(data, meta, b"iprp", b"ipma")
    if pitm is None or ipco is None or ipma is None:
        return []
    primary = big(data, pitm[0] + 4, 2 if data[pitm[0]] == 0 else 4)
    known = list(_boxes(data, *ipco))
    return [known[i - 1] for i in _associations(data, ipma, primary) if 0 < i <= len(known)]


def _associations(data: bytes, ipma: _Span, primary: int) -> List[int]:
    """An item's property numbers, from 1."""
    version, wide = data[ipma[0]], big(data, ipma[0] + 1, 3) & 1
    at = ipma[0] + 8
    for _ in range(min(ITEMS, big(data, ipma[0] + 4, 4))):
        if at >= ipma[1]:
            break
        name = 2 if version == 0 else 4
        item, count = big(data, at, name), big(data, at + name, 1)
        at += name + 1
        step = 2 if wide else 1
        if item == primary:  # the highest bit says that the property is essential
            return [big(data, at + i * step, step) & (0x7FFF if wide else 0x7F) for i in range(count)]
        at += count * step
    return []


def probe_jp2(data: bytes) -> Probe:
    """Read the size from the codestream, which is what decoders go by."""
    at = 0
    if data[:4] != CODESTREAM:
        codestream = _find(data, (0, len(data)), b"jp2c")
        if codestream is None or data[codestream[0] : codestream[0] + 4] != CODESTREAM:
            return Probe("JPEG 2000", doubt="no codestream")
        at = codestream[0]
    width, height = (max(0, big(data, at + 8 + 4 * i, 4) - big(data, at + 16 + 4 * i, 4)) for i in (0, 1))
    return Probe("JPEG 2000", width, height)
