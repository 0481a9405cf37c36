"""Decode images upright, with warnings: libjpeg-turbo for JPEG, libheif for HEIC, OpenCV for the rest.

OpenCV reports a damaged JPEG by a line on stderr that names no file. simplejpeg (also libjpeg-turbo: the same pixels)
raises an exception, in any thread.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, NamedTuple, Tuple

import numpy as np

from ...errors import SourceError
from ...options.choices import MAX_PIXELS
from ...types import Array
from .image_probe import Probe, jpeg, probe, tiff

MAX_BYTES = 1 << 30


class DecodedImage(NamedTuple):
    """An image, (H, W, 3) uint8 BGR, and warnings from decoding it."""

    image: Array
    warnings: Tuple[str, ...] = ()


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode bytes to (H, W, 3) uint8 BGR, upright, with warnings; `name` is for the `SourceError`.

    An image of more than `max_pixels` by its header is refused before it is decoded; if the header cannot be parsed,
    OpenCV's own limit applies (OPENCV_IO_MAX_IMAGE_PIXELS).
    """
    if not data:
        raise SourceError(f"{name} is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise SourceError(
            f"{name} is larger than {MAX_BYTES >> 20} MiB, too large for an image; a video needs a video extension"
        )
    header = probe(data) or Probe("")
    _check_size(header.width, header.height, name, max_pixels)
    if header.kind == "JPEG":
        image, warnings = _jpeg(data, header, name, max_pixels)
    else:
        image, warnings = _OTHERS.get(header.kind, _any)(data, header, name)
    if header.frames > 1:
        parts = "pages" if header.kind == "TIFF" else "frames"
        warnings = (*warnings, f"only the first of {header.frames} {parts} was read")
    return DecodedImage(np.ascontiguousarray(image, np.uint8), warnings)


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise SourceError(
            f"{name} is {width}x{height}, {width * height / 1e6:.0f} megapixels; the limit is "
            f"{max_pixels / 1e6:g}; to raise it: run --max-pixels {width * height}, in Python max_pixels="
        )


def jpeg_size(data: bytes) -> Tuple[int, int]:
    """Read width and height with libjpeg-turbo; 0, 0 if it finds none."""
    return _jpeg_header(data)[:2]


def _jpeg_header(data: bytes) -> Tuple[int, int, str]:
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # KeyError: unknown colour space
        return 0, 0, ""
    return width, height, colours


def _jpeg(data: bytes, header: Probe, name: str, max_pixels: int) -> DecodedImage:
    import simplejpeg

    width, height, colours = _jpeg_header(data)
    _check_size(width, height, name, max_pixels)
    space = "CMYK" if colours in ("CMYK", "YCCK") else "BGR"
    warnings: Tuple[str, ...] = ()
    try:
        try:
            image = simplejpeg.decode_jpeg(data, space)
        except ValueError as error:
            if jpeg.lacks_end(data):
                data += b"\xff\xd9"
                image = simplejpeg.decode_jpeg(data, space)
                warnings = ("the end marker is missing, the image data is complete",)
            else:
                image = simplejpeg.decode_jpeg(data, space, strict=False)
                warnings = (f"damaged, parts may be wrong (libjpeg: {error})",)
    except ValueError as error:
        raise _unreadable(data, name, f" (libjpeg: {error})") from None
    if space == "CMYK":  # decoded by OpenCV, to keep its colours
        return DecodedImage(_opencv(data, name), warnings)
    return DecodedImage(_EXIF[header.orientation](image), warnings)


def _tiff(data: bytes, _: Probe, name: str) -> DecodedImage:
    image = _opencv(data, name)
    damaged = tiff.is_damaged(data)
    return DecodedImage(image, ("damaged, parts are wrong (checksum error in a strip)",) if damaged else ())


def _avif(data: bytes, header: Probe, name: str) -> DecodedImage:
    import cv2

    # OpenCV does not apply the file's transforms, and EXIF must not be applied besides them (ISO/IEC 23008-12).
    image = _opencv(data, name, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    for kind, value in header.transforms:
        image = np.rot90(image, value) if kind == "irot" else cv2.flip(image, value)
    return DecodedImage(image)


def _heic(data: bytes, _: Probe, name: str) -> DecodedImage:
    try:
        import pi_heif
    except ImportError:
        raise SourceError(
            f"{name} is a HEIC image, which OpenCV cannot decode; type: pip install pi-heif; "
            "or convert the image to .jpg"
        ) from None
    try:
        heif = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
        pixels = np.asarray(heif)
    except (ValueError, RuntimeError, EOFError, OSError) as error:
        raise _unreadable(data, name, f" (libheif: {error})") from error
    return DecodedImage(pixels[:, :, 2::-1] if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2))


def _any(data: bytes, _: Probe, name: str) -> DecodedImage:
    return DecodedImage(_opencv(data, name))


_OTHERS: Dict[str, Callable[[bytes, Probe, str], DecodedImage]] = {"TIFF": _tiff, "AVIF": _avif, "HEIC": _heic}


def _opencv(data: bytes, name: str, flags: int = 1) -> Array:
    """Decode with OpenCV; `flags` 1 is IMREAD_COLOR."""
    import cv2

    reason = ""
    image = None
    with quiet_opencv():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            reason = f" ({getattr(error, 'err', '') or error})"
    if "MAX_IMAGE" in reason:
        raise SourceError(f"{name} exceeds OpenCV's pixel limit{reason}; to raise it: run --max-pixels PIXELS")
    if image is None:
        raise _unreadable(data, name, reason)
    return np.asarray(image)


def _unreadable(data: bytes, name: str, reason: str) -> SourceError:
    return SourceError(
        f"{name} is not a complete image in a supported format: {len(data)} bytes, {looks_like(data)}{reason}; "
        "copy it again, or convert it to .jpg or .png"
    )


def _flip(axis: int, transpose: bool) -> Callable[[Array], Array]:
    def flip(image: Array) -> Array:
        import cv2

        return np.asarray(cv2.flip(cv2.transpose(image) if transpose else image, axis))

    return flip


# Functions that turn a stored image upright, by EXIF orientation.
_EXIF: Dict[int, Callable[[Array], Array]] = {
    1: lambda image: image, 2: _flip(1, False), 3: _flip(-1, False), 4: _flip(0, False),
    5: lambda image: image.transpose(1, 0, 2), 6: _flip(1, True), 7: _flip(-1, True), 8: _flip(0, True),
}  # fmt: skip


_MAGIC = (
    (b"\xff\xd8\xff", "begins like a JPEG"),
    (b"\x89PNG", "begins like a PNG"),
    (b"GIF8", "is a GIF"),
    (b"%PDF", "is a PDF"),
    (b"PK\x03\x04", "is a zip archive"),
    (b"\x1f\x8b", "is gzip-compressed"),
    (b"<", "is HTML or XML text"),
)


def looks_like(data: bytes) -> str:
    """Describe a file by its first bytes, for error messages."""
    for magic, words in _MAGIC:
        if data.startswith(magic):
            return words
    if data[4:8] == b"ftyp":
        return f"is an ISO media file ({data[8:12].decode('ascii', 'replace').strip()}: mp4, mov, heic)"
    head = data[:64]
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return f"is text ({head[:24].decode('ascii')!r})"
    return f"begins with {head[:8].hex(' ')}"


_quiet_lock = threading.Lock()
_quiet: Dict[str, Any] = {"depth": 0, "level": None}


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV's log on stderr; errors are reported by the caller."""
    import cv2

    log = getattr(getattr(cv2, "utils", None), "logging", None)
    if log is None:
        yield
        return
    # The log level is global: the first user silences it, the last one restores it.
    with _quiet_lock:
        if _quiet["depth"] == 0:
            _quiet["level"] = log.setLogLevel(log.LOG_LEVEL_SILENT)
        _quiet["depth"] += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet["depth"] -= 1
            if _quiet["depth"] == 0:
                log.setLogLevel(_quiet["level"])
