"""Hard negatives: print and things that a detector of codes fires at, as images without any code.

What `lookalikes` has in general is here by what false alarms were seen on: text, tables, tiles and windows, blinds and
railings, boards, plots with axes, and cells without a finder pattern. The bank is in two halves, of which training
sees the first and validation and tests the second.
"""

from __future__ import annotations

import functools
from typing import Callable, Sequence, Tuple

import cv2
import numpy as np

from . import lookalikes, patterns, text
from .dice import Dice
from .patterns import Ink, N, blank

BANK = 240  # images of each half


def form(d: Dice) -> Ink:
    """A form: labels, boxes to write into, boxes to tick, comb fields of one character each."""
    ink, y = blank(), 6
    while y < N - 20:
        size, x = d.randint(9, 18), d.randint(4, 20)
        word = text.fitted(d, d.randint(40, 150), size)[: N - y]
        ink[y : y + word.shape[0], x : x + word.shape[1]] = word
        x += word.shape[1] + 8
        kind = d.randrange(3)
        if kind == 0:
            cv2.rectangle(ink, (x, y), (d.randint(min(x + 40, N), N), y + size + 4), (220,), 1)
        elif kind == 1:
            for _ in range(d.randint(2, 6)):
                cv2.rectangle(ink, (x, y), (x + size, y + size), (230,), d.choice((1, 2)))
                if d.chance(0.4):
                    cv2.line(ink, (x + 2, y + 2), (x + size - 2, y + size - 2), (255,), 2)
                x += size + d.randint(4, 40)
        else:
            cells = d.randint(4, 16)
            for i in range(cells):
                cv2.rectangle(ink, (x + i * size, y), (x + (i + 1) * size, y + size + 4), (220,), 1)
        y += size + d.randint(6, 24)
    return ink


def tiles(d: Dice) -> Ink:
    """A tiled wall or floor: small tiles of few tones with grout between, laid at random or in a repeat."""
    side, grout = d.randint(8, 34), d.randint(1, 4)
    tones = np.array([d.randint(10, 245) for _ in range(d.randint(2, 4))], np.uint8)
    cells = N // side + 2
    laid = d.arrays().integers(0, len(tones), (cells, cells))
    if d.chance(0.4):
        repeat = d.randint(2, 5)
        laid = np.tile(laid[:repeat, :repeat], (cells // repeat + 1, cells // repeat + 1))
    ink = np.repeat(np.repeat(tones[laid], side, 0), side, 1)[:N, :N].copy()
    joint = d.randint(0, 255)
    for i in range(grout):
        ink[i::side], ink[:, i::side] = joint, joint
    return ink


def facade(d: Dice) -> Ink:
    """A house at some distance: windows lit and dark, with sills, floors apart by more than the windows are."""
    w, h = d.randint(8, 30), d.randint(10, 40)
    gap_x, gap_y = d.randint(3, 24), d.randint(4, 30)
    ink = np.full((N, N), d.randint(20, 110), np.uint8)
    for y in range(d.randint(0, gap_y), N, h + gap_y):
        for x in range(d.randint(0, 3), N, w + gap_x):
            ink[y : y + h, x : x + w] = d.choice((230, 245, 200, 30, 150))
            if w > 14 and d.chance(0.6):
                ink[y : y + h, x + w // 2 : x + w // 2 + 2] = 90
    return ink


def blinds(d: Dice) -> Ink:
    """Bars within limits: blinds, railings, radiators, vents, bar charts, spines of CDs.

    A barcode has bars of several widths, one tone and one height; here they are never all three, or they would be one.
    """
    ink, count = blank(), d.choice((1, 1, 2, 4))
    for _ in range(count):
        x0, y0 = d.randint(0, N // 2), d.randint(0, N // 2)
        x1, y1 = x0 + d.randint(N // 5, N), y0 + d.randint(N // 8, N)
        module, x = d.log(2, 14), float(x0)
        of_one_width, of_one_tone, of_one_height = d.choice(((1, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 1), (0, 1, 0)))
        level = d.randint(150, 255)
        while x < min(x1, N):
            bar = module * (1 if of_one_width else d.uniform(0.5, 3))
            begin = y0 if of_one_height else y0 + d.randint(0, max(1, (y1 - y0) // 2))
            tone = level if of_one_tone else d.randint(60, 255)
            ink[begin:y1, int(x) : max(int(x) + 1, int(x + bar))] = tone
            x += bar + module * (1 if of_one_width else d.uniform(0.5, 2.5))
    return ink


def board(d: Dice) -> Ink:
    """A board for a game or a calibration: n x n squares with a rim, some with a piece or a letter on them."""
    n, rim = d.choice((4, 5, 6, 8, 8, 8, 10, 12, 19)), d.randint(2, 20)
    side = d.randint(60, N - 2 * rim - 4) // n
    lined = n == 19 or d.chance(0.25)
    ink, x0, y0 = blank(), d.randint(0, N - n * side - rim), d.randint(0, N - n * side - rim)
    cv2.rectangle(ink, (x0, y0), (x0 + n * side + rim, y0 + n * side + rim), (d.randint(120, 255),), d.choice((2, rim)))
    for i in range(n):
        for j in range(n):
            x, y = x0 + rim // 2 + j * side, y0 + rim // 2 + i * side
            if lined:
                cv2.rectangle(ink, (x, y), (x + side, y + side), (230,), 1)
            elif (i + j) % 2:
                ink[y : y + side, x : x + side] = 255
            if d.chance(0.2) and side > 6:
                cv2.circle(ink, (x + side // 2, y + side // 2), side // 3, (d.choice((20, 130, 255)),), -1, cv2.LINE_AA)
    return ink


def plot(d: Dice) -> Ink:
    """Axes in an L with ticks, and bars, dots or a curve between them: the shape of a Data Matrix's finder."""
    ink = blank()
    w, h = d.randint(120, N - 40), d.randint(100, N - 40)
    x0, y0 = d.randint(10, N - w - 8), d.randint(8, N - h - 24)
    thick, step = d.randint(1, 6), d.randint(8, 40)
    cv2.line(ink, (x0, y0), (x0, y0 + h), (255,), thick)
    cv2.line(ink, (x0, y0 + h), (x0 + w, y0 + h), (255,), thick)
    for at in range(step, w, step):
        cv2.line(ink, (x0 + at, y0 + h), (x0 + at, y0 + h + 5), (230,), 2)
    kind = d.randrange(3)
    if kind == 0:
        for at in range(step // 2, w - step // 2, step):
            ink[y0 + h - d.randint(2, h) : y0 + h, x0 + at : x0 + at + step // 2] = d.choice((120, 180, 255))
    elif kind == 1:
        for _ in range(d.randint(20, 200)):
            cv2.circle(ink, (x0 + d.randint(0, w), y0 + d.randint(0, h)), d.randint(1, 4), (230,), -1, cv2.LINE_AA)
    else:
        ups = np.cumsum(d.arrays().normal(0, h / 12, w // 4))
        line = np.stack((x0 + 4 * np.arange(w // 4), y0 + np.clip(h / 2 + ups, 2, h - 2)), 1)
        cv2.polylines(ink, [line.astype(np.int32)], False, (255,), d.randint(1, 4), cv2.LINE_AA)
    return ink


def cells(d: Dice) -> Ink:
    """Black and white squares without a finder pattern: puzzles, pixel art, woven bands, often mirrored."""
    n, m = d.randint(4, 14), d.randint(4, 14)
    side = d.randint(60, 300) // max(n, m)
    dark = (d.arrays().random((n, m)) < d.uniform(0.25, 0.6)).astype(np.uint8) * 255
    if d.chance(0.5):
        dark = np.hstack((dark[:, : m // 2], dark[:, : m - m // 2][:, ::-1]))
    dark[0, ::2], dark[-1, 1::2] = 0, 0  # no edge is whole: a whole one would be a finder
    dark[::2, 0], dark[1::2, -1] = 0, 0
    ink = blank()
    grid = np.repeat(np.repeat(dark, max(2, side), 0), max(2, side), 1)
    y, x = d.randint(0, N - grid.shape[0]), d.randint(0, N - grid.shape[1])
    ink[y : y + grid.shape[0], x : x + grid.shape[1]] = grid
    if d.chance(0.5):
        cv2.rectangle(ink, (x - 8, y - 8), (x + grid.shape[1] + 8, y + grid.shape[0] + 8), (200,), 1)
    return ink


def pins(d: Dice) -> Ink:
    """Rows of pins, holes or teeth beside a block: connectors, combs, perforated strips, zips."""
    ink = blank()
    for _ in range(d.randint(1, 6)):
        step, n, depth = d.randint(5, 20), d.randint(6, 30), d.randint(4, 40)
        x0, y0 = d.randint(0, N // 2), d.randint(0, N - 20)
        ink[y0 : y0 + depth, x0 : x0 + n * step] = d.choice((0, 160, 255))
        for row in d.choice(((-1,), (1,), (-1, 1))):
            y = y0 - step if row < 0 else y0 + depth
            for i in range(n):
                ink[max(0, y) : y + step, x0 + i * step : x0 + i * step + step // 2 + 1] = 255
    return ink


KINDS: Sequence[Tuple[Callable[[Dice], Ink], float]] = (
    (lookalikes.prose, 0.16), (lookalikes.headline, 0.05), (form, 0.08), (lookalikes.table, 0.09),
    (tiles, 0.08), (patterns.grid, 0.04), (facade, 0.06), (patterns.windows, 0.03),
    (blinds, 0.12), (board, 0.07), (patterns.chessboard, 0.03), (plot, 0.07), (cells, 0.06), (pins, 0.06),
)  # fmt: skip
"""What the bank holds, and the share of each: text 38 %, grids 31 %, bars 12 %, plots, cells and pins 19 %."""


@functools.lru_cache(maxsize=None)
def render(index: int) -> np.ndarray:
    """Image `index` of the bank: (N, N, 3) uint8; those from BANK on are held out."""
    d = Dice(f"negative {index}")
    return lookalikes.colour(d, d.pick(KINDS)(d))
