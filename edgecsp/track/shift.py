"""The shift that a movement of the camera gives all boxes of a frame."""

from __future__ import annotations

import numpy as np

from ..types import Array
from .motion import Pairs, mean_side

LEAST = 3  # boxes that must agree
NEAREST = 3  # boxes that are looked at for each expected one
TOLERANCE = 0.15  # in mean sides
SMALLER, LARGER = 0.7, 1.4  # the mean side of a box that may be the expected one, in its
STILL = 0.75  # the share of boxes that lie where they were expected from which on nothing is looked for


def find(expected: Array, detected: Array, pairs: Pairs) -> Array:
    """Find the shift (2, 1) in pixels that lays the most expected boxes (4, N) on detected ones (4, M), both xywh.

    It must lay at least three, and half of the fewer, where none at all lays fewer; else it is (0, 0). `pairs` has at
    least all that lie on each other.
    """
    none = np.zeros((2, 1))
    fewer = min(expected.shape[1], detected.shape[1])
    if fewer < LEAST:
        return none
    side, sides = mean_side(expected), mean_side(detected)
    ratio, limit = sides[pairs.columns] / side[pairs.rows], TOLERANCE * side[pairs.rows]
    lies = (ratio >= SMALLER) & (ratio <= LARGER) & (np.abs(pairs.off[:2]) < limit).all(0)
    unmoved = len(set(pairs.rows[lies].tolist()))
    if unmoved >= STILL * fewer:
        return none
    side = side[:, None]
    x, y = (detected[k] - expected[k, :, None] for k in (0, 1))
    ratios, far = sides / side, np.maximum(np.abs(x), np.abs(y)) / side
    far[(ratios < SMALLER) | (ratios > LARGER)] = np.inf
    near = np.argpartition(far, min(NEAREST, len(sides)) - 1, 1)[:, :NEAREST]
    at = np.arange(len(side))[:, None]
    candidates, is_alike = np.stack((x[at, near], y[at, near]), 2), np.isfinite(far[at, near])
    tried = candidates[is_alike]
    # (T, N, K): does the shift lay the expected box on this near one
    fits = (np.abs(candidates[None] - tried[:, None, None]).max(3) < TOLERANCE * side) & is_alike
    votes = fits.any(2).sum(1)
    best = int(votes.argmax()) if len(tried) else 0
    if not len(tried) or votes[best] <= unmoved or votes[best] < max(LEAST, fewer / 2):
        return none
    shifts: Array = np.median(candidates[fits[best]], 0)
    return shifts[:, None]
