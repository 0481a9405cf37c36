"""Anchors: k-means over box sizes with darknet's distance, 1 - IoU of boxes that share a corner."""

from __future__ import annotations

from typing import Tuple

import numpy as np

Anchors = Tuple[Tuple[float, float], ...]


def shape_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of sizes (N, 2) and (M, 2) as if the boxes shared a corner: (N, M)."""
    common = np.minimum(a[:, None], b[None]).prod(2)
    shared: np.ndarray = common / (a.prod(1)[:, None] + b.prod(1)[None] - common)
    return shared


def kmeans(wh: np.ndarray, k: int = 6, seed: int = 0, starts: int = 12) -> Anchors:
    """`k` sizes for boxes `wh` (N, 2), smallest area first; whole pixels, as a cfg has them.

    The best of several starts: a single one may leave two shapes to one anchor.
    """
    rng = np.random.default_rng(seed)
    wh = wh[rng.permutation(len(wh))[:8000]].astype(np.float64)
    tried = [_settled(wh, wh[rng.permutation(len(wh))[:k]]) for _ in range(starts)]
    best = max(tried, key=lambda centres: shape_iou(wh, centres).max(1).mean())
    return tuple((float(round(w)), float(round(h))) for w, h in best[np.argsort(best.prod(1))])


def _settled(wh: np.ndarray, centres: np.ndarray, rounds: int = 40) -> np.ndarray:
    for _ in range(rounds):
        nearest = shape_iou(wh, centres).argmax(1)
        rows = [wh[nearest == i] for i in range(len(centres))]
        moved = np.array([np.median(row, 0) if len(row) else centre for row, centre in zip(rows, centres)])
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres
