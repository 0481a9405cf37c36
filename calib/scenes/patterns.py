"""Regular patterns: stripes, grids, dots, bricks. The simplest things that get mistaken for codes."""

from __future__ import annotations

import cv2
import numpy as np

from .dice import Dice

N = 384
Ink = np.ndarray  # (N, N) uint8, 255 where it is dark


def blank() -> Ink:
    """An empty ink."""
    return np.zeros((N, N), np.uint8)


def _waves(coordinate: np.ndarray, period: float, share: float) -> Ink:
    """Stripes along a coordinate in pixels, with soft edges."""
    phase = np.abs((coordinate / period) % 1 - 0.5) * period
    return np.clip((phase - (1 - share) * period / 2 + 0.5) * 255, 0, 255).astype(np.uint8)


def stripes(d: Dice) -> Ink:
    """Even stripes: fences, blinds, corduroy, corrugated sheet."""
    x = np.arange(N, dtype=np.float32)[None] + np.zeros((N, 1), np.float32)
    if d.chance(0.3):
        x = x + d.uniform(2, 12) * np.sin(x.T / d.uniform(15, 60))
    return _waves(x, d.log(5, 60), d.uniform(0.2, 0.8))


def fence(d: Dice) -> Ink:
    """Posts with gaps and two rails."""
    ink = stripes(d)
    for y in (d.randint(20, 150), d.randint(200, 360)):
        ink[y : y + d.randint(5, 25)] = 255
    return ink


def hatching(d: Dice) -> Ink:
    """Thin slanted lines, once or crossed."""
    y, x = np.indices((N, N), np.float32)
    period = d.log(5, 25)
    ink = _waves(x + y * d.uniform(-2, 2), period, d.uniform(0.15, 0.5))
    return cv2.max(ink, _waves(x - y * d.uniform(0.5, 2), period, 0.25)) if d.chance(0.5) else ink


def zebra(d: Dice) -> Ink:
    """Wavy bands of uneven width."""
    field = cv2.resize(d.arrays().random((6, 6), np.float32), (N, N), interpolation=cv2.INTER_CUBIC)
    y = np.arange(N, dtype=np.float32)[:, None]
    return _waves(y + field * d.uniform(30, 150), d.uniform(15, 60), d.uniform(0.35, 0.65))


def chessboard(d: Dice) -> Ink:
    """Squares in turns."""
    side = d.randint(6, 60)
    y, x = np.indices((N, N)) // side
    return (((x + y) % 2) * 255).astype(np.uint8)


def grid(d: Dice) -> Ink:
    """Lines both ways: graph paper, mesh, tiles."""
    a, b = d.randint(6, 50), d.randint(6, 50)
    if d.chance(0.6):
        b = a
    ink, thick = blank(), d.randint(1, 5)
    for i in range(thick):
        ink[i::a] = 255
        ink[:, i::b] = 255
    return ink


def windows(d: Dice) -> Ink:
    """A facade: rows of panes of uneven darkness, or tiles."""
    a, b = d.randint(14, 60), d.randint(12, 50)
    panes = d.arrays().integers(60, 255, (N // a + 1, N // b + 1)).astype(np.uint8)
    ink = cv2.resize(panes, (panes.shape[1] * b, panes.shape[0] * a), interpolation=cv2.INTER_NEAREST)[:N, :N].copy()
    gap = d.randint(2, 8)
    for i in range(gap):
        ink[i::a] = 20
        ink[:, i::b] = 20
    return ink


def bricks(d: Dice) -> Ink:
    """Courses of bricks, every other one shifted."""
    h, w = d.randint(10, 36), d.randint(24, 90)
    tones = d.arrays().integers(120, 200, (N // h + 1, N // w + 3)).astype(np.uint8)
    ink = blank()
    for row in range(N // h + 1):
        course = np.repeat(tones[row], w)[(row % 2) * w // 2 :][:N]
        course[(np.arange(N) + (row % 2) * w // 2) % w < 2] = 40
        ink[row * h : (row + 1) * h] = course
        ink[row * h : row * h + 2] = 40
    return ink


def halftone(d: Dice) -> Ink:
    """Dots whose size follows a soft image."""
    period = d.randint(5, 16)
    y, x = np.indices((N, N), np.float32)
    field = cv2.resize(d.arrays().random((5, 5), np.float32), (N, N), interpolation=cv2.INTER_CUBIC)
    away = np.hypot(x % period - period / 2, y % period - period / 2) / period
    return np.clip((0.1 + 0.5 * field - away) * period * 255, 0, 255).astype(np.uint8)


def maze(d: Dice) -> Ink:
    """Walls of a maze: each cell has a wall to one side."""
    cell, thick = d.randint(8, 26), d.randint(2, 5)
    ink, down = blank(), d.arrays().random((N // cell + 1, N // cell + 1)) < 0.5
    for i, j in np.ndindex(down.shape):
        y, x = i * cell, j * cell
        if down[i, j]:
            ink[y : y + cell + thick, x : x + thick] = 255
        else:
            ink[y : y + thick, x : x + cell + thick] = 255
    return ink


def noise_blocks(d: Dice) -> Ink:
    """Random squares of many greys, without any finder: pixelated images."""
    side = d.randint(6, 48)
    cells = d.arrays().integers(0, 256, (N // side + 1, N // side + 1)).astype(np.uint8)
    cells = cv2.GaussianBlur(cells, (0, 0), d.uniform(0.5, 2))
    return cv2.resize(cells, None, fx=side, fy=side, interpolation=cv2.INTER_NEAREST)[:N, :N]


def plaid(d: Dice) -> Ink:
    """Two sets of stripes that add up."""
    across = np.array([d.randint(0, 127) for _ in range(8)], np.uint8)
    bands = np.repeat(np.tile(across, 60), d.randint(3, 14))[:N]
    return bands[None, :] + bands[:, None]


def honeycomb(d: Dice) -> Ink:
    """Dots or holes in a triangular grid: perforated sheet, bubble wrap, speaker grilles."""
    p = d.randint(7, 30)
    y, x = np.indices((N, N), np.float32)
    row = np.floor(y / (p * 0.866))
    away = np.hypot((x + (row % 2) * p / 2) % p - p / 2, y % (p * 0.866) - p * 0.433)
    return np.clip((p * d.uniform(0.2, 0.45) - away + 0.5) * 255, 0, 255).astype(np.uint8)
