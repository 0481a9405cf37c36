"""Lines of print: words, numbers and made-up glyphs, drawn once and cut to size wherever text is needed."""

from __future__ import annotations

import functools
import string

import cv2
import numpy as np

from .dice import Dice

HEIGHT = 28
LINES = 700
_HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_SPOKEN = "ka to mi ver sol an der ing pro duct in grad tion al con ter ex pi ra ble net we ight bar lot no ex date"
_SYLLABLES = _SPOKEN.split()


@functools.lru_cache(maxsize=None)
def _face(name: str) -> cv2.FontFace | None:
    # OpenCV 5 carries TrueType faces; version 4 has Hershey's strokes alone.
    return cv2.FontFace(name) if hasattr(cv2, "FontFace") else None


def draw(text: str, face: int, weight: int = 400) -> np.ndarray:
    """A line of text as (HEIGHT, w) uint8 ink, cropped left and right; `face` 0-2 TrueType, above that Hershey."""
    canvas = np.zeros((HEIGHT + 12, 24 * len(text) + 40), np.uint8)
    font = _face(("sans", "serif", "italic")[face]) if face < 3 else None
    if font is not None:
        cv2.putText(canvas, text, (8, HEIGHT - 2), (255, 255, 255), font, HEIGHT - 5, weight)
    else:
        at, scale, thick = (8, HEIGHT - 4), 0.8, 1 + weight // 350
        cv2.putText(canvas, text, at, _HERSHEY[face % 4], scale, (255,), thick, cv2.LINE_AA)
    used = np.nonzero(canvas.max(0))[0]
    return canvas[4 : 4 + HEIGHT, used[0] : used[-1] + 1] if len(used) else canvas[4 : 4 + HEIGHT, :8]


@functools.lru_cache(maxsize=LINES)
def line(index: int) -> np.ndarray:
    """Line `index` of the bank: (HEIGHT, w) uint8 ink."""
    dice = Dice(f"line {index}")
    if dice.chance(0.13):
        return _glyphs(dice, dice.randint(3, 16))
    return draw(words(dice), dice.choice((0, 0, 0, 1, 1, 2, 3, 4, 5)), dice.choice((300, 400, 400, 600, 800)))


def words(dice: Dice) -> str:
    """A made-up line: prose, a name in capitals, digits, a serial number or a price."""
    kind = dice.randrange(6)
    if kind == 0:
        return " ".join(dice.letters(string.digits, dice.randint(2, 6)) for _ in range(dice.randint(1, 4)))
    if kind == 1:
        return f"{dice.letters(string.ascii_uppercase, dice.randint(1, 4))}-{dice.randint(10, 999999)}"
    if kind == 2:
        return f"{dice.choice(('EUR', '$', 'Total', 'kg', 'No.'))} {dice.randint(0, 999)}.{dice.randint(0, 99):02d}"
    spelled = ["".join(dice.choices(_SYLLABLES, k=dice.randint(1, 3))) for _ in range(dice.randint(1, 7))]
    return " ".join(spelled).upper() if kind == 3 else " ".join(spelled).capitalize()


def _glyphs(dice: Dice, n: int) -> np.ndarray:
    """Characters of no script: strokes in square cells, as dense as Chinese ones."""
    canvas = np.zeros((HEIGHT, HEIGHT * n), np.uint8)
    for i in range(n):
        for _ in range(dice.randint(3, 9)):
            x, y = i * HEIGHT + dice.randint(3, 20), dice.randint(3, 20)
            dx, dy = dice.choice(((1, 0), (0, 1), (1, 0), (0, 1), (0.6, 0.6), (-0.5, 0.7)))
            length = dice.randint(5, 20)
            end = (min((i + 1) * HEIGHT - 3, int(x + dx * length)), min(HEIGHT - 3, int(y + dy * length)))
            cv2.line(canvas, (x, y), end, (255,), 2, cv2.LINE_AA)
    return canvas


def fitted(dice: Dice, w: int, h: int) -> np.ndarray:
    """Some line of the bank at `h` px, no wider than `w` px: (h, <= w) uint8 ink."""
    return scaled(line(dice.randrange(LINES)), w, h)


def scaled(ink: np.ndarray, w: int, h: int) -> np.ndarray:
    """A line's ink at another height, cut at `w` px."""
    factor = h / ink.shape[0]
    ink = ink[:, : max(1, int(w / factor))]
    size = (max(1, min(w, round(ink.shape[1] * factor))), h)
    return cv2.resize(ink, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
