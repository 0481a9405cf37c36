"""WebP headers. Source: RFC 9649."""

from __future__ import annotations

from typing import Tuple

from .base import Probe, little

CHUNKS = 10_000


def probe(data: bytes) -> Probe:
    """Read the first chunk's size; of an extended file, count the frames."""
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return Probe("WebP", little(data, 26, 2) & 0x3FFF, little(data, 28, 2) & 0x3FFF)
    if kind == b"VP8L" and data[20:21] == b"\x2f":
        bits = little(data, 21, 4)
        return Probe("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        frames, doubt = _frames(data)
        return Probe("WebP", little(data, 24, 3) + 1, little(data, 27, 3) + 1, max(1, frames), doubt)
    return Probe("WebP", doubt="its first chunk holds no image")


def _frames(data: bytes) -> Tuple[int, str]:
    at, frames = 12, 0
    for _ in range(CHUNKS):
        kind = data[at : at + 4]
        if len(kind) < 4:
            return frames, ""
        frames += kind == b"ANMF"
        size = little(data, at + 4, 4)
        at += 8 + size + (size & 1)
    return frames, f"more than {CHUNKS} chunks"
