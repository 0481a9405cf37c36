"""The shift that a movement of the camera gives all boxes of a frame."""

from __future__ import annotations

import numpy as np

from ..types import Array
from .motion import mean_side

LEAST = 3  # boxes that must agree
NEAREST = 3  # boxes that are looked at for each expected one
TOLERANCE = 0.15  # in mean sides
SMALLER, LARGER = 0.7, 1.4  # the mean side of a box that may be the expected one, in its
STILL = 0.75  # the share of boxes that lie where they were expected from which on nothing is looked for


def find(expected: Array, detected: Array) -> Array:
    """Find the shift (2,) in pixels that lays the most expected boxes (N, 4) on detected ones (M, 4), both xywh.

    It must lay at least three, and half of the fewer, where none at all lays fewer; else it is (0, 0).
    """
    none = np.zeros(2)
    if min(len(expected), len(detected)) < LEAST:
        return none
    side = mean_side(expected)
    x, y = (detected[:, k] - expected[:, k, None] for k in (0, 1))
    off, sides = np.maximum(np.abs(x), np.abs(y)), mean_side(detected)[:, 0]
    rows, columns = np.nonzero(off < TOLERANCE * side)
    fewer = min(len(expected), len(detected))
    ratio = sides[columns] / side[rows, 0]
    unmoved = len(set(rows[(ratio >= SMALLER) & (ratio <= LARGER)].tolist()))
    if unmoved >= STILL * fewer:
        return none
    ratios, far = sides / side, off / side
    far[(ratios < SMALLER) | (ratios > LARGER)] = np.inf
    near = np.argpartition(far, min(NEAREST, len(detected)) - 1, 1)[:, :NEAREST]
    at = np.arange(len(expected))[:, None]
    candidates, is_alike = np.stack((x[at, near], y[at, near]), 2), np.isfinite(far[at, near])
    tried = candidates[is_alike]
    # (T, N, K): does the shift lay the expected box on this near one
    fits = (np.abs(candidates[None] - tried[:, None, None]).max(3) < TOLERANCE * side) & is_alike
    votes = fits.any(2).sum(1)
    best = int(votes.argmax()) if len(tried) else 0
    if not len(tried) or votes[best] <= unmoved or votes[best] < max(LEAST, fewer / 2):
        return none
    shifts: Array = np.median(candidates[fits[best]], 0)
    return shifts
