"""BMP, GIF, PNM, PAM and Sun raster headers: a size at a fixed place, or in words."""

from __future__ import annotations

import re
from typing import Optional

from .base import Probe, big, little

_BETWEEN = rb"(?:\s|#[^\n]*\n)+"
_PNM = re.compile(rb"P[1-6]" + _BETWEEN + rb"(\d{1,10})" + _BETWEEN + rb"(\d{1,10})\s")
_PAM = re.compile(rb"^(WIDTH|HEIGHT)\s+(\d{1,10})\s*$", re.MULTILINE)
_HEAD = 4096  # bytes in which a PNM's size must stand


def probe_bmp(data: bytes) -> Optional[Probe]:
    """Read a BMP of OS/2 or Windows; None for what merely begins as one."""
    kind = little(data, 14, 4)
    if kind == 12:
        return Probe("BMP", little(data, 18, 2), little(data, 20, 2))
    height = little(data, 22, 4)
    height = height if height < 1 << 31 else (1 << 32) - height  # negative: the top row comes first
    return Probe("BMP", little(data, 18, 4), height) if kind in (40, 52, 56, 64, 108, 124) else None


def probe_gif(data: bytes) -> Probe:
    """Read a GIF; a graphic control extension comes before each image of an animation."""
    return Probe("GIF", little(data, 6, 2), little(data, 8, 2), max(1, data.count(b"\0\x21\xf9\x04")))


def probe_pnm(data: bytes) -> Probe:
    """Read a PBM, PGM or PPM."""
    match = _PNM.match(data[:_HEAD])
    return Probe("PNM", int(match[1]), int(match[2])) if match else Probe("PNM", doubt="no size in its header")


def probe_pam(data: bytes) -> Probe:
    """Read a PAM."""
    sides = {name: int(value) for name, value in _PAM.findall(data[:_HEAD].partition(b"ENDHDR")[0])}
    if len(sides) == 2:
        return Probe("PAM", sides[b"WIDTH"], sides[b"HEIGHT"])
    return Probe("PAM", doubt="no size in its header")


def probe_sun(data: bytes) -> Probe:
    """Read a Sun raster."""
    return Probe("Sun raster", big(data, 4, 4), big(data, 8, 4))
