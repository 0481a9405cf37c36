"""Read an image's format, size and number of frames from its header, in a bounded number of steps.

The decoders' own limits are a second check: a header that may be read differently by a decoder has a `doubt`.
"""

from __future__ import annotations

from typing import Callable, Container, Optional, Sequence, Tuple

from . import boxes, jpeg, plain, png, tiff, webp
from .base import Probe

__all__ = ["Probe", "probe"]

# Signatures of a format (at the given offset), its names and its reader.
_FORMATS: Sequence[Tuple[int, Tuple[bytes, ...], Tuple[str, ...], Callable[[bytes], Optional[Probe]]]] = (
    (0, (b"\xff\xd8\xff",), ("JPEG",), jpeg.probe),
    (0, (png.SIGNATURE,), ("PNG",), png.probe),
    (8, (b"WEBP",), ("WebP",), webp.probe),
    (0, tiff.SIGNATURES, ("TIFF",), tiff.probe),
    (4, (b"ftyp",), ("AVIF", "HEIC"), boxes.probe_heif),
    (0, (boxes.JP2_SIGNATURE, boxes.CODESTREAM), ("JPEG 2000",), boxes.probe_jp2),
    (0, (b"BM",), ("BMP",), plain.probe_bmp),
    (0, (b"GIF87a", b"GIF89a"), ("GIF",), plain.probe_gif),
    (0, (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), ("PNM",), plain.probe_pnm),
    (0, (b"P7\n",), ("PAM",), plain.probe_pam),
    (0, (b"\x59\xa6\x6a\x95",), ("Sun raster",), plain.probe_sun),
)


def probe(data: bytes, kinds: Optional[Container[str]] = None) -> Optional[Probe]:
    """Read the header of an encoded image; None for an unknown format, or one not in `kinds`.

    Never raises.
    """
    for at, begins, names, read in _FORMATS:
        if data.startswith(begins, at):
            return read(data) if kinds is None or any(name in kinds for name in names) else None
    return None
