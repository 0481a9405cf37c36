"""Effects of light, lens, sensor and file format on an image; everything is 8 bit and cheap."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

from .dice import Dice


def light(d: Dice, image: np.ndarray) -> np.ndarray:
    """Uneven light: a gradient, soft blobs, shadows with an edge, darker corners."""
    h, w = image.shape[:2]
    n = 32
    field = np.ones((n, n), np.float32)
    y, x = np.indices((n, n), np.float32) / (n - 1) - 0.5
    if d.chance(0.5):
        a, strength = d.uniform(0, 2 * math.pi), d.uniform(0, 0.9)
        field += strength * (x * math.cos(a) + y * math.sin(a))
    if d.chance(0.25):
        field *= 1 - d.uniform(0.2, 1) * (x * x + y * y)
    field = cv2.resize(field, (w, h), interpolation=cv2.INTER_LINEAR)
    if d.chance(0.2):
        field *= _shadow(d, h, w)
    return cv2.multiply(image, cv2.merge([field] * 3), dtype=cv2.CV_8U)


def _shadow(d: Dice, h: int, w: int) -> np.ndarray:
    """The shadow of a hand or a frame: a polygon, blurred."""
    small = np.ones((h // 4, w // 4), np.float32)
    cx, cy, r = d.uniform(0, w / 4), d.uniform(0, h / 4), d.uniform(0.1, 0.5) * w / 2
    corners = [(cx + r * math.cos(a) * d.uniform(0.4, 2), cy + r * math.sin(a) * d.uniform(0.4, 2)) for a in range(6)]
    cv2.fillPoly(small, [np.array(corners, np.int32)], (d.uniform(0.3, 0.8),))
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), d.log(0.4, 6)), (w, h), interpolation=cv2.INTER_LINEAR)


def glare(d: Dice, image: np.ndarray) -> np.ndarray:
    """A lamp's reflection: a burnt spot or band with a soft rim."""
    h, w = image.shape[:2]
    small = np.zeros((h // 4, w // 4), np.uint8)
    for _ in range(d.randint(1, 3)):
        at = (d.randint(0, w // 4), d.randint(0, h // 4))
        size = (max(1, int(d.log(2, 0.2 * w))), max(1, int(d.log(1, 0.04 * h))))
        cv2.ellipse(small, at, size, d.uniform(0, 180), 0, 360, (d.randint(120, 255),), -1)
    small = cv2.GaussianBlur(small, (0, 0), d.log(1, 8))
    return cv2.add(image, cv2.merge([cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)] * 3))


def screen_pixels(d: Dice, image: np.ndarray) -> np.ndarray:
    """A display seen by a camera: lines of its pixels, beating with the camera's."""
    h, w = image.shape[:2]
    y, x = np.ogrid[:h, :w]
    a, b = d.log(0.2, 3), d.log(0.2, 3)
    wave = np.sin((x + d.uniform(-0.3, 0.3) * y) * a).astype(np.float32) + np.sin(y * b)
    field = (1 + d.uniform(0.02, 0.12) * wave).astype(np.float32)
    return cv2.multiply(image, cv2.merge([field] * 3), dtype=cv2.CV_8U)


def tones(d: Dice, image: np.ndarray) -> np.ndarray:
    """Exposure, contrast, gamma and white balance in one table."""
    x = np.linspace(0, 1, 256, dtype=np.float32)
    gamma = d.log(0.55, 1.8) if d.chance(0.5) else 1.0
    low = d.uniform(0, 0.3) if d.chance(0.25) else 0.0
    high = d.uniform(max(low + 0.2, 0.4), 1) if d.chance(0.3) else d.uniform(0.9, 1.15)
    columns = []
    for _ in range(3):
        cast = d.uniform(0.85, 1.12) if d.chance(0.6) else 1.0
        columns.append(np.clip((low + (high - low) * x**gamma) * cast, 0, 1))
    if d.chance(0.08):  # grey images: scanners, old webcams, night mode
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        columns = [columns[0]] * 3
    return cv2.LUT(image, (np.stack(columns, 1) * 255).astype(np.uint8).reshape(256, 1, 3))


def blur(d: Dice, image: np.ndarray) -> np.ndarray:
    """Out of focus, or moved while the shutter was open; strength goes with the image's side."""
    side = math.sqrt(image.shape[0] * image.shape[1])
    kind = d.random()
    if kind < 0.45:
        return cv2.GaussianBlur(image, (0, 0), d.log(0.3, 0.0085 * side))
    if kind < 0.7:
        n = 2 * int(d.log(1, 0.011 * side)) + 1
        disc = np.zeros((n, n), np.float32)
        cv2.circle(disc, (n // 2, n // 2), n // 2, (1,), -1, cv2.LINE_AA)
        return cv2.filter2D(image, -1, disc / max(1.0, float(disc.sum())))
    n, angle = 2 * int(d.log(1, 0.022 * side)) + 1, d.uniform(0, math.pi)
    path = np.zeros((n, n), np.float32)
    dx, dy = n / 2 * math.cos(angle), n / 2 * math.sin(angle)
    cv2.line(path, (round(n / 2 - dx), round(n / 2 - dy)), (round(n / 2 + dx), round(n / 2 + dy)), (1,), 1)
    return cv2.filter2D(image, -1, path / max(1.0, float(path.sum())))


@functools.lru_cache(maxsize=1)
def _noise() -> np.ndarray:
    """Gaussian noise of deviation 32, int16, larger than any image: a scene takes a part of it."""
    return (np.random.default_rng(7).standard_normal((1024, 1024, 3)) * 32).astype(np.int16)


def noise(d: Dice, image: np.ndarray, sigma: float) -> np.ndarray:
    """Sensor noise; coarse-grained when the image was scaled up, of one colour or of three."""
    h, w = image.shape[:2]
    bank = _noise()
    coarse = max(d.choice((1, 1, 2, 3)), math.ceil(max(h, w) / 1000))
    y, x = d.randint(0, 1024 - h // coarse - 1), d.randint(0, 1024 - w // coarse - 1)
    part = bank[y : y + h // coarse + 1, x : x + w // coarse + 1]
    if coarse > 1:
        part = cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR)
    part = part[:h, :w]
    if d.chance(0.3):
        part = cv2.merge([np.ascontiguousarray(part[:, :, 0])] * 3)
    return cv2.addWeighted(image.astype(np.int16), 1, part, sigma / 32, 0).clip(0, 255).astype(np.uint8)


def shrunk(d: Dice, image: np.ndarray) -> np.ndarray:
    """Down and up again: small webcams, digital zoom, thumbnails."""
    h, w = image.shape[:2]
    factor = d.log(0.3, 0.95)
    size = (max(8, int(w * factor)), max(8, int(h * factor)))
    small = cv2.resize(image, size, interpolation=d.choice((cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_AREA)))
    return cv2.resize(small, (w, h), interpolation=d.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)))


def sharpened(d: Dice, image: np.ndarray) -> np.ndarray:
    """The halos of cheap cameras."""
    soft = cv2.GaussianBlur(image, (0, 0), d.uniform(0.7, 1.6))
    amount = d.uniform(0.3, 1.5)
    return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)


def jpeg(d: Dice, image: np.ndarray) -> np.ndarray:
    """Through a JPEG of any quality."""
    quality = int(d.log(12, 95))
    decoded = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def taken(d: Dice, image: np.ndarray, clean: bool = False) -> np.ndarray:
    """The whole way from the scene to the file; `clean` images (scans, renderings) skip most of it."""
    if clean:
        return jpeg(d, image) if d.chance(0.4) else image
    steps = (
        (light, 0.55), (glare, 0.1), (tones, 0.75), (blur, 0.5), (shrunk, 0.3),
        (lambda dice, x: noise(dice, x, dice.log(1, 22)), 0.5), (sharpened, 0.15), (jpeg, 0.6),
    )  # fmt: skip
    for step, p in steps:
        if d.chance(p):
            image = step(d, image)
    return image
