"""Prints of a symbol on its surface: the ink, at the resolution it will be seen at."""

from __future__ import annotations

import functools
import math
from typing import Tuple

import cv2
import numpy as np

from .dice import Dice
from .symbols import AZTEC, DATAMATRIX, MARKER, QR, Symbol

Colour = Tuple[int, int, int]


def stamp(canvas: np.ndarray, x: int, y: int, ink: np.ndarray, colour: Colour) -> None:
    """Blend a colour into `canvas` (H, W, 3) where `ink` (h, w) uint8 lies at (x, y); what sticks out is cut off."""
    h, w = ink.shape
    x0, y0, x1, y1 = max(0, x), max(0, y), min(canvas.shape[1], x + w), min(canvas.shape[0], y + h)
    if x0 >= x1 or y0 >= y1:
        return
    weight = ink[y0 - y : y1 - y, x0 - x : x1 - x].astype(np.float32)
    weight *= np.float32(1 / 255)
    below = np.ascontiguousarray(canvas[y0:y1, x0:x1])
    canvas[y0:y1, x0:x1] = cv2.blendLinear(np.full_like(below, colour), below, weight, 1 - weight)


def resized(ink: np.ndarray, w: int, h: int) -> np.ndarray:
    """Modules -> (h, w) pixels with every module equally wide: whole multiples first, then areas."""
    mh, mw = ink.shape
    big = cv2.resize(ink, (mw * math.ceil(w / mw), mh * math.ceil(h / mh)), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(big, (w, h), interpolation=cv2.INTER_AREA)


def render(dice: Dice, symbol: Symbol, w: int, h: int, wear: float = 1.0, dotted: float = 0.06) -> np.ndarray:
    """A symbol's ink at (h, w) px, uint8: plain, spread, dotted (with that probability) or worn."""
    mw = symbol.ink.shape[1]
    px = w / mw
    if dice.chance(dotted) and symbol.class_id in (QR, DATAMATRIX, AZTEC):
        ink = _dots(dice, symbol.ink, w, h)
    else:
        ink = resized(symbol.ink, w, h)
        if px > 2 and symbol.class_id != MARKER and dice.chance(0.25 * wear):
            ink = _spread(dice, ink, px)
    return _worn(dice, ink) if dice.chance(0.2 * wear) else ink


@functools.lru_cache(maxsize=64)
def _disc(side: int, tenths: int) -> np.ndarray:
    at = np.arange(side) - (side - 1) / 2
    away = np.hypot(at[:, None], at[None, :])
    return np.clip((side * tenths / 20 - away + 0.5) * 255, 0, 255).astype(np.uint8)


def _dots(dice: Dice, modules: np.ndarray, w: int, h: int) -> np.ndarray:
    """Every module a dot, as dot-peen needles, inkjets and fashionable QR codes leave it."""
    mh, mw = modules.shape
    side = min(12, max(5, math.ceil(w / mw)))
    disc = _disc(side, dice.randint(7, 11))
    dots = cv2.resize(modules, (mw * side, mh * side), interpolation=cv2.INTER_NEAREST)
    dots = cv2.min(dots, np.tile(disc, (mh, mw)))
    if dice.chance(0.5) and mw <= 48:
        jitter = dice.arrays().normal(0, side * dice.uniform(0.02, 0.1), (2, mh, mw)).astype(np.float32)
        dx, dy = (cv2.resize(j, dots.shape[::-1], interpolation=cv2.INTER_NEAREST) for j in jitter)
        ys, xs = np.indices(dots.shape, np.float32)
        dots = cv2.remap(dots, xs + dx, ys + dy, cv2.INTER_LINEAR)
    return cv2.resize(dots, (w, h), interpolation=cv2.INTER_AREA)


def _spread(dice: Dice, ink: np.ndarray, px: float) -> np.ndarray:
    """Ink that ran (or did not reach the edges): corners go round, modules fat or thin."""
    soft = cv2.GaussianBlur(ink, (0, 0), px * dice.uniform(0.2, 0.4))
    low = dice.uniform(70, 150)
    return cv2.convertScaleAbs(cv2.subtract(soft, (low,)), alpha=255 / dice.uniform(20, 60))


def _worn(dice: Dice, ink: np.ndarray) -> np.ndarray:
    """Ink that fades to a side, misses in streaks (a print head's dead dot) or in specks (rubbed off)."""
    h, w = ink.shape
    kind = dice.randrange(3)
    if kind == 0:
        corners = np.array([[dice.uniform(0.25, 1) for _ in range(2)] for _ in range(2)], np.float32)
        mask = cv2.resize(corners, (w, h), interpolation=cv2.INTER_LINEAR)
        return cv2.multiply(ink, mask, dtype=cv2.CV_8U)
    ink = ink.copy()
    if kind == 1:
        for _ in range(dice.randint(1, 5)):
            at, thick = dice.random(), max(1, int(dice.uniform(0.002, 0.02) * max(w, h)))
            if dice.chance(0.5):
                ink[int(at * h) : int(at * h) + thick] //= 4
            else:
                ink[:, int(at * w) : int(at * w) + thick] //= 4
        return ink
    grain = dice.arrays().random((max(2, h // 3), max(2, w // 3)), np.float32)
    grain = cv2.resize(cv2.GaussianBlur(grain, (0, 0), dice.uniform(0.5, 1.5)), (w, h))
    level = float(grain.mean() + dice.uniform(0.8, 2) * grain.std())
    ink[grain > level] //= dice.choice((2, 8))
    return ink
