"""JPEG headers. Source: ITU-T T.81, annex B."""

from __future__ import annotations

from . import tiff
from .base import Probe, big

STEPS = 2000  # segments and fill bytes before the first scan; a profile of 16 MB has 255 segments

_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Tables, restart interval, number of lines, applications' data, comments: libjpeg reads or skips these by their length.
_SKIPPED = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)))
_END = 0xD9


def probe(data: bytes) -> Probe:
    """Walk the segments up to the first scan.

    Anything libjpeg would skip without a length (stuffed or unknown markers, bytes between segments) ends the walk
    with a doubt: what follows is read by rules that are not the standard's.
    """
    at, frame, orientation, doubt = 2, 0, 0, ""
    for _ in range(STEPS):
        marker = data[at + 1] if at + 3 < len(data) else _END
        if marker == _END:
            doubt = "its header ends before the image data"
        elif data[at] != 0xFF:
            doubt = f"byte {at} of its header belongs to no segment"
        elif marker == 0xFF:  # a fill byte
            at += 1
            continue
        elif marker in _FRAME and not frame:
            frame = at
        elif marker not in _SKIPPED and marker != 0xDA:
            doubt = f"unknown marker FF{marker:02X} at byte {at} of its header"
        length = big(data, at + 2, 2)
        if length < 2 and not doubt:
            doubt = f"a segment of {length} bytes at byte {at} of its header"
        if doubt or marker == 0xDA:
            break
        if marker == 0xE1 and not orientation and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = tiff.orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
    else:
        doubt = f"more than {STEPS} segments and fill bytes in its header"
    if not frame:
        return Probe("JPEG", doubt=doubt or "no frame header", orientation=orientation or 1)
    height, width = big(data, frame + 5, 2), big(data, frame + 7, 2)
    return Probe("JPEG", width, height, 1, doubt, 1 if doubt else _scans(data, frame, at), orientation or 1)


def _scans(data: bytes, frame: int, scan: int) -> int:
    # One scan of all components is all that a decoder of sequential JPEG reads.
    if data[frame + 1] in (0xC0, 0xC1) and data[scan + 4] == data[frame + 9]:
        return 1
    return data.count(b"\xff\xda", scan)  # within a scan no FF is followed by DA


def lacks_end(data: bytes) -> bool:
    """Whether no end marker follows the last scan."""
    return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
