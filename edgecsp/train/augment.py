"""Augmentation of labelled images: mosaic, mixup, scale, shift, flip, colour.

Every function takes and returns a `Sample` and its own random generator, so that sample k of a run is a function of
the run's seed and k alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from ..types import Array

GREY = (114, 114, 114)
SMALLEST = 2  # pixels: narrower boxes are no labels


class Sample(NamedTuple):
    """An image (h, w, 3) uint8 BGR, its boxes (N, 4) float32 xyxy in pixels, their classes (N,) int64.

    `confidence` (N,) float32 is how sure the labels are: 1 for people's, a teacher's score, 0 for an ignored region,
    which teaches neither that something is there nor that nothing is.
    """

    image: Array
    boxes: Array
    ids: Array
    confidence: Array


@dataclass(frozen=True)
class Augment:
    """The strength of the augmentation; each is off at 0.

    `mosaic`, `mixup` and `flip` are probabilities, `scale` and `shift` shares of the side, `hue`, `saturation` and
    `value` shares of their range.
    """

    mosaic: float = 0.8
    mixup: float = 0.0
    scale: float = 0.5
    shift: float = 0.1
    flip: float = 0.5
    hue: float = 0.015
    saturation: float = 0.6
    value: float = 0.4

    def without_mosaic(self) -> Augment:
        """The same for the last epochs: single images, hardly scaled."""
        return replace(self, mosaic=0.0, mixup=0.0, scale=min(self.scale, 0.3))


def sample(
    get: Callable[[int], Sample], index: int, count: int, side: int, how: Augment, rng: np.random.Generator
) -> Sample:
    """Image `index` of `count`, augmented, at `side` x `side`; `get` reads one at its own size."""
    augmented = _arranged(get, index, count, side, how, rng)
    if how.mixup and rng.random() < how.mixup:
        augmented = _mixed(augmented, _arranged(get, int(rng.integers(count)), count, side, how, rng), rng)
    if how.flip and rng.random() < how.flip:
        boxes = augmented.boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32) + np.array(
            [side, 0, side, 0], np.float32
        )
        augmented = augmented._replace(image=np.ascontiguousarray(augmented.image[:, ::-1]), boxes=boxes)
    return augmented._replace(image=_colour(augmented.image, how, rng))


def _arranged(
    get: Callable[[int], Sample], index: int, count: int, side: int, how: Augment, rng: np.random.Generator
) -> Sample:
    if how.mosaic and rng.random() < how.mosaic:
        others = [index, *(int(i) for i in rng.integers(0, count, 3))]
        return _mosaic([get(i) for i in others], side, how, rng)
    return _single(get(index), side, how, rng)


def _mixed(one: Sample, other: Sample, rng: np.random.Generator) -> Sample:
    """Blend two images, about half of each, and keep the boxes of both (Zhang et al. 2018; beta as in YOLOX)."""
    share = float(rng.beta(8, 8))
    image = cv2.addWeighted(one.image, share, other.image, 1 - share, 0)
    return Sample(image, *(np.concatenate(pair) for pair in zip(one[1:], other[1:])))


def stretch(one: Sample, side: int) -> Sample:
    """A sample at `side` x `side` regardless of its aspect, as the models here see images."""
    h, w = one.image.shape[:2]
    if (h, w) == (side, side):
        return one
    smaller = side < h and side < w
    image = cv2.resize(one.image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return one._replace(image=image, boxes=one.boxes * np.array([side / w, side / h] * 2, np.float32))


def _single(one: Sample, side: int, how: Augment, rng: np.random.Generator) -> Sample:
    h, w = one.image.shape[:2]
    zoom = _zoom(how.scale, rng)
    sx, sy = side / w * zoom * _zoom(how.scale / 4, rng), side / h * zoom * _zoom(how.scale / 4, rng)
    free = np.array([side - w * sx, side - h * sy])
    # An image that is smaller than the square lies anywhere in it; of one that is larger any part is seen.
    middle = free / 2 + np.abs(free) / 2 * rng.uniform(-1, 1, 2) + side * how.shift * rng.uniform(-1, 1, 2)
    return _placed([(one, sx, sy, middle[0], middle[1], (0, 0, side, side))], side)


def _mosaic(parts: Sequence[Sample], side: int, how: Augment, rng: np.random.Generator) -> Sample:
    """Four images around a point; each is scaled, and cut where its quarter ends."""
    x, y = (int(side * rng.uniform(0.3, 0.7)) for _ in range(2))
    quarters = ((0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side))
    placed = []
    for i, (one, (x0, y0, x1, y1)) in enumerate(zip(parts, quarters)):
        h, w = one.image.shape[:2]
        zoom = 0.75 * _zoom(how.scale, rng)
        sx, sy = side / w * zoom * _zoom(how.scale / 4, rng), side / h * zoom * _zoom(how.scale / 4, rng)
        left = x1 - w * sx if i % 2 == 0 else x0
        top = y1 - h * sy if i < 2 else y0
        placed.append((one, sx, sy, left, top, (x0, y0, x1, y1)))
    return _placed(placed, side)


def _zoom(strength: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(-1, 1) * np.log1p(strength))) if strength else 1.0


_Part = Tuple[Sample, float, float, float, float, Tuple[int, int, int, int]]


def _placed(parts: Sequence[_Part], side: int) -> Sample:
    """Draw (sample, scale x, scale y, left, top, window) each into its window of a grey square."""
    out = np.full((side, side, 3), GREY[0], np.uint8)
    boxes: List[Array] = []
    ids: List[Array] = []
    confidence: List[Array] = []
    for one, sx, sy, left, top, (x0, y0, x1, y1) in parts:
        matrix = np.array([[sx, 0, left - x0 + (sx - 1) / 2], [0, sy, top - y0 + (sy - 1) / 2]])
        image = _shrunk(one.image, sx, sy, matrix)
        out[y0:y1, x0:x1] = cv2.warpAffine(
            image, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=GREY
        )
        moved = one.boxes * np.array([sx, sy] * 2, np.float32) + np.array([left, top] * 2, np.float32)
        clipped = np.clip(moved, (x0, y0) * 2, (x1, y1) * 2).astype(np.float32)
        stays = _visible(moved, clipped, one.confidence <= 0)
        boxes.append(clipped[stays])
        ids.append(one.ids[stays])
        confidence.append(one.confidence[stays])
    return Sample(out, np.concatenate(boxes), np.concatenate(ids), np.concatenate(confidence))


def _shrunk(image: Array, sx: float, sy: float, matrix: Array) -> Array:
    """Halve an image that is drawn much smaller, so that the bilinear warp does not alias; `matrix` is mended."""
    while min(1 / sx, 1 / sy) >= 2:
        h, w = image.shape[:2]
        if min(h, w) < 4:
            break
        image = cv2.resize(image, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        fx, fy = w / (w // 2), h / (h // 2)
        matrix[0, 2] += matrix[0, 0] * (fx - 1) / 2
        matrix[1, 2] += matrix[1, 1] * (fy - 1) / 2
        matrix[0, 0] *= fx
        matrix[1, 1] *= fy
        sx, sy = sx * fx, sy * fy
    return image


def _visible(before: Array, after: Array, ignored: Array) -> Array:
    """Boxes of which enough is left to tell what they are; of ignored regions any part counts."""
    old, new = (b[:, 2:] - b[:, :2] for b in (before, after))
    share = new.prod(1) / np.maximum(old.prod(1), 1e-9)
    visible: Array = (new.min(1) >= SMALLEST) & ((share >= 0.25) | ignored)
    return visible


def _colour(image: Array, how: Augment, rng: np.random.Generator) -> Array:
    if not (how.hue or how.saturation or how.value):
        return image
    gains = 1 + rng.uniform(-1, 1, 3) * (how.hue, how.saturation, how.value)
    ramp = np.arange(256)
    hue = ((ramp * gains[0]) % 180).astype(np.uint8)
    saturation, value = (np.clip(ramp * gain, 0, 255).astype(np.uint8) for gain in gains[1:])
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    table = np.stack((hue, saturation, value), -1).reshape(256, 1, 3)
    coloured: Array = cv2.cvtColor(cv2.LUT(planes, table), cv2.COLOR_HSV2BGR)
    return coloured
