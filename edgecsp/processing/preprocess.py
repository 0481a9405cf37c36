"""Image -> network input, and the geometry that takes boxes back. The only copy of either."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import Dict, Iterator, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import BadModel, SourceError
from ..types import Array, Geometry, Input

GREY = 127  # darknet's letterbox fills with 0.5; 127 / 255 is the nearest byte below
# Floats of an image's rows that fit into a core's cache; the rows below which the calls cost more than what they
# compute; the sides that OpenCV's remap takes.
_BLOCK, _ROWS, _SHORT = 1 << 19, 8, 1 << 15
_buffers = threading.local()  # a thread's scratch memory
# Whose letterbox: the colour, blue first; whether the image is in the middle (or top left); whether its size is rounded
# as Python rounds (or down); how many pixels of each side it leaves in any case. "imagenet" fills with ImageNet's mean,
# which is 0 once normalised.
_LETTERBOXES: Dict[str, Tuple[Union[int, Tuple[int, int, int]], bool, bool, int]] = {
    "darknet": (GREY, True, False, 0), "ultralytics": (114, True, True, 0), "yolox": (114, False, False, 0),
    "imagenet": ((104, 116, 124), False, False, 0), "mit": (114, True, False, 0), "yolonas": (114, True, True, 4),
    "mmdet": (114, False, True, 0),
}  # fmt: skip


def prepare(image: Array, spec: Input, out: Optional[Array] = None) -> Tuple[Array, Geometry]:
    """Convert one image to a batch of one.

    `image` is (H, W, 3) uint8 BGR, any size. Returns ((1, C, h, w) float32, the geometry); `out`, when
    given, is that array and is filled. Raises `SourceError` for anything that is no such image.
    """
    _check(image)
    batch = _batch(spec, out)
    if spec.resize == "darknet":
        return batch, _darknet(image, spec, batch[0])
    laid, geometry = _resize(image, spec)
    _fill(_split(laid), spec, batch[0])
    return batch, geometry


def pixels(image: Array, spec: Input) -> Tuple[Array, Geometry]:
    """Resize one image as bytes, for an engine that does scaling and normalisation itself.

    Returns ((1, h, w, 3) uint8 in the model's colours, the geometry); `has_pixels` says of which inputs.
    """
    import cv2

    _check(image)
    laid, geometry = _resize(image, spec)
    return (cv2.cvtColor(laid, cv2.COLOR_BGR2RGB) if spec.colour == "rgb" else laid)[None], geometry


def has_pixels(spec: Input) -> bool:
    """Whether an input is bytes times `factors`.

    darknet's resize ends between bytes; with a mean an engine may multiply and subtract in one step, which rounds once
    where `prepare` rounds twice.
    """
    return spec.resize != "darknet" and spec.channels == 3 and not any(spec.mean)


def factors(spec: Input) -> Array:
    """Factors that the bytes of the model's channels are multiplied by: (3,) float32."""
    return (spec.scale / np.array(spec.std)).astype(np.float32)


def _check(image: Array) -> None:
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        actual = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise SourceError(f"an image is a (height, width, 3) uint8 BGR array; found {actual}")
    if not image.size:
        raise SourceError(f"the image is empty: {image.shape}")


def _resize(image: Array, spec: Input) -> Tuple[Array, Geometry]:
    if spec.resize == "letterbox":
        return _letterbox(image, spec.hw, spec.letterbox)
    return _LAY[spec.resize](image, spec.hw)


def _batch(spec: Input, out: Optional[Array]) -> Array:
    if spec.channels not in (1, 3):
        raise BadModel(f"an image has 3 channels or, grey, 1; this model takes {spec.channels}")
    shape = (1, spec.channels, *spec.hw)
    batch = np.empty(shape, np.float32) if out is None else out
    if batch.shape != shape or batch.dtype != np.float32:
        raise ValueError(f"out must be float32 {shape}; found {batch.dtype} {batch.shape}")
    return batch


def _darknet(image: Array, spec: Input, target: Array) -> Geometry:
    """Bilinear from corner pixel to corner pixel, in float32: what darknet's resize_image does.

    The half-pixel shift to OpenCV's sampling moves scores by up to 0.1, so golden files need this one. Some rows
    at a time, so that all between the image and `target` stays in the cache and no image is made float as a whole.
    darknet gives the last row no second tap: it is the first one times its share (see `_places`).
    """
    (height, width), (h, w) = image.shape[:2], spec.hw
    blended = _remap if max(height, width, h, w) < _SHORT and _remaps_exactly() else _resize_without_opencv
    for rows, planes in blended(image, spec.hw):
        _fill(planes, spec, target[:, rows])
    return Geometry((w / width, h / height), (0.0, 0.0), (height, width))


def _blocks(height: int, row: int) -> Iterator[slice]:
    """The network's `height` rows, as many at a time as `_BLOCK` floats cover where one of them takes `row` floats."""
    step = max(_ROWS, _BLOCK // row)
    return (slice(begin, min(begin + step, height)) for begin in range(0, height, step))


def _remap(image: Array, hw: Tuple[int, int]) -> Iterator[Tuple[slice, Sequence[Array]]]:
    """Some of the network's rows at a time and their three float32 planes, by OpenCV."""
    import cv2

    (height, width), (h, w) = image.shape[:2], hw
    (down, last), (across, _) = _sample_positions(height, h), _sample_positions(width, w, exact_end=True)
    for rows in _blocks(h, -(-3 * width * height // h)):
        n, top, end = rows.stop - rows.start, int(down[rows.start]), min(height, int(down[rows.stop - 1]) + 2)
        lines, pixels = _scratch("lines", (end - top, width, 3)), _scratch("pixels", (n, w, 3))
        x, y = _scratch("places", (2, n, w))
        x[:], y[:] = across, (down[rows] - np.float32(top))[:, None]
        np.copyto(lines, image[top:end])
        cv2.remap(lines, x, y, cv2.INTER_LINEAR, dst=pixels, borderMode=cv2.BORDER_REPLICATE)
        if rows.stop == h:
            pixels[-1] *= last
        planes = list(_scratch("planes", (3, n, w)))
        cv2.split(pixels, planes)
        yield rows, planes


def _scratch(name: str, shape: Tuple[int, ...]) -> Array:
    """Float32 memory of this thread's, for the moment: fresh memory costs more page by page than what is computed."""
    size = math.prod(shape)
    buffer: Optional[Array] = getattr(_buffers, name, None)
    if buffer is None or buffer.size < size:
        buffer = np.empty(size, np.float32)
        setattr(_buffers, name, buffer)
    return buffer[:size].reshape(shape)


@lru_cache(maxsize=1)
def _remaps_exactly() -> bool:
    """Whether this OpenCV's remap samples where it is told; before 5 it did so on a grid of 1/32 pixel."""
    import cv2

    ramp = np.arange(64, dtype=np.float32).reshape(8, 8)
    at = np.array([[0.3, 1.7, 6.99, 3.501]], np.float32)
    # Two arrays: given one twice, OpenCV 5.0 reads the second's values where they are not.
    sampled = cv2.remap(
        np.repeat(ramp[:, :, None], 3, 2), at, at.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return bool(np.abs(sampled[0] - 9 * at[0, :, None]).max() < 1e-4)


def _resize_without_opencv(image: Array, hw: Tuple[int, int]) -> Iterator[Tuple[slice, Sequence[Array]]]:
    """The same without OpenCV: rows are blended first, then columns, taken channel by channel."""
    (height, width), (h, w) = image.shape[:2], hw
    (down, last), (across, _) = _sample_positions(height, h), _sample_positions(width, w, exact_end=True)
    (top, bottom, dy), (left, right, dx) = _taps(down, height), _taps(across, width)
    channels, lines = np.arange(3)[:, None], image.reshape(height, 3 * width)
    for rows in _blocks(h, 24 * width):  # numpy passes over it often: a block must fit into the cache's first level
        above, below = lines[top[rows]].astype(np.float32), lines[bottom[rows]].astype(np.float32)
        _blend(above, below, dy[rows, None])
        if rows.stop == h:
            above[-1] *= last
        first, second = (above.take((3 * taken + channels).ravel(), 1) for taken in (left, right))
        _blend(first, second, np.tile(dx, 3))
        yield rows, list(first.reshape(-1, 3, w).transpose(1, 0, 2))


def _blend(first: Array, second: Array, share: Array) -> None:
    """first + (second - first) * share, into `first`; `second` is used up."""
    np.subtract(second, first, out=second)
    np.multiply(second, share, out=second)
    np.add(first, second, out=first)


@lru_cache(maxsize=32)
def _sample_positions(length: int, target: int, exact_end: bool = False) -> Tuple[Array, np.float32]:
    """Where each of `wanted` places lies in `length` pixels, in float32 as darknet does it, and the last one's share.

    darknet sets the last column to the last pixel (`exact_end`). The last row it computes as any other, but leaves out
    the second tap. Where rounding puts it at 478.99997 instead of 479, the row is pixel row 478 times 0.00003: black.
    """
    scale = np.float32(length - 1) / np.float32(max(1, target - 1))
    at: Array = np.arange(target, dtype=np.float32) * scale
    end = np.float32(length - 1) if exact_end else np.floor(at[-1])
    last = np.float32(1) - (at[-1] - end)
    at[-1] = end
    at.flags.writeable = False  # it is kept, and given to every thread that asks
    return at, last


def _taps(at: Array, length: int) -> Tuple[Array, Array, Array]:
    """For each place in `length` pixels: the two source pixels and how far it lies towards the second."""
    first = at.astype(np.intp)
    return first, np.minimum(first + 1, length - 1), at - first.astype(np.float32)


def _stretch(image: Array, hw: Tuple[int, int]) -> Tuple[Array, Geometry]:
    import cv2

    height, width = image.shape[:2]
    pixels = cv2.resize(image, (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR)
    return pixels, Geometry((hw[1] / width, hw[0] / height), (0.0, 0.0), (height, width))


def _letterbox(image: Array, hw: Tuple[int, int], whose: str) -> Tuple[Array, Geometry]:
    import cv2

    colour, centred, rounded, margin = _LETTERBOXES[whose]
    height, width = image.shape[:2]
    inner = (max(1, hw[0] - margin), max(1, hw[1] - margin))
    if rounded:
        # ultralytics' own float and rounding: halves go to the even side, where the product is one at all.
        ratio = min(inner[0] / height, inner[1] / width)
        h, w = (max(1, round(side * ratio)) for side in (height, width))
    else:
        # Whole numbers: int(49 * (640 / 49)) is 639, and a line of grey where the image should end.
        over, under = (inner[1], width) if inner[1] * height <= inner[0] * width else (inner[0], height)
        h, w = (max(1, side * over // under) for side in (height, width))
    top, left = ((hw[0] - h) // 2, (hw[1] - w) // 2) if centred else (0, 0)
    pixels = np.full((*hw, 3), colour, np.uint8)
    cv2.resize(image, (w, h), dst=pixels[top : top + h, left : left + w], interpolation=cv2.INTER_LINEAR)
    # The scale of the pixels actually made, not the ratio asked for: rounding to whole pixels moves boxes.
    return pixels, Geometry((w / width, h / height), (float(left), float(top)), (height, width))


def _crop(image: Array, hw: Tuple[int, int]) -> Tuple[Array, Geometry]:
    import cv2

    height, width = image.shape[:2]
    scale = max(hw[0] / height, hw[1] / width)
    h, w = max(hw[0], round(height * scale)), max(hw[1], round(width * scale))
    top, left = (h - hw[0]) // 2, (w - hw[1]) // 2
    # Cut first, then scale: a 10000 x 20 image must not become a gigabyte on the way.
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
    for plane, filled, factor, mean, std in zip(planes, target, factors(spec), spec.mean, spec.std):
        np.multiply(plane, factor, out=filled)
        if mean:
            np.subtract(filled, np.float32(mean / std), out=filled)
