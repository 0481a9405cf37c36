"""Look-alikes of codes: stripes, grids, text, keyboards and the like, as images without any code."""

from __future__ import annotations

from typing import Callable, List

import cv2
import numpy as np

from . import patterns, text
from .dice import Dice
from .patterns import Ink, N, blank


def crossword(d: Dice) -> Ink:
    """Ruled squares, some black, some with a letter."""
    side = d.randint(18, 44)
    ink = blank()
    ink[::side], ink[:, ::side] = 255, 255
    for y in range(0, N - side, side):
        for x in range(0, N - side, side):
            kind = d.random()
            if kind < 0.18:
                ink[y : y + side, x : x + side] = 255
            elif kind < 0.6:
                _letter(d, ink, x, y, side)
    return ink


def _letter(d: Dice, ink: Ink, x: int, y: int, side: int) -> None:
    scale = side / 40
    at = (x + side // 4, y + side * 3 // 4)
    cv2.putText(ink, chr(d.randint(65, 90)), at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255,), 1, cv2.LINE_AA)


def keyboard(d: Dice) -> Ink:
    """Keys in rows, each with a sign."""
    side, gap = d.randint(22, 56), d.randint(2, 7)
    ink = np.full((N, N), d.randint(150, 255), np.uint8)
    key = d.randint(0, 90)
    for row, y in enumerate(range(0, N, side)):
        x = (row % 3) * side // 3
        while x < N:
            w = side * d.choice((1, 1, 1, 1, 2))
            cv2.rectangle(ink, (x + gap, y + gap), (x + w - gap, y + side - gap), (key,), -1)
            _letter(d, ink, x, y, side)
            x += w
    return ink


def piano(d: Dice) -> Ink:
    """White keys with lines between, black keys in twos and threes."""
    w = d.randint(16, 44)
    ink = blank()
    ink[:, ::w] = 200
    for i in range(N // w + 1):
        if i % 7 not in (0, 3):
            ink[: d.randint(200, 240), max(0, i * w - w // 4) : i * w + w // 4] = 255
    return ink


def ruler(d: Dice) -> Ink:
    """Ticks of three lengths and numbers."""
    step, ink = d.randint(4, 12), np.full((N, N), d.randint(0, 60), np.uint8)
    for top in range(0, N, d.randint(90, 200)):
        for i, x in enumerate(range(0, N, step)):
            ink[top : top + (50 if i % 10 == 0 else 35 if i % 5 == 0 else 22), x : x + max(1, step // 4)] = 255
            if i % 10 == 0:
                cv2.putText(ink, str(i // 10), (x + 2, top + 66), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,), 1, cv2.LINE_AA)
    return ink


def prose(d: Dice) -> Ink:
    """A page of text, in one to three columns."""
    ink, size, columns = blank(), d.randint(6, 34), d.choice((1, 1, 2, 3))
    wide, gap = N // columns, d.uniform(1.1, 1.9)
    for column in range(columns):
        y = 4.0
        while y + size < N:
            x, end = column * wide + 4, (column + 1) * wide - 6
            while x < end - size and not d.chance(0.07):
                word = text.fitted(d, end - x, size)
                ink[int(y) : int(y) + size, x : x + word.shape[1]] = word
                x += word.shape[1] + size // 2
            y += size * gap
    return ink


def headline(d: Dice) -> Ink:
    """A few words in very large letters."""
    ink, y = blank(), 0
    while y < N - 50:
        size = d.randint(40, 150)
        word = text.fitted(d, N, size)[: N - y]
        ink[y : y + word.shape[0], : word.shape[1]] = word
        y += int(size * 1.1)
    return ink


def table(d: Dice) -> Ink:
    """Ruled rows and columns with text or numbers."""
    ink, rows, columns = blank(), d.randint(14, 50), [0]
    while columns[-1] < N:
        columns.append(columns[-1] + d.randint(30, 130))
    ink[::rows] = 200
    for x, end in zip(columns, columns[1:]):
        ink[:, min(x, N - 1)] = 200
        for y in range(0, N - rows, rows):
            if not d.chance(0.15):
                word = text.fitted(d, max(4, min(end, N) - x - 8), max(5, rows - 8))
                ink[y + 4 : y + 4 + word.shape[0], x + 4 : x + 4 + word.shape[1]] = word[:, : max(0, N - x - 4)]
    return ink


def circuit(d: Dice) -> Ink:
    """Traces, pads and chips with rows of pins."""
    ink = blank()
    for _ in range(d.randint(20, 60)):
        x, y = d.randint(0, N), d.randint(0, N)
        for _ in range(d.randint(2, 5)):
            dx, dy = d.choice(((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1)))
            step = d.randint(10, 80)
            cv2.line(ink, (x, y), (x + dx * step, y + dy * step), (130,), 2, cv2.LINE_AA)
            x, y = x + dx * step, y + dy * step
        cv2.circle(ink, (x, y), d.randint(3, 6), (200,), -1, cv2.LINE_AA)
    for _ in range(d.randint(2, 6)):
        x, y, w, h = d.randint(0, 330), d.randint(0, 330), d.randint(30, 120), d.randint(20, 100)
        for pin in range(x, x + w, 7):
            cv2.line(ink, (pin, y - 7), (pin, y + h + 7), (60,), 3)
        cv2.rectangle(ink, (x, y), (x + w, y + h), (255,), -1)
    return ink


def shelf(d: Dice) -> Ink:
    """Spines of books: upright bands of uneven width and tone, some with a title."""
    ink, y = blank(), 0
    while y < N:
        high, x = d.randint(90, 260), 0
        while x < N:
            w = d.randint(8, 46)
            top = y + d.randint(0, high // 4)
            ink[top : y + high, x : x + w - 1] = d.randint(20, 230)
            if w > 16 and d.chance(0.7) and y + high - top > 40:
                word = text.fitted(d, y + high - top - 10, w - 8).T[:, ::-1] // 2
                part = ink[top + 5 : top + 5 + word.shape[0], x + 4 : x + 4 + word.shape[1]]
                title = word[: part.shape[0], : part.shape[1]]
                part[title > 60] = 255 - title[title > 60]
            x += w
        y += high
    return ink


def shapes(d: Dice) -> Ink:
    """Logos and signs: rings, boxes in boxes, arrows; a lone square ring is what QR finders look like."""
    ink = blank()
    for _ in range(d.randint(3, 14)):
        x, y, r = d.randint(0, N), d.randint(0, N), d.randint(10, 70)
        kind = d.randrange(4)
        if kind == 0:
            cv2.circle(ink, (x, y), r, (255,), d.choice((-1, 3, r // 3 + 1)), cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(ink, (x - r, y - r), (x + r, y + r), (255,), d.choice((-1, 3, r // 3 + 1)))
        elif kind == 2:
            cv2.arrowedLine(ink, (x - r, y), (x + r, y), (255,), r // 4 + 1, cv2.LINE_AA)
        else:
            word = text.fitted(d, max(8, N - x), max(8, r))[: max(0, N - y), : max(0, N - x)]
            ink[y : y + word.shape[0], x : x + word.shape[1]] = word
    return ink


def leds(d: Dice) -> Ink:
    """Seven-segment and dot-matrix displays, calendars of numbers in boxes."""
    ink, side = blank(), d.randint(26, 60)
    for y in range(0, N - side, side):
        for x in range(0, N - side, side):
            cv2.putText(
                ink, str(d.randint(1, 31)), (x + 4, y + side * 3 // 4), d.choice((0, 2, 3)), side / 50, (255,), 2
            )
    if d.chance(0.5):
        ink[::side], ink[:, ::side] = 255, 255
    return ink


KINDS: List[Callable[[Dice], Ink]] = [
    patterns.stripes, patterns.fence, patterns.hatching, patterns.zebra, patterns.chessboard, patterns.grid,
    patterns.windows, patterns.bricks, patterns.halftone, patterns.maze, patterns.noise_blocks, patterns.plaid,
    patterns.honeycomb, crossword, keyboard, piano, ruler, prose, prose, prose, headline, table, circuit, shelf,
    shapes, shapes, leds,
]  # fmt: skip


def render(d: Dice) -> np.ndarray:
    """One look-alike as an (N, N, 3) uint8 image in two colours."""
    return colour(d, d.choice(KINDS)(d))


def colour(d: Dice, ink: Ink) -> np.ndarray:
    """An ink (N, N) as an (N, N, 3) uint8 image in two colours, now and then on its side or out of focus."""
    if d.chance(0.3):
        ink = np.ascontiguousarray(ink.T)
    if d.chance(0.3):
        ink = cv2.GaussianBlur(ink, (0, 0), d.uniform(0.5, 3))
    paper, dark = (d.tint(d.randint(170, 250), 25), d.tint(d.randint(10, 90), 25))
    if d.chance(0.35):
        paper, dark = d.colour(90, 255), d.colour(0, 160)
    if d.chance(0.25):
        paper, dark = dark, paper
    ramp = np.linspace(np.array(paper, np.float32), np.array(dark, np.float32), 256).astype(np.uint8)
    return cv2.LUT(cv2.merge([ink] * 3), ramp.reshape(256, 1, 3))
