"""A look at image files: can they be read, how large are they, which are the same."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import SourceError
from ...media.sources.decoding import MAX_PIXELS, DecodedImage, decode
from ...media.sources.image_probe import Probe, jpeg, probe
from ...media.sources.images import load
from ...system import cpu
from ...system.progress import NO_PROGRESS, Progress
from ...types import Array

_SIDE = 16  # of the brightness differences that near duplicates are known by: 16 x 16 bits
_SHADES = 4  # standard deviation below which an image is too even to be compared


class ImageInspection(NamedTuple):
    """What a look at an image file showed.

    `hw` is its upright size in pixels, None where it cannot be read, and then `problem` says why. `digest` is of its
    bytes. `warnings` are what was survived in decoding. `shade` (32,) uint8 are the signs of its brightness
    differences, None where they were not asked for.
    """

    path: str
    hw: Optional[Tuple[int, int]] = None
    digest: bytes = b""
    problem: str = ""
    warnings: Tuple[str, ...] = ()
    shade: Optional[Array] = None


def read(path: str) -> Tuple[ImageInspection, Optional[Array]]:
    """An image file decoded as `run` and `val` do, (H, W, 3) uint8 BGR upright, and the look at it."""
    return _decoded(path, None)


def look(path: str, whole: bool = True) -> ImageInspection:
    """Look at a file: `whole` decodes it (a JPEG at an eighth of its size), else its header and its end must do."""
    try:
        data = load(path)
    except SourceError as error:
        return ImageInspection(path, problem=str(error))
    header = probe(data) or Probe("")
    sure = not header.doubt and header.frames == 1 and 0 < header.pixels <= MAX_PIXELS and _has_end(data, header)
    small = _small(data) if whole and sure and header.kind == "JPEG" else None
    if small is None and (whole or not sure):
        seen, image = _decoded(path, data)
        return seen._replace(shade=_shade(image.mean(2).astype(np.uint8))) if whole and image is not None else seen
    hw = (header.width, header.height) if header.orientation > 4 else (header.height, header.width)
    return ImageInspection(path, hw, _digest(data), shade=None if small is None else _shade(small))


def look_all(paths: Sequence[str], whole: bool = True, progress: Progress = NO_PROGRESS) -> List[ImageInspection]:
    """`look` at many, by as many threads as pay here; `progress` counts them."""
    found = []
    with ThreadPoolExecutor(cpu.threads()) as pool:
        for each in pool.map(lambda path: look(path, whole), paths):
            found.append(each)
            progress.advance()
    return found


def _decoded(path: str, data: Optional[bytes]) -> Tuple[ImageInspection, Optional[Array]]:
    try:
        data = load(path) if data is None else data
        made: DecodedImage = decode(data, path)
    except SourceError as error:
        return ImageInspection(path, problem=str(error)), None
    h, w = made.image.shape[:2]
    return ImageInspection(path, (h, w), _digest(data), warnings=made.warnings), made.image


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _has_end(data: bytes, header: Probe) -> bool:
    """Whether nothing is cut off, where that shows without decoding."""
    return not jpeg.lacks_end(data) if header.kind == "JPEG" else header.kind == "PNG" and b"IEND" in data[-16:]


def _small(data: bytes) -> Optional[Array]:
    """A JPEG's brightness at an eighth of its size, all of its data read; None where something is wrong with it."""
    import simplejpeg

    try:
        grey: Array = simplejpeg.decode_jpeg(data, "GRAY", min_height=_SIDE, min_width=_SIDE + 1, min_factor=1)
    except (ValueError, KeyError):
        return None
    return grey[:, :, 0]


def _shade(grey: Array) -> Optional[Array]:
    """Whether each of 16 x 16 places is brighter than its right neighbour, as bits: (32,) uint8."""
    import cv2

    small = cv2.resize(grey, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    if small.std() < _SHADES:
        return None
    bits: Array = np.packbits(small[:, 1:] > small[:, :-1])
    return bits
