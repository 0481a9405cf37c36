"""PNG and animated PNG headers. Source: PNG (third edition), 5 and 11."""

from __future__ import annotations

from .base import Probe, big

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS = 100_000  # in all; encoders write image data in chunks of 4 KiB and more
OTHERS = 256  # that hold no pixels: libpng writes a line to stderr for each it dislikes
_PIXELS = (b"IDAT", b"fdAT", b"fcTL")


def probe(data: bytes) -> Probe:
    """Walk the chunks to the end."""
    if data[8:16] != b"\0\0\0\rIHDR":
        return Probe("PNG", doubt="its first chunk is no IHDR")
    width, height, frames = big(data, 16, 4), big(data, 20, 4), 1
    at, others, doubt = 33, 0, ""
    for _ in range(CHUNKS):
        kind = data[at + 4 : at + 8]
        if len(kind) < 4 or kind == b"IEND":
            break
        if kind not in _PIXELS:
            others += 1
            if kind == b"IHDR":
                doubt = "a second IHDR"
            elif others > OTHERS:
                doubt = f"more than {OTHERS} chunks that hold no pixels"
            if doubt:
                break
            if kind == b"acTL":
                frames = max(1, big(data, at + 8, 4))
        at += 12 + big(data, at, 4)
    else:
        doubt = f"more than {CHUNKS} chunks"
    return Probe("PNG", width, height, frames, doubt)
