"""Backgrounds of the codes: procedural surfaces, images that scikit-image ships, look-alikes.

Each is made once a process, from its number alone, and then cropped, turned and coloured anew for every scene.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Callable, List, Sequence

import cv2
import numpy as np

from . import lookalikes
from .dice import Dice
from .patterns import N

SURFACES, LOOKALIKES = 300, 324
# Public domain or CC0 by scikit-image's own list; faces (lfw) and images of unclear terms are left out.
_PHOTOS = (
    "astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png coffee.png coins.png grass.png "
    "gravel.png hubble_deep_field.jpg ihc.png moon.png retina.jpg rocket.jpg text.png"
)
PHOTOS = _PHOTOS.split()


def cloud(d: Dice, scale: float, hw: Sequence[int] = (N, N)) -> np.ndarray:
    """Soft noise in 0..1, (h, w) float32, of three octaves whose coarsest blobs are `scale` pixels."""
    total, rng = np.zeros(tuple(hw), np.float32), d.arrays()
    for octave in range(3):
        cells = [max(2, int(n / scale * 2**octave) + 2) for n in hw]
        total += cv2.resize(rng.random(cells, np.float32), (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC) / 2**octave
    return cv2.normalize(total, None, 0, 1, cv2.NORM_MINMAX)


def _coloured(field: np.ndarray, colours: Sequence[Sequence[int]]) -> np.ndarray:
    """A field in 0..1 through a ramp of colours."""
    at = np.linspace(0, 255, len(colours))
    ramp = np.stack([np.interp(np.arange(256), at, [c[i] for c in colours]) for i in range(3)], 1)
    grey = (np.clip(field, 0, 1) * 255).astype(np.uint8)
    return cv2.LUT(cv2.merge([grey] * 3), ramp.astype(np.uint8).reshape(256, 1, 3))


def _grain(d: Dice, amount: float, stretch: float = 1) -> np.ndarray:
    fine = d.arrays().normal(0, amount, (N, max(8, int(N / stretch)))).astype(np.float32)
    return cv2.resize(fine, (N, N), interpolation=cv2.INTER_LINEAR)


def clouds(d: Dice) -> np.ndarray:
    """Anything out of focus: a ramp of up to four colours over soft noise."""
    return _coloured(cloud(d, d.log(20, 400)), [d.colour() for _ in range(d.randint(2, 4))])


def plain(d: Dice) -> np.ndarray:
    """A table top or a wall: one tone, a slow gradient, a little grain."""
    tone = d.tint(d.randint(20, 250), 20)
    return _coloured(0.5 + 0.3 * (cloud(d, 500) - 0.5) + _grain(d, 0.02), [(0, 0, 0), tone, (255, 255, 255)])


def wood(d: Dice) -> np.ndarray:
    """Streaks along x that wander, between two browns."""
    y = np.arange(N, dtype=np.float32)[:, None]
    field = np.sin((y + 60 * cloud(d, 300)) / d.uniform(2, 14)) * 0.3 + 0.5 + _grain(d, 0.12, d.uniform(8, 40))
    tone = d.uniform(0.4, 1.1)
    return _coloured(field, [[int(c * tone) for c in (30, 60, 110)], [int(c * tone) for c in (120, 170, 215)]])


def cardboard(d: Dice) -> np.ndarray:
    """Kraft paper: flutes, fibres."""
    y = np.arange(N, dtype=np.float32)[:, None]
    field = 0.5 + 0.06 * np.sin(y / d.uniform(2, 8)) + _grain(d, 0.05, 6) + 0.2 * (cloud(d, 200) - 0.5)
    tone = d.uniform(0.7, 1.15)
    dark, pale = ([min(255, int(c * tone)) for c in colour] for colour in ((60, 95, 130), (130, 175, 215)))
    return _coloured(field, [dark, pale])


def fabric(d: Dice) -> np.ndarray:
    """A weave of two sines, with folds."""
    y, x = np.indices((N, N), np.float32)
    p, q = d.uniform(1, 5), d.uniform(1, 5)
    field = 0.5 + 0.15 * np.sin(x / p) * np.sin(y / q) + 0.5 * (cloud(d, 150) - 0.5) + _grain(d, 0.05)
    return _coloured(field, [(0, 0, 0), d.colour(20, 230), (255, 255, 255)])


def metal(d: Dice) -> np.ndarray:
    """Brushed or cast metal: streaks and a sheen."""
    x = np.arange(N, dtype=np.float32)[None]
    sheen = 0.2 * np.sin(x / d.uniform(40, 200) + d.uniform(0, 6))
    field = 0.5 + sheen + _grain(d, d.uniform(0.03, 0.12), d.choice((1, 20, 60))) + 0.3 * (cloud(d, 100) - 0.5)
    tone = d.tint(d.randint(90, 200), 15)
    return _coloured(field, [(10, 10, 10), tone, (255, 255, 255)])


def leaves(d: Dice) -> np.ndarray:
    """Grass and foliage: short strokes of many greens."""
    canvas = np.full((N, N, 3), d.colour(20, 90), np.uint8)
    for _ in range(1500):
        x, y = d.randint(0, N), d.randint(0, N)
        colour = (d.randint(10, 80), d.randint(60, 200), d.randint(20, 140))
        cv2.line(canvas, (x, y), (x + d.randint(-15, 15), y - d.randint(3, 25)), colour, d.randint(1, 3), cv2.LINE_AA)
    return canvas


def sky(d: Dice) -> np.ndarray:
    """A vertical gradient with clouds."""
    down = np.linspace(0, 1, N, dtype=np.float32)[:, None]
    return _coloured(0.6 * down + 0.5 * cloud(d, 250), [(200, 130, 60), (235, 190, 140), (255, 250, 245)])


def clutter(d: Dice) -> np.ndarray:
    """A desk full of things, none in focus: boxes, discs and lines over a surface."""
    canvas = d.choice((plain, wood, fabric, clouds))(d)
    for _ in range(d.randint(5, 40)):
        x, y, r = d.randint(0, N), d.randint(0, N), int(d.log(8, 130))
        kind = d.randrange(4)
        if kind == 0:
            cv2.ellipse(canvas, (x, y), (r, d.randint(r // 2 + 1, r)), d.uniform(0, 180), 0, 360, d.colour(), -1)
        elif kind < 3:
            box = cv2.boxPoints(((x, y), (r * d.uniform(0.3, 2), r), d.uniform(0, 180)))
            cv2.fillConvexPoly(canvas, box.astype(np.int32), d.colour(), cv2.LINE_AA)
        else:
            cv2.line(canvas, (x, y), (d.randint(0, N), d.randint(0, N)), d.colour(), d.randint(1, 12), cv2.LINE_AA)
    return cv2.GaussianBlur(canvas, (0, 0), d.log(0.4, 6))


def pile(d: Dice) -> np.ndarray:
    """Things that hide each other, of all sizes, each with a surface of its own: a room, to statistics."""
    kinds = (clouds, plain, wood, fabric, metal, leaves, packaging, photo, photo, photo)
    cloths = [d.choice(kinds)(d) for _ in range(4)]
    canvas = cloths[0].copy()
    for _ in range(d.randint(15, 70)):
        x, y, r = d.randint(0, N), d.randint(0, N), d.log(10, 200)
        mask = np.zeros((N, N), np.uint8)
        if d.chance(0.5):
            cv2.ellipse(mask, (x, y), (int(r), int(r * d.uniform(0.3, 1))), d.uniform(0, 180), 0, 360, (255,), -1)
        else:
            box = cv2.boxPoints(((x, y), (r * d.uniform(0.2, 2), r), d.choice((0, 90, d.uniform(0, 180)))))
            cv2.fillConvexPoly(mask, box.astype(np.int32), (255,), cv2.LINE_AA)
        cloth = cv2.convertScaleAbs(d.choice(cloths), alpha=d.uniform(0.3, 1.3), beta=d.uniform(-20, 60))
        cv2.copyTo(cloth, mask, canvas)
    return cv2.GaussianBlur(canvas, (0, 0), d.log(0.4, 4))


def packaging(d: Dice) -> np.ndarray:
    """Product packaging: bold colours, bands, big letters, an image."""
    canvas = np.full((N, N, 3), d.colour(), np.uint8)
    for _ in range(d.randint(1, 6)):
        y, h = d.randint(0, N), d.randint(10, 160)
        cv2.rectangle(canvas, (d.choice((0, d.randint(0, N))), y), (N, y + h), d.colour(), -1)
        cv2.circle(canvas, (d.randint(0, N), d.randint(0, N)), d.randint(10, 120), d.colour(), -1, cv2.LINE_AA)
    ink = lookalikes.headline(d) if d.chance(0.5) else lookalikes.shapes(d)
    part = ink[:, : d.randint(N // 2, N)]
    canvas[:, : part.shape[1]][part > 128] = d.colour()
    return canvas


def photo(d: Dice) -> np.ndarray:
    """A crop of an image that scikit-image ships; clouds where it is not installed."""
    full = _photo(d.choice(PHOTOS))
    if full is None:
        return clouds(d)
    side = int(min(full.shape[:2]) * d.uniform(0.4, 1))
    x, y = d.randint(0, full.shape[1] - side), d.randint(0, full.shape[0] - side)
    return cv2.resize(full[y : y + side, x : x + side], (N, N), interpolation=cv2.INTER_AREA)


@functools.lru_cache(maxsize=None)
def _photo(name: str) -> np.ndarray | None:
    spec = importlib.util.find_spec("skimage")
    return cv2.imread(str(Path(spec.origin).parent / "data" / name)) if spec and spec.origin else None


KINDS: List[Callable[[Dice], np.ndarray]] = [
    clouds, plain, plain, plain, wood, wood, cardboard, fabric, fabric, metal, leaves, sky, clutter, clutter, clutter,
    packaging, packaging, photo, photo, photo, photo, pile, pile, pile, pile,
]  # fmt: skip


@functools.lru_cache(maxsize=None)
def surface(index: int) -> np.ndarray:
    """Surface `index` of the bank: (N, N, 3) uint8."""
    dice = Dice(f"surface {index}")
    return KINDS[index % len(KINDS)](dice)


def of_kind(d: Dice, *kinds: Callable[[Dice], np.ndarray]) -> np.ndarray:
    """A surface of one of some kinds."""
    places = [i for i, kind in enumerate(KINDS) if kind in kinds]
    return surface(d.randrange(SURFACES // len(KINDS)) * len(KINDS) + d.choice(places))


@functools.lru_cache(maxsize=None)
def lookalike(index: int) -> np.ndarray:
    """Look-alike `index` of the bank: (N, N, 3) uint8."""
    return lookalikes.render(Dice(f"lookalike {index}"))


def view(d: Dice, image: np.ndarray, hw: Sequence[int]) -> np.ndarray:
    """Take some part of a bank image, turned, mirrored and coloured, (h, w, 3) uint8."""
    part = int(image.shape[0] * d.uniform(0.35, 1))
    x, y = d.randint(0, image.shape[1] - part), d.randint(0, image.shape[0] - part)
    patch = cv2.resize(image[y : y + part, x : x + part], (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR)
    turn = d.randrange(8)
    if turn & 1:
        patch = patch[:, ::-1]
    if turn & 2:
        patch = patch[::-1]
    if turn & 4 and hw[0] == hw[1]:
        patch = patch.transpose(1, 0, 2)
    if d.chance(0.3):  # a change of lamp, or of paint
        patch = patch[:, :, d.shuffled((0, 1, 2))]
    patch = np.ascontiguousarray(patch)
    return cv2.convertScaleAbs(patch, alpha=d.uniform(0.4, 1.2), beta=d.uniform(-10, 60)) if d.chance(0.5) else patch


def any_surface(d: Dice, hw: Sequence[int]) -> np.ndarray:
    """A background: a surface, sometimes a look-alike."""
    bank = lookalike(d.randrange(LOOKALIKES)) if d.chance(0.15) else surface(d.randrange(SURFACES))
    return view(d, bank, hw)
