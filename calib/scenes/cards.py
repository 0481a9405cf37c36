"""Things that carry codes: labels, packaging, receipts, screens, tickets, plates, sheets full of codes.

A design fixes a card's size and where its main symbol is, in units of that symbol (its area is 1 or near it); `draw`
prints it later, when the camera is placed and the resolution known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Callable, List, Tuple

from . import backgrounds
from .dice import Dice
from .paper import Sheet
from .prints import Colour
from .symbols import AZTEC, BARCODE, DATAMATRIX, MARKER, PDF417, QR, Symbol

Box = Tuple[float, float, float, float]  # x, y, w, h in units
WEIGHTS = ((QR, 0.18), (DATAMATRIX, 0.17), (AZTEC, 0.11), (PDF417, 0.16), (BARCODE, 0.27), (MARKER, 0.11))


@dataclass
class Card:
    """A flat thing of `w` x `h` units; `main` is the box that decides its size in the image."""

    w: float
    h: float
    main: Box
    draw: Callable[[Sheet], None]
    paper: Colour = (245, 245, 245)
    bends: bool = True
    effects: List[str] = field(default_factory=list)

    @property
    def many(self) -> bool:
        """Whether it is full of symbols: then all of it counts as the main one."""
        return self.main == (0, 0, self.w, self.h)


@dataclass
class Ink:
    """The look of a print: its colours, and how worn or dotted it may be."""

    dark: Colour
    paper: Colour
    wear: float = 1.0
    dotted: float = 0.06


def any_class(d: Dice) -> int:
    """A class id, in the proportions that scenes have."""
    return d.pick(WEIGHTS)


def inks(d: Dice) -> Ink:
    """Black on white most often; coloured, faint and inverted prints too."""
    kind = d.random()
    if kind < 0.6:
        return Ink(d.tint(d.randint(0, 60), 10), d.tint(d.randint(205, 255), 12))
    if kind < 0.75:  # coloured ink or paper, still dark on light
        return Ink(d.colour(0, 110), d.colour(150, 255))
    if kind < 0.88:  # low contrast: thermal print that faded, grey on kraft, wet paper
        grey = d.randint(70, 225)
        gap = d.randint(28, 80)
        return Ink(d.tint(max(0, grey - gap), 10), d.tint(min(255, grey), 14))
    if kind < 0.96:
        return Ink(d.tint(d.randint(190, 255), 20), d.tint(d.randint(0, 70), 20))
    return Ink(d.colour(170, 255), d.colour(0, 110))


def sized(d: Dice, s: Symbol) -> Tuple[float, float]:
    """Width and height of a symbol whose area is 1."""
    return math.sqrt(s.aspect), 1 / math.sqrt(s.aspect)


def margin(d: Dice, s: Symbol, w: float) -> float:
    """The quiet zone left round a symbol, in units: as the standard asks, more, little or none at all."""
    module = w / s.ink.shape[1]
    return module * d.choice((0, 1, 1, 2, 4, 4, 7, 10))


def place(sheet: Sheet, s: Symbol, box: Box, ink: Ink) -> None:
    """A symbol with its human-readable line, in its box; the line hangs below."""
    sheet.symbol(s, *box, ink.dark, wear=ink.wear, dotted=ink.dotted)
    if s.text:
        size = min(0.2 * box[3] + 0.03 * box[2], 0.14 * box[2]) * sheet.dice.uniform(0.6, 1.2)
        y = box[1] + box[3] + size * 0.15
        if s.format in ("EAN13", "UPCA", "EAN8", "UPCE") and sheet.dice.chance(0.7):
            # The guard bars reach into the line; what stands between them hides the ends of the others.
            y -= size * 0.55
            sheet.rect(box[0] + 0.04 * box[2], y, 0.42 * box[2], size, ink.paper)
            sheet.rect(box[0] + 0.54 * box[2], y, 0.42 * box[2], size, ink.paper)
        sheet.readable(s, box[0], y, box[2], size, ink.dark)


def bare(d: Dice, s: Symbol) -> Card:
    """A symbol and some paper round it."""
    ink, (w, h) = inks(d), sized(d, s)
    q = margin(d, s, w)
    left, top = q + d.choice((0, 0, d.log(0.02, 1))), q + d.choice((0, 0, d.log(0.02, 1)))
    under = 0.3 * h + 0.02 * w if s.text else q
    box = (left, top, w, h)
    return Card(2 * left + w, top + h + max(q, under), box, lambda sheet: place(sheet, s, box, ink), ink.paper)


def label(d: Dice, s: Symbol) -> Card:
    """A printed label: the symbol, text on some of its sides, perhaps a frame."""
    ink, (w, h) = inks(d), sized(d, s)
    pad = max(margin(d, s, w), 0.05)
    over, under = (d.log(0.1, 1.2) if d.chance(0.6) else 0.0), (d.log(0.1, 1.2) if d.chance(0.6) else 0.3 * h)
    side = d.log(0.2, 1.8) if d.chance(0.45) else 0.0
    box = (pad, pad + over, w, h)
    total_w, total_h = w + 2 * pad + side, h + 2 * pad + over + under
    size, framed = d.log(0.06, 0.25), d.chance(0.3)

    def draw(sheet: Sheet) -> None:
        if over:
            sheet.paragraph(pad, pad * 0.5, total_w - 2 * pad, over, min(size * d.uniform(1, 2), over), ink.dark)
        if side:
            sheet.paragraph(2 * pad + w, pad + over, side, h, size, ink.dark)
        place(sheet, s, box, ink)
        gap = 0.3 * h if s.text else pad
        sheet.paragraph(pad, pad + over + h + gap, total_w - 2 * pad, under - gap, size, ink.dark)
        if framed:
            sheet.rect(0.02, 0.02, total_w - 0.04, total_h - 0.04, ink.dark, 0.02)

    return Card(total_w, total_h, box, draw, ink.paper)


def package(d: Dice, s: Symbol) -> Card:
    """Coloured packaging with the symbol in a light box, or printed straight onto it."""
    ink, (w, h) = inks(d), sized(d, s)
    q = margin(d, s, w)
    around = d.log(0.2, 1.5)
    patch = (around, around * d.uniform(0.5, 1.2), w + 2 * q, h + 2 * q + (0.25 * h if s.text else 0))
    box = (patch[0] + q, patch[1] + q, w, h)
    total = (patch[2] + 2 * around, patch[3] + patch[1] + around)
    pictured = d.chance(0.5)
    straight = not pictured and d.chance(0.4)

    def draw(sheet: Sheet) -> None:
        if pictured:
            bank = backgrounds.of_kind(d, backgrounds.packaging, backgrounds.photo)
            sheet.fill(backgrounds.view(d, bank, bank.shape[:2]))
        elif not straight:
            sheet.rect(0, 0, *total, d.colour())
        sheet.paragraph(0.05, 0.05, total[0] - 0.1, patch[1] - 0.1, d.log(0.06, 0.4), d.colour())
        if not straight:
            sheet.rect(*patch, ink.paper)
        place(sheet, s, box, ink)
        under = patch[1] + patch[3]
        sheet.paragraph(0.05, under + 0.05, total[0] - 0.1, total[1] - under - 0.1, d.log(0.05, 0.2), d.colour())

    return Card(*total, box, draw, ink.paper)


def receipt(d: Dice, s: Symbol) -> Card:
    """A long strip of text lines with the symbol near one end."""
    ink, (w, h) = inks(d), sized(d, s)
    wide, size = w * d.uniform(1.1, 1.8), d.uniform(0.06, 0.14)
    before, after = d.log(0.2, 2.5), d.log(0.1, 1)
    box = ((wide - w) / 2, before, w, h)

    def draw(sheet: Sheet) -> None:
        sheet.paragraph(0.06, 0.06, wide - 0.12, before - 0.12, size, ink.dark)
        place(sheet, s, box, ink)
        sheet.paragraph(0.06, before + h * 1.3, wide - 0.12, after - 0.3 * h, size, ink.dark)

    return Card(wide, before + h + after, box, draw, ink.paper)


def page(d: Dice, s: Symbol) -> Card:
    """A poster or page: headline, text, images, a symbol in a corner."""
    ink, (w, h) = inks(d), sized(d, s)
    left, right, above, below = (d.log(0.1, 3) for _ in range(4))
    box, total = (left, above, w, h), (left + w + right, above + h + below)

    def draw(sheet: Sheet) -> None:
        if d.chance(0.3):
            sheet.fill(backgrounds.view(d, backgrounds.surface(d.randrange(backgrounds.SURFACES)), (128, 128)))
        for x, y, wide, high in (
            (0.1, 0.1, total[0] - 0.2, above - 0.2), (0.1, above, left - 0.3, h),
            (left + w + 0.2, above, right - 0.3, h),
            (0.1, above + h + 0.35 * h, total[0] - 0.2, below - 0.4 * h),
        ):  # fmt: skip
            if min(wide, high) > 0.15:
                _filler(sheet, x, y, wide, high, ink)
        q = margin(d, s, w)
        sheet.rect(left - q, above - q, w + 2 * q, h + 2 * q + (0.28 * h if s.text else 0), ink.paper)
        place(sheet, s, box, ink)

    return Card(*total, box, draw, ink.paper)


def _filler(sheet: Sheet, x: float, y: float, w: float, h: float, ink: Ink) -> None:
    d = sheet.dice
    if d.chance(0.25):
        sheet.rect(x, y, w, h, d.colour())
    if d.chance(0.85):
        sheet.paragraph(x, y, w, h, min(h, d.log(0.05, 0.5)), ink.dark if d.chance(0.7) else d.colour(0, 160))


def screen(d: Dice, s: Symbol) -> Card:
    """A phone's or a monitor's screen: bezel, bars, the symbol on white."""
    w, h = sized(d, s)
    side, top, bottom = d.log(0.1, 0.8), d.log(0.15, 1), d.log(0.15, 1.2)
    dark_mode = d.chance(0.2)
    ink = Ink((0, 0, 0), (255, 255, 255), 0.0) if not dark_mode else Ink(d.tint(15, 10), d.tint(235, 15), 0.0)
    box, total = (side, top, w, h), (w + 2 * side, top + h + bottom)

    def draw(sheet: Sheet) -> None:
        base = d.tint(25, 20) if dark_mode else d.tint(240, 15)
        sheet.rect(0, 0, *total, base)
        sheet.rect(0, 0, total[0], top * d.uniform(0.1, 0.6), d.colour())
        sheet.paragraph(side, top * 0.3, w, top * 0.6, 0.12, d.colour())
        q = max(0.05, margin(d, s, w))
        sheet.rect(side - q, top - q, w + 2 * q, h + 2 * q, ink.paper)
        place(sheet, s, box, ink)
        sheet.paragraph(side, top + h * 1.3, w, bottom - 0.3 * h, d.uniform(0.08, 0.2), d.tint(128, 60))
        if d.chance(0.7):
            sheet.rect(0, 0, *total, d.tint(15, 12), 2 * d.log(0.03, 0.15))

    return Card(*total, box, draw, bends=False, effects=["pixels"])


def ticket(d: Dice, s: Symbol) -> Card:
    """Boarding passes, badges, cards: a coloured band, columns of text, the symbol at one end, perhaps two."""
    ink, (w, h) = inks(d), sized(d, s)
    pad, text_w = max(0.08, margin(d, s, w)), d.log(0.4, 2.5)
    high = h + 2 * pad + d.log(0.1, 0.8)
    at_left = d.chance(0.5)
    box = (pad if at_left else pad + text_w, high - pad - h * (1.25 if s.text else 1), w, h)
    total = (text_w + w + 2 * pad, high)

    def draw(sheet: Sheet) -> None:
        band = d.colour()
        sheet.rect(0, 0, total[0], min(high * 0.2, box[1] - pad * 0.5), band)
        sheet.paragraph(0.1, 0.02, total[0] - 0.2, min(high * 0.2, box[1]), high * 0.12, d.tint(230, 20))
        x = pad + w + pad if at_left else pad
        sheet.paragraph(x, high * 0.25, text_w - pad, high * 0.7, d.uniform(0.07, 0.16), ink.dark)
        place(sheet, s, box, ink)

    return Card(*total, box, draw, ink.paper)
