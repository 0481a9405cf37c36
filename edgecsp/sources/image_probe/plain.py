"""BMP, GIF, PNM, PAM and Sun raster headers: a size at a fixed place, or in words."""

from __future__ import annotations

import re
from typing import Optional

from .base import Probe, big, little

_BETWEEN = rb"(?:\s|#[^\n]*\n)+"
_PNM = re.compile(rb"P[1-6]" + _BETWEEN + rb"(\d{1,10})" + _BETWEEN + rb"(\d{1,10})\s")
_PAM = re.compile(rb"^(WIDTH|HEIGHT)\s+(\d{1,10})\s*$", re.MULTILINE)
_HEAD = 4096  # bytes in which a PNM's size must stand


def probe(data: bytes) -> Optional[Probe]:
    """Read a header of one of these formats; None for any other."""
    if data[:2] == b"BM" and little(data, 14, 4) in (12, 40, 52, 56, 64, 108, 124):
        return _bmp(data)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        # A graphic control extension comes before each image of an animation.
        return Probe("GIF", little(data, 6, 2), little(data, 8, 2), max(1, data.count(b"\0\x21\xf9\x04")))
    if data[:4] == b"\x59\xa6\x6a\x95":
        return Probe("Sun raster", big(data, 4, 4), big(data, 8, 4))
    if data[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"):
        found = _PNM.match(data[:_HEAD])
        return Probe("PNM", int(found[1]), int(found[2])) if found else Probe("PNM", doubt="no size in its header")
    if data[:3] == b"P7\n":
        sides = {name: int(value) for name, value in _PAM.findall(data[:_HEAD].partition(b"ENDHDR")[0])}
        if len(sides) == 2:
            return Probe("PAM", sides[b"WIDTH"], sides[b"HEIGHT"])
        return Probe("PAM", doubt="no size in its header")
    return None


def _bmp(data: bytes) -> Probe:
    if little(data, 14, 4) == 12:
        return Probe("BMP", little(data, 18, 2), little(data, 20, 2))
    height = little(data, 22, 4)
    return Probe("BMP", little(data, 18, 4), height if height < 1 << 31 else (1 << 32) - height)  # < 0: top row first
