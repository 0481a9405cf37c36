"""`Sheet`: a flat thing being printed, drawn at the resolution at which the camera will see it."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import cv2
import numpy as np

from . import text
from .dice import Dice
from .prints import Colour, render, stamp
from .symbols import QR, Symbol


class Printed(NamedTuple):
    """A symbol on a sheet: class id and its box x0, y0, x1, y1 in pixels of the sheet."""

    class_id: int
    xyxy: Tuple[int, int, int, int]


class Sheet:
    """A texture of `w` x `h` units at `scale` pixels a unit; all drawing is in units, x right, y down."""

    def __init__(self, dice: Dice, w: float, h: float, scale: float, paper: Colour) -> None:
        self.dice, self.scale, self.w, self.h = dice, scale, w, h
        size = max(2, round(h * scale)), max(2, round(w * scale))
        self.pixels = np.full((*size, 3), paper, np.uint8)
        self.printed: List[Printed] = []

    def px(self, *values: float) -> Tuple[int, ...]:
        """Units -> whole pixels."""
        return tuple(round(v * self.scale) for v in values)

    def fill(self, image: np.ndarray) -> None:
        """The whole sheet from an image (h, w, 3)."""
        self.pixels = cv2.resize(image, self.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)

    def rect(self, x: float, y: float, w: float, h: float, colour: Colour, line: float = 0) -> None:
        """A filled box, or with `line` its outline."""
        x0, y0, x1, y1 = self.px(x, y, x + w, y + h)
        thick = max(1, round(line * self.scale)) if line else -1
        cv2.rectangle(self.pixels, (x0, y0), (x1, y1), colour, thick)

    def line(self, x: float, y: float, h: float, w: float, colour: Colour, ink: np.ndarray | None = None) -> float:
        """A line of text `h` high, at most `w` wide; returns the width used."""
        wide, high = self.px(w, h)
        if wide < 2 or high < 2:
            return 0
        word = text.fitted(self.dice, wide, high) if ink is None else text.scaled(ink, wide, high)
        left, top = self.px(x, y)
        stamp(self.pixels, left, top, word, colour)
        return word.shape[1] / self.scale

    def paragraph(self, x: float, y: float, w: float, h: float, size: float, colour: Colour) -> None:
        """Lines of text `size` high that fill a box."""
        step = size * self.dice.uniform(1.1, 1.7)
        full = self.dice.chance(0.4)
        for i in range(min(60, int(h / step))):
            used = self.line(x, y + i * step, size, w, colour)
            while full and used < 0.8 * w and used > 0:
                used += size / 2 + self.line(x + used + size / 2, y + i * step, size, w - used - size / 2, colour)

    def symbol(self, s: Symbol, x: float, y: float, w: float, h: float, ink: Colour, **style: float) -> None:
        """Print a symbol into a box; a QR code may get a logo, which leaves it a QR code."""
        x0, y0, x1, y1 = self.px(x, y, x + w, y + h)
        x1, y1 = max(x1, x0 + 2), max(y1, y0 + 2)
        stamp(self.pixels, x0, y0, render(self.dice, s, x1 - x0, y1 - y0, **style), ink)
        if s.class_id == QR and s.format == "QRCode" and self.dice.chance(0.1):
            self._logo(x + w / 2, y + h / 2, w * self.dice.uniform(0.1, 0.16))
        self.printed.append(Printed(s.class_id, (x0, y0, x1, y1)))

    def readable(self, s: Symbol, x: float, y: float, w: float, size: float, ink: Colour) -> None:
        """The human-readable line of a 1-D code, spread or in the middle."""
        if not s.text:
            return
        word = text.draw(s.text[:32], self.dice.choice((0, 0, 3, 4)))
        width = min(w, word.shape[1] * size / text.HEIGHT)
        if self.dice.chance(0.4) and width > 0:  # spread over the whole width, as EAN does
            word = cv2.resize(word, (max(1, int(text.HEIGHT * w / size)), text.HEIGHT))
            width = w
        self.line(x + (w - width) / 2, y, size, w, ink, word)

    def _logo(self, x: float, y: float, r: float) -> None:
        d = self.dice
        (cx, cy, half) = self.px(x, y, r)
        cv2.rectangle(self.pixels, (cx - half, cy - half), (cx + half, cy + half), d.tint(245, 8), -1)
        if d.chance(0.5):
            cv2.circle(self.pixels, (cx, cy), max(1, int(half * 0.8)), d.colour(), -1, cv2.LINE_AA)
        else:
            self.line(x - r * 0.8, y - r / 2, r, 1.6 * r, d.colour(0, 120))
