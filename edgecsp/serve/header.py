"""What an encoded picture says of itself, read from its first bytes: its kind and its size."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from ..errors import Refused
from ..sources import pictures as decoding

KINDS = "JPEG, PNG, WebP and BMP"
SCANS = 100  # of a progressive JPEG: each one is a pass over the whole picture, and a file may hold thousands


def check(data: bytes, most_pixels: int) -> None:
    """Refuse what is no picture that we take, or is too large, by its first bytes. Raises `Refused`."""
    if not data:
        raise Refused(
            400, "the body is empty; send a picture: curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg'"
        )
    found = size(data)
    if found is None:
        raise Refused(415, f"the picture {decoding.looks_like(data)}; {KINDS} are taken")
    width, height = found
    if width < 1 or height < 1:
        raise Refused(400, f"the picture says of itself that it is {width}x{height}")
    if width * height > most_pixels:
        raise Refused(
            413,
            f"the picture is {width}x{height}, {width * height / 1e6:.0f} megapixels; {most_pixels / 1e6:g} are taken",
        )


def size(data: bytes) -> Optional[Tuple[int, int]]:
    """Width and height as the header says, None for what is none of the kinds we take."""
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _number(data, 16, 4, "big"), _number(data, 20, 4, "big")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:2] == b"BM" and _number(data, 14, 4) in (12, 40, 52, 56, 64, 108, 124):
        if _number(data, 14, 4) == 12:
            return _number(data, 18, 2), _number(data, 20, 2)
        height = _number(data, 22, 4)
        return _number(data, 18, 4), height if height < 1 << 31 else (1 << 32) - height  # negative: top row first
    return None


def _jpeg(data: bytes) -> Tuple[int, int]:
    """The size in the frame header. Raises `Refused` for thousands of scans. Source: ITU-T T.81, annex B."""
    at, frame = 2, -1
    while at + 9 < len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # a fill byte
            at += 1
            continue
        if kind == 0xDA and frame >= 0:
            # One scan of all components is all that such a file's decoder reads.
            if data[frame + 1] not in (0xC0, 0xC1) or data[at + 4] != data[frame + 9]:
                _check_scans(data, at)
            break
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            frame = at
        at += 2 if kind == 0x01 or 0xD0 <= kind <= 0xD8 else 2 + max(2, _number(data, at + 2, 2, "big"))
    if frame < 0:
        raise Refused(400, "the picture is a JPEG without a frame header")
    return _number(data, frame + 7, 2, "big"), _number(data, frame + 5, 2, "big")


def _check_scans(data: bytes, at: int) -> None:
    # Within a scan no FF is followed by DA.
    if data.count(b"\xff\xda", at) > SCANS:
        raise Refused(413, f"the picture is a JPEG of more than {SCANS} scans")


def _webp(data: bytes) -> Optional[Tuple[int, int]]:
    """The size in the first chunk. Source: RFC 9649."""
    kind = data[12:16]
    if kind == b"VP8 ":
        return _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF
    if kind == b"VP8L":
        bits = _number(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return _number(data, 24, 3) + 1, _number(data, 27, 3) + 1
    return None


def _number(data: bytes, at: int, size: int, order: Any = "little") -> int:
    return int.from_bytes(data[at : at + size], order)
