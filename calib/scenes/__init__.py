"""Labelled scenes with codes in them: `scene(seed)` gives the same bytes for the same seed on one machine.

What a scene is made of, from the inside out: `symbols` (module bitmaps), `prints` (their ink), `paper`, `cards`
and `plates` (what they are printed on), `warp` (bends and tilts), `backgrounds`, `lookalikes`, `negatives` and
`patterns`, `canvas` (what lies where, and the boxes), `compose` and `hard` (what is in it), `camera` (light, lens,
sensor, JPEG).
"""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

from .. import CLASSES, HARD_SEEDS, LOOKALIKE_SEEDS, TEST_SEEDS, VAL_SEEDS
from . import hard
from .compose import compose
from .dice import Dice
from .warp import Frame

__all__ = ["CLASSES", "scene"]

cv2.setNumThreads(1)  # one process a core; threads would only fight, and sums must not depend on their number

# width / height of what people hand in: phones both ways, squares, screenshots, strips cut out round a 1-D code.
_ASPECTS = (
    (4 / 3, 0.3), (3 / 4, 0.22), (1.0, 0.16), (16 / 9, 0.12), (9 / 16, 0.08), (3 / 2, 0.05), (2.2, 0.03), (3.0, 0.03),
    (0.4, 0.01),
)  # fmt: skip


def scene(seed: int, side: int = 320, natural: bool = False) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One scene: (H, W, 3) uint8 BGR, boxes (N, 4) float32 xyxy in pixels, class ids (N,) int64.

    Every scene has an aspect ratio of its own. The image is `side` x `side`, stretched as the network's input
    is (the pixels are drawn there, nothing is resized), or with `natural` its longer side is `side`.
    A box is the symbol's own, without quiet zone or human-readable line, clipped to the image. Symbols of
    which less than half is inside, or less than 60 % uncovered, have none. Which seeds are what: `calib.HARD_SEEDS`.
    """
    d = Dice(seed)
    aspect = d.pick(_ASPECTS) * d.uniform(0.95, 1.05)
    hw = (side, side)
    if natural:
        hw = (round(side / aspect), side) if aspect > 1 else (side, round(side * aspect))
    if is_hard(seed):
        return compose(d, Frame(hw, aspect), hard.scenes(held_out=seed >= VAL_SEEDS), hard.CLEAN)
    return compose(d, Frame(hw, aspect))


def is_hard(seed: int) -> bool:
    """Whether a seed makes a scene of `hard`: Data Matrix, and what is mistaken for codes."""
    half = (VAL_SEEDS + TEST_SEEDS) // 2
    return HARD_SEEDS <= seed < VAL_SEEDS or half <= seed < TEST_SEEDS or seed >= LOOKALIKE_SEEDS
