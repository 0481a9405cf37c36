"""Inspect image files: whether they can be read, their size, and fingerprints to find duplicates."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import SourceError
from ...media.sources.decoding import DecodedImage, decode
from ...media.sources.image_probe import Probe, jpeg, probe
from ...media.sources.images import load
from ...options.choices import MAX_PIXELS
from ...system import cpu
from ...system.progress import NO_PROGRESS, Progress
from ...types import Array

_SIDE = 16  # of the brightness differences that near duplicates are known by: 16 x 16 bits
_SHADES = 4  # standard deviation below which an image is too even to be compared


class ImageInspection(NamedTuple):
    """The result of inspecting an image file.

    `hw` is its upright size in pixels, None if it cannot be read: `problem` says why. `digest` is of its bytes.
    `warnings` are non-fatal decoding errors. `shade` (32,) uint8 are the signs of its brightness differences, None
    where they were not requested.
    """

    path: str
    hw: Optional[Tuple[int, int]] = None
    digest: bytes = b""
    problem: str = ""
    warnings: Tuple[str, ...] = ()
    shade: Optional[Array] = None


def read_image(path: str) -> Tuple[ImageInspection, Optional[Array]]:
    """Decode an image file as `run` and `val` do, (H, W, 3) uint8 BGR upright; also return its inspection."""
    return _decode(path, None)


def inspect_image(path: str, decode_fully: bool = True) -> ImageInspection:
    """Look at a file: `whole` decodes it (a JPEG at an eighth of its size), else its header and its end must do."""
    try:
        data = load(path)
    except SourceError as error:
        return ImageInspection(path, problem=str(error))
    header = probe(data) or Probe("")
    sure = not header.doubt and header.frames == 1 and 0 < header.pixels <= MAX_PIXELS and _has_end(data, header)
    small = _small(data) if decode_fully and sure and header.kind == "JPEG" else None
    if small is None and (decode_fully or not sure):
        inspection, image = _decode(path, data)
        return (
            inspection._replace(shade=_shade(image.mean(2).astype(np.uint8)))
            if decode_fully and image is not None
            else inspection
        )
    hw = (header.width, header.height) if header.orientation > 4 else (header.height, header.width)
    return ImageInspection(path, hw, _digest(data), shade=None if small is None else _shade(small))


def inspect_images(
    paths: Sequence[str], decode_fully: bool = True, progress: Progress = NO_PROGRESS
) -> List[ImageInspection]:
    """Inspect many files with as many threads as pay here; `progress` counts them."""
    inspections = []
    with ThreadPoolExecutor(cpu.threads()) as pool:
        for each in pool.map(lambda path: inspect_image(path, decode_fully), paths):
            inspections.append(each)
            progress.advance()
    return inspections


def _decode(path: str, data: Optional[bytes]) -> Tuple[ImageInspection, Optional[Array]]:
    try:
        data = load(path) if data is None else data
        decoded: DecodedImage = decode(data, path)
    except SourceError as error:
        return ImageInspection(path, problem=str(error)), None
    h, w = decoded.image.shape[:2]
    return ImageInspection(path, (h, w), _digest(data), warnings=decoded.warnings), decoded.image


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _has_end(data: bytes, header: Probe) -> bool:
    """Whether the file is complete, as far as can be told without decoding."""
    return not jpeg.lacks_end(data) if header.kind == "JPEG" else header.kind == "PNG" and b"IEND" in data[-16:]


def _small(data: bytes) -> Optional[Array]:
    """Decode a JPEG's brightness at an eighth of its size, reading all of its data; None if it is damaged."""
    import simplejpeg

    try:
        grey: Array = simplejpeg.decode_jpeg(data, "GRAY", min_height=_SIDE, min_width=_SIDE + 1, min_factor=1)
    except (ValueError, KeyError):
        return None
    return grey[:, :, 0]


def _shade(grey: Array) -> Optional[Array]:
    """Fingerprint of 16 x 16 bits, whether each cell is brighter than its right neighbour: (32,) uint8."""
    import cv2

    small = cv2.resize(grey, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    if small.std() < _SHADES:
        return None
    bits: Array = np.packbits(small[:, 1:] > small[:, :-1])
    return bits
