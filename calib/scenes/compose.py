"""Composition of an image: one card, several, a scan, or no code at all."""

from __future__ import annotations

import math
from typing import Callable, Mapping, Sequence, Tuple

import numpy as np

from . import backgrounds, camera, cards, plates, warp
from .canvas import Scene
from .cards import Card
from .dice import Dice
from .paper import Sheet
from .prints import resized, stamp
from .symbols import maxicode, symbol
from .warp import Frame


def one(s: Scene) -> None:
    """One card: what a person with a phone photographs. From far away to closer than fits."""
    d = s.d
    share = d.pick([(d.uniform(0.3, 0.98), 0.56), (d.log(0.04, 0.35), 0.2), (d.uniform(0.85, 1.5), 0.24)])
    card = plates.design(d, cards.any_class(d))
    if card.many:  # its symbols are a fraction of it, and must not become specks
        share = max(share, d.uniform(0.5, 1.1))
    if d.chance(0.1):
        _cut_out(s, card)
    s.put(card, share, centre_of(d, share))


def _cut_out(s: Scene, card: Card) -> None:
    """An image that somebody cropped round the card: as wide and as high as that is.

    Only where the image is stretched anyway; one that keeps its aspect ratio has its size already.
    """
    if s.frame.hw[0] == s.frame.hw[1]:
        s.frame = Frame(s.frame.hw, min(6.0, max(0.2, card.w / card.h * s.d.log(0.7, 1.4))))


def centre_of(d: Dice, share: float) -> Tuple[float, float]:
    """Choose the middle so that the symbol is inside, or now and then cut off by a border."""
    room = max(0.0, 1 - share) / 2 + (0.12 if d.chance(0.15) else 0.0)
    return 0.5 + d.uniform(-room, room), 0.5 + d.uniform(-room, room)


def several(s: Scene) -> None:
    """Two to a dozen cards side by side, each its own way up; some carry no code."""
    d = s.d
    columns, rows = d.choice(((1, 2), (2, 1), (2, 2), (3, 2), (2, 3), (3, 3), (4, 3)))
    for i in range(columns * rows):
        if d.chance(0.1):
            continue
        centre = ((i % columns + d.uniform(0.4, 0.6)) / columns, (i // columns + d.uniform(0.4, 0.6)) / rows)
        card = plates.lookalike(d) if d.chance(0.2) else plates.design(d, cards.any_class(d), single=True)
        fill = min(card.main[2] / card.w, card.main[3] / card.h)
        share = min(d.uniform(0.5, 0.95), 1.3 * max(fill, 0.25)) / max(columns, rows)
        s.put(card, share, centre)


def without(s: Scene) -> None:
    """No code at all: backgrounds, look-alikes that fill the frame, cards without a code."""
    d = s.d
    if d.chance(0.5):
        s.image = backgrounds.view(d, backgrounds.lookalike(d.randrange(backgrounds.LOOKALIKES)), s.frame.hw)
    for _ in range(d.choice((0, 0, 0, 1, 1, 2, 4))):
        s.put(plates.lookalike(d), d.log(0.1, 1.2), (d.random(), d.random()))
    if d.chance(0.012):
        s.put(_maxicode(d), d.uniform(0.2, 0.8), (0.5, 0.5))


def _maxicode(d: Dice) -> Card:
    ink = maxicode(d)

    def draw(sheet: Sheet) -> None:
        h, w = sheet.pixels.shape[:2]
        stamp(sheet.pixels, w // 10, h // 10, resized(ink, max(2, w * 8 // 10), max(2, h * 8 // 10)), (20, 20, 20))

    return Card(1.25, 1.15, (0, 0, 1.25, 1.15), draw)


def scan(s: Scene) -> None:
    """Renderings and scans: a symbol flat on white that all but fills the image."""
    d = s.d
    s.image[:] = d.choice((255, 255, d.randint(200, 255)))
    card = cards.bare(d, symbol(d, cards.any_class(d)))
    if d.chance(0.7):
        card.paper = (255, 255, 255)
    if d.chance(0.5):
        _cut_out(s, card)
    extent = math.hypot(card.w, card.h)
    angle = d.choice((0, 0, 0, 0, 90, 180, 270)) * math.pi / 180 + (d.gauss(0, 0.05) if d.chance(0.3) else 0)
    card.bends = False
    s.put(card, d.uniform(0.5, 1.0), (0.5, 0.5), warp.pose(d, extent, angle, flat=True))


Kind = Callable[[Scene], None]
SCENES: Sequence[Tuple[Kind, float]] = ((one, 0.55), (several, 0.12), (scan, 0.1), (without, 0.23))
CLEAN: Mapping[Kind, float] = {scan: 0.6}


def compose(
    d: Dice, frame: Frame, scenes: Sequence[Tuple[Kind, float]] = SCENES, clean_share: Mapping[Kind, float] = CLEAN
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene: (h, w, 3) uint8 BGR, boxes (N, 4) float32 xyxy, class ids (N,) int64.

    `scenes` are the kinds with their weights, `clean_share` how many of a kind no camera has seen.
    """
    s = Scene(d, frame)
    kind = d.pick(scenes)
    kind(s)
    clean = kind in clean_share and d.chance(clean_share[kind])
    if not clean and d.chance(0.14):
        for _ in range(d.randint(1, 2)):
            s.cover()
    if s.screen and d.chance(0.6):
        s.image = camera.screen_pixels(d, s.image)
    return (camera.taken(d, s.image, clean), *s.boxes())
