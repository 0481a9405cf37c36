"""Picture -> network input, and the geometry that takes boxes back. The only copy of either."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from .core import Array, Geometry, Input
from .errors import BadModel, SourceError

GREY = 127  # darknet's letterbox fills with 0.5; 127 / 255 is the nearest byte below
# Whose letterbox: the grey, whether the picture is in the middle (or top left), whether its size is rounded to
# the nearest pixel (or down).
_LETTERBOXES = {"darknet": (GREY, True, False), "ultralytics": (114, True, True), "yolox": (114, False, False)}


def prepare(image: Array, spec: Input, out: Optional[Array] = None) -> Tuple[Array, Geometry]:
    """One picture as a batch of one.

    `image` is (H, W, 3) uint8 BGR, any size. Returns ((1, C, h, w) float32, the geometry); `out`, when
    given, is that array and is filled. Raises `SourceError` for anything that is no such picture.
    """
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise SourceError(f"a picture is a (height, width, 3) uint8 BGR array; found {found}")
    if not image.size:
        raise SourceError(f"the picture is empty: {image.shape}")
    if spec.resize == "letterbox":
        pixels, geometry = _letterbox(image, spec.hw, spec.letterbox)
    else:
        pixels, geometry = _LAY[spec.resize](image, spec.hw)
    return _planes(pixels, spec, out), geometry


def _darknet(image: Array, hw: Tuple[int, int]) -> Tuple[Array, Geometry]:
    """Bilinear from corner pixel to corner pixel, in float: what darknet's resize_image does.

    The half-pixel shift to OpenCV's sampling moves scores by up to 0.1, so golden files need this one.
    Rows first: only the rows that are used are ever made float.
    """
    height, width = image.shape[:2]
    top, bottom, dy = _taps(height, hw[0])
    left, right, dx = _taps(width, hw[1])
    rows = image[top].astype(np.float32)
    rows += (image[bottom] - rows) * dy[:, None, None]
    pixels = np.take(rows, left, 1)
    pixels += (np.take(rows, right, 1) - pixels) * dx[None, :, None]
    return pixels, Geometry((hw[1] / width, hw[0] / height), (0.0, 0.0), (height, width))


def _taps(length: int, wanted: int) -> Tuple[Array, Array, Array]:
    """For each of `wanted` places: the two source pixels and how far it lies towards the second."""
    at = np.arange(wanted) * ((length - 1) / max(1, wanted - 1))
    first = at.astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (at - first).astype(np.float32)


def _stretch(image: Array, hw: Tuple[int, int]) -> Tuple[Array, Geometry]:
    import cv2

    height, width = image.shape[:2]
    pixels = cv2.resize(image, (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR)
    return pixels, Geometry((hw[1] / width, hw[0] / height), (0.0, 0.0), (height, width))


def _letterbox(image: Array, hw: Tuple[int, int], whose: str) -> Tuple[Array, Geometry]:
    import cv2

    grey, centred, nearest = _LETTERBOXES[whose]
    height, width = image.shape[:2]
    # Whole numbers: int(49 * (640 / 49)) is 639, and a line of grey where the picture should end.
    over, under = (hw[1], width) if hw[1] * height <= hw[0] * width else (hw[0], height)
    half = under // 2 if nearest else 0
    h, w = (max(1, (side * over + half) // under) for side in (height, width))
    top, left = ((hw[0] - h) // 2, (hw[1] - w) // 2) if centred else (0, 0)
    pixels = np.full((*hw, 3), grey, np.uint8)
    cv2.resize(image, (w, h), dst=pixels[top : top + h, left : left + w], interpolation=cv2.INTER_LINEAR)
    # The scale of the pixels actually made, not the ratio asked for: rounding to whole pixels moves boxes.
    return pixels, Geometry((w / width, h / height), (float(left), float(top)), (height, width))


def _crop(image: Array, hw: Tuple[int, int]) -> Tuple[Array, Geometry]:
    import cv2

    height, width = image.shape[:2]
    scale = max(hw[0] / height, hw[1] / width)
    h, w = max(hw[0], round(height * scale)), max(hw[1], round(width * scale))
    top, left = (h - hw[0]) // 2, (w - hw[1]) // 2
    # Cut first, then scale: a 10000 x 20 picture must not become a gigabyte on the way.
    x0, x1 = left * width // w, -(-(left + hw[1]) * width // w)
    y0, y1 = top * height // h, -(-(top + hw[0]) * height // h)
    pixels = cv2.resize(image[y0:y1, x0:x1], (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR)
    scale_xy = (hw[1] / (x1 - x0), hw[0] / (y1 - y0))
    return pixels, Geometry(scale_xy, (-x0 * scale_xy[0], -y0 * scale_xy[1]), (height, width))


_LAY = {"darknet": _darknet, "stretch": _stretch, "crop": _crop}


def _planes(pixels: Array, spec: Input, out: Optional[Array]) -> Array:
    """(h, w, 3) BGR, uint8 or float32 of its range -> (1, C, h, w) float32, the model's colours and scale."""
    import cv2

    if spec.channels not in (1, 3):
        raise BadModel(f"a picture has 3 channels or, grey, 1; this model takes {spec.channels}")
    shape = (1, spec.channels, *spec.hw)
    batch = np.empty(shape, np.float32) if out is None else out
    if batch.shape != shape or batch.dtype != np.float32:
        raise ValueError(f"out must be float32 {shape}; found {batch.dtype} {batch.shape}")
    if spec.channels == 1:
        planes = [cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)]
    else:
        planes = list(cv2.split(pixels))
        planes = planes[::-1] if spec.colour == "rgb" else planes
    for plane, target, mean, std in zip(planes, batch[0], spec.mean, spec.std):
        np.multiply(plane, np.float32(spec.scale / std), out=target)
        if mean:
            np.subtract(target, np.float32(mean / std), out=target)
    return batch
