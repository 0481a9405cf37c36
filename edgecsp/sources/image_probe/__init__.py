"""Read an image's format, size and number of frames from its header, in a bounded number of steps.

The decoders' own limits are the second wall: what a walk here cannot be sure of, it marks with a `doubt`.
"""

from __future__ import annotations

from typing import Optional

from . import boxes, jpeg, plain, png, tiff, webp
from .base import Probe

__all__ = ["Probe", "probe"]


def probe(data: bytes) -> Optional[Probe]:
    """Read the header of an encoded image; None when its format is not one of those known here. Never raises."""
    if data[:3] == b"\xff\xd8\xff":
        return jpeg.probe(data)
    if data[:8] == png.SIGNATURE:
        return png.probe(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp.probe(data)
    if data[:4] in tiff.SIGNATURES:
        return tiff.probe(data)
    if data[4:8] == b"ftyp":
        return boxes.probe_heif(data)
    if data[:12] == boxes.JP2_SIGNATURE or data[:4] == boxes.CODESTREAM:
        return boxes.probe_jp2(data)
    return plain.probe(data)
