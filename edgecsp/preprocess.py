"""Picture -> network input, and the geometry that takes boxes back. The only copy of either."""

from __future__ import annotations

from functools import lru_cache
from typing import Optional, Sequence, Tuple

import numpy as np

from .core import Array, Geometry, Input
from .errors import BadModel, SourceError

GREY = 127  # darknet's letterbox fills with 0.5; 127 / 255 is the nearest byte below
# Floats of a block of rows, a few of which fit into a core's cache; and the rows below which numpy's calls cost more
# than what they compute.
_BLOCK, _ROWS = 1 << 16, 16
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
    batch = _batch(spec, out)
    if spec.resize == "darknet":
        return batch, _darknet(image, spec, batch[0])
    if spec.resize == "letterbox":
        pixels, geometry = _letterbox(image, spec.hw, spec.letterbox)
    else:
        pixels, geometry = _LAY[spec.resize](image, spec.hw)
    _fill(_split(pixels), spec, batch[0])
    return batch, geometry


def _batch(spec: Input, out: Optional[Array]) -> Array:
    if spec.channels not in (1, 3):
        raise BadModel(f"a picture has 3 channels or, grey, 1; this model takes {spec.channels}")
    shape = (1, spec.channels, *spec.hw)
    batch = np.empty(shape, np.float32) if out is None else out
    if batch.shape != shape or batch.dtype != np.float32:
        raise ValueError(f"out must be float32 {shape}; found {batch.dtype} {batch.shape}")
    return batch


def _darknet(image: Array, spec: Input, target: Array) -> Geometry:
    """Bilinear from corner pixel to corner pixel, in float: what darknet's resize_image does.

    The half-pixel shift to OpenCV's sampling moves scores by up to 0.1, so golden files need this one. Some rows
    at a time, so that all between the picture and `target` stays in the cache: rows are blended first, then columns,
    which are taken channel by channel, so that no picture is ever turned from pixels into planes.
    """
    (height, width), (h, w) = image.shape[:2], spec.hw
    top, bottom, dy = _taps(height, h)
    left, right, dx = _columns(width, w)
    lines = image.reshape(height, 3 * width)
    step = min(h, max(_ROWS, _BLOCK // (3 * width)))
    bytes_, (above, below) = np.empty((step, 3 * width), np.uint8), np.empty((2, step, 3 * width), np.float32)
    first, second = np.empty((2, step, 3 * w), np.float32)
    for begin in range(0, h, step):
        rows = slice(begin, min(begin + step, h))
        n = rows.stop - begin
        for taken, floats in ((top, above), (bottom, below)):
            lines.take(taken[rows], 0, out=bytes_[:n], mode="clip")  # the other mode makes a copy of what it gives
            np.copyto(floats[:n], bytes_[:n])
        _blend(above[:n], below[:n], dy[rows, None])
        above[:n].take(left, 1, out=first[:n], mode="clip")
        above[:n].take(right, 1, out=second[:n], mode="clip")
        _blend(first[:n], second[:n], dx)
        _fill(first[:n].reshape(n, 3, w).transpose(1, 0, 2), spec, target[:, rows])
    return Geometry((w / width, h / height), (0.0, 0.0), (height, width))


def _blend(first: Array, second: Array, share: Array) -> None:
    """first + (second - first) * share, into `first`; `second` is used up."""
    np.subtract(second, first, out=second)
    np.multiply(second, share, out=second)
    np.add(first, second, out=first)


@lru_cache(maxsize=32)
def _taps(length: int, wanted: int) -> Tuple[Array, Array, Array]:
    """For each of `wanted` places: the two source pixels and how far it lies towards the second."""
    at = np.arange(wanted) * ((length - 1) / max(1, wanted - 1))
    first = at.astype(np.intp)
    return _locked(first, np.minimum(first + 1, length - 1), (at - first).astype(np.float32))


@lru_cache(maxsize=32)
def _columns(width: int, wanted: int) -> Tuple[Array, Array, Array]:
    """`_taps` of a line of BGR pixels, for all places of its first channel, then of its second and third."""
    left, right, dx = _taps(width, wanted)
    channels = np.arange(3)[:, None]
    return _locked((3 * left + channels).ravel(), (3 * right + channels).ravel(), np.tile(dx, 3))


def _locked(first: Array, second: Array, share: Array) -> Tuple[Array, Array, Array]:
    for array in (first, second, share):
        array.flags.writeable = False  # they are kept, and given to every thread that asks
    return first, second, share


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


_LAY = {"stretch": _stretch, "crop": _crop}


def _split(pixels: Array) -> Sequence[Array]:
    import cv2

    planes: Sequence[Array] = cv2.split(pixels)
    return planes


def _fill(planes: Sequence[Array], spec: Input, target: Array) -> None:
    """Three (n, w) planes, blue first, uint8 or float32 of its range -> (C, n, w) in the model's colours and scale."""
    if spec.channels == 1:
        import cv2

        planes = [cv2.cvtColor(cv2.merge(list(planes)), cv2.COLOR_BGR2GRAY)]
    elif spec.colour == "rgb":
        planes = planes[::-1]
    for plane, filled, mean, std in zip(planes, target, spec.mean, spec.std):
        np.multiply(plane, np.float32(spec.scale / std), out=filled)
        if mean:
            np.subtract(filled, np.float32(mean / std), out=filled)
