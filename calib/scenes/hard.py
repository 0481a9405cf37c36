"""Scenes of what is hard: Data Matrix beside what it is taken for, and images full of what is no code.

Of these scenes 29 % show one Data Matrix, 16 % several codes of which half are Data Matrix, 15 % a code amid hard
negatives, 40 % no code. Data Matrix is drawn with few modules, as a rectangle, light on dark, at any angle more often
than in general scenes.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

import numpy as np

from . import backgrounds, cards, negatives, plates, warp
from .canvas import Scene
from .cards import Card
from .compose import Kind, centre_of
from .dice import Dice
from .paper import Sheet
from .symbols import ALNUM, AZTEC, BARCODE, DATAMATRIX, MARKER, PDF417, QR, Symbol, symbol, write

INVERTED = 0.25  # of the cards; `cards.inks` prints some light on dark as well
BESIDE = ((QR, 0.3), (PDF417, 0.25), (AZTEC, 0.2), (BARCODE, 0.15), (MARKER, 0.1))
"""Who stands beside Data Matrix, by how often it is taken for them."""

# zxing-cpp's versions: 1 to 24 are squares of 10x10 to 144x144 modules, 25 to 30 the first standard's rectangles,
# 31 to 48 those of its extension (DMRE).
SHAPES = (
    ((1, 4), 6, 0.35),  # 10x10 to 16x16
    ((25, 30), 8, 0.2),
    ((31, 48), 20, 0.1),
    ((5, 9), 30, 0.25),  # 18x18 to 26x26
    ((10, 18), 120, 0.1),
)
"""(first and last version, longest text, share) of the Data Matrix drawn."""


def datamatrix(d: Dice) -> Symbol:
    """A Data Matrix of few modules, a rectangle, or one that is dense enough to look like another code."""
    (first, last), longest, _ = d.pick([(row, row[2]) for row in SHAPES])

    def content(dice: Dice) -> Tuple[str, Dict[str, Any]]:
        return dice.letters(ALNUM, dice.randint(1, longest)), {"version": dice.randint(first, last)}

    return write(d, DATAMATRIX, "DataMatrix", content)


def _other(d: Dice) -> Symbol:
    return symbol(d, d.pick(BESIDE))


def _card(d: Dice, s: Symbol, single: bool) -> Card:
    card = plates.carry(d, s, single)
    if not d.chance(INVERTED):
        return card
    draw = card.draw

    def inverted(sheet: Sheet) -> None:
        draw(sheet)
        np.subtract(255, sheet.pixels, out=sheet.pixels)

    card.draw = inverted
    return card


def _view(d: Dice, card: Card) -> np.ndarray:
    """A camera's view of a card: at any angle in half of them, where general scenes are mostly upright."""
    extent = math.hypot(card.w, card.h)
    return warp.pose(d, extent, d.uniform(0, 2 * math.pi) if d.chance(0.5) else None)


def matrix(s: Scene) -> None:
    """One Data Matrix, from a speck to more than fits."""
    d = s.d
    share = d.pick([(d.uniform(0.2, 0.9), 0.5), (d.log(0.05, 0.3), 0.35), (d.uniform(0.85, 1.3), 0.15)])
    card = _card(d, datamatrix(d), single=d.chance(0.8))
    if card.many:
        share = max(share, d.uniform(0.5, 1.1))
    s.put(card, share, centre_of(d, share), _view(d, card))


def scenes(held_out: bool) -> Sequence[Tuple[Kind, float]]:
    """The kinds of scenes with their weights; with `held_out` their negatives are of the bank's second half."""
    return _HELD_OUT if held_out else _LEARNED


def _kinds(first: int) -> Sequence[Tuple[Kind, float]]:
    def negative(d: Dice) -> np.ndarray:
        return negatives.render(first + d.randrange(negatives.BANK))

    def lure(d: Dice) -> Card:
        w = d.log(0.5, 2)

        def draw(sheet: Sheet) -> None:
            bank = negative(d)
            sheet.fill(backgrounds.view(d, bank, bank.shape[:2]))

        return Card(w, 1, (0, 0, w, 1), draw)

    def mixed(s: Scene) -> None:
        """Two to nine cards side by side: Data Matrix, what it is taken for, what is no code."""
        d = s.d
        columns, rows = d.choice(((1, 2), (2, 1), (2, 2), (3, 2), (2, 3), (3, 3)))
        for i in range(columns * rows):
            centre = ((i % columns + d.uniform(0.4, 0.6)) / columns, (i // columns + d.uniform(0.4, 0.6)) / rows)
            kind = d.pick((("lure", 0.24), ("matrix", 0.38), ("other", 0.38)))
            card = lure(d) if kind == "lure" else _card(d, datamatrix(d) if kind == "matrix" else _other(d), True)
            fill = min(card.main[2] / card.w, card.main[3] / card.h)
            s.put(card, min(d.uniform(0.5, 0.95), 1.3 * max(fill, 0.25)) / max(columns, rows), centre, _view(d, card))

    def amid(s: Scene) -> None:
        """A code amid what is none: on a page, a wall or a shelf full of print and grids."""
        d = s.d
        s.image = backgrounds.view(d, negative(d), s.frame.hw)
        for _ in range(d.randint(0, 2)):
            s.put(lure(d), d.log(0.1, 0.8), (d.random(), d.random()))
        card = _card(d, datamatrix(d) if d.chance(0.6) else symbol(d, cards.any_class(d)), True)
        share = d.log(0.08, 0.7)
        s.put(card, share, centre_of(d, share), _view(d, card))

    def without(s: Scene) -> None:
        """No code: the bank fills the image, or cards of it lie in it."""
        d = s.d
        full = d.chance(0.6)
        if full:
            s.image = backgrounds.view(d, negative(d), s.frame.hw)
        for _ in range(d.choice((0, 0, 1, 2, 4)) if full else d.choice((1, 1, 2, 4))):
            s.put(plates.lookalike(d) if d.chance(0.25) else lure(d), d.log(0.1, 1.2), (d.random(), d.random()))

    return ((matrix, 0.29), (mixed, 0.16), (amid, 0.15), (without, 0.4))


_LEARNED, _HELD_OUT = _kinds(0), _kinds(negatives.BANK)
CLEAN: Mapping[Callable[[Scene], None], float] = {
    kind: 0.2 for kinds in (_LEARNED, _HELD_OUT) for kind, _ in kinds if kind is not matrix
}
"""Screenshots and scans: the share of a kind that no camera has seen."""
