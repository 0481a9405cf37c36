"""Motion of boxes: a Kalman filter of each box's centre and size, in seconds and pixels.

Position and speed of each of the four numbers are a filter of their own (constant speed, disturbed by white
acceleration), as in SORT (Bewley et al., 2016) and DeepSORT (Wojke et al., 2017), whose noises in shares of the box's
height a frame are taken for 30 fps; here they are shares of its mean side a second.

Boxes are columns here: numpy is slow on an inner axis of 4, and a call costs more than what it does with 50 boxes.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np

from ..types import Array

MEASURED = 0.05  # the deviation of a detection's centre and size, in mean sides (DeepSORT's 1/20)
ACCELERATION = np.array(((1.2,), (1.2,), (0.5,), (0.5,)))  # deviation that a second adds to the speed, in mean sides/s
FIRST_SPEED = np.array(((2.0,), (2.0,), (0.5,), (0.5,)))  # deviation of the speed of a box seen once, in mean sides/s
GATE = 25.0  # squared Mahalanobis distance in 4 dimensions; 1 true pair in 20,000 is farther


class Pairs(NamedTuple):
    """Tracks and boxes that may belong together: rows and columns (P,), and how far the box lies off (4, P)."""

    rows: Array
    columns: Array
    off: Array


class Motion:
    """The states of N boxes: five arrays (4, N) for centre x, y, width, height.

    They are the place in pixels, the speed in pixels a second, and the covariances: of the place, of place and speed,
    of the speed.
    """

    def __init__(self, state: Array) -> None:
        self.state = state  # (5, 4, N)

    @classmethod
    def begin(cls, xywh: Array) -> Motion:
        """Begin with boxes, (4, N), that are seen for the first time."""
        side = mean_side(xywh)
        state = np.zeros((5, *xywh.shape))
        state[0], state[2], state[4] = xywh, (MEASURED * side) ** 2, (FIRST_SPEED * side) ** 2
        return cls(state)

    def __len__(self) -> int:
        return int(self.state.shape[2])

    @property
    def place(self) -> Array:
        """The places where boxes are expected: (4, N) xywh, which may be changed in place."""
        place: Array = self.state[0]
        return place

    def predict(self, seconds: float) -> None:
        """Move all on by a time in seconds."""
        place, speed, place_var, cross_var, _ = self.state
        noise = ACCELERATION**2 * _area(place)
        place += speed * seconds
        np.maximum(place[2:], 1.0, out=place[2:])
        self.state[2:4] += seconds * self.state[3:5]
        place_var += seconds * cross_var
        self.state[2:] += np.array((seconds**3 / 3, seconds**2 / 2, seconds))[:, None, None] * noise

    def update(self, rows: Array, xywh: Array, scores: Array) -> None:
        """Correct the rows (P,) by the boxes (4, P) that were detected; those of low score count for less."""
        measured = MEASURED**2 * _area(xywh) / np.minimum(np.maximum(scores, 0.25), 1.0)
        state = self.state.take(rows, 2)
        gains = state[2:4] / (state[2] + measured)
        state[4] -= gains[1] * state[3]
        state[:2] += gains * (xywh - state[0])
        state[2:4] *= 1 - gains[0]
        self.state[:, :, rows] = state

    def restart(self, rows: Array) -> None:
        """Forget the speed of rows (P,), where a box was detected that the motion did not lead to."""
        self.state[:, :, rows] = Motion.begin(self.place[:, rows]).state

    def is_outside(self, hw: Tuple[int, int]) -> Array:
        """Whether each is expected wholly outside an image of this height and width: (N,) bool."""
        x, y, w, h = self.place
        outside: Array = (np.abs(2 * x - hw[1]) > hw[1] + w) | (np.abs(2 * y - hw[0]) > hw[0] + h)
        return outside

    def near(self, xywh: Array) -> Pairs:
        """Find the boxes (4, M) whose centres alone would let them belong to each: twice as far as `weigh` wants it."""
        off = xywh[:2, None] - self.state[0, :2, :, None]
        off *= off
        off /= self.state[2, :2, :, None] + MEASURED**2 * _area(xywh)
        rows, columns = (off[0] + off[1] < 2 * GATE).nonzero()
        return Pairs(rows, columns, xywh.take(columns, 1) - self.place.take(rows, 1))

    def weigh(self, pairs: Pairs, side: Array) -> Array:
        """Costs (P,) of pairs with boxes of these mean sides (P,), infinite for those that are too far.

        Minus twice the logarithm of how likely the box is this one's, 0 at best: of two that are as far from a box in
        their own deviations, it belongs to the one that is surer of its place.
        """
        measured = (MEASURED * side) ** 2
        variance = self.state[2].take(pairs.rows, 1) + measured
        distances = (pairs.off**2 / variance).sum(0)
        costs: Array = distances + np.log((variance / measured).prod(0))
        costs[distances >= GATE] = np.inf
        return costs

    def take(self, rows: Array) -> Motion:
        """Return the states of some rows."""
        return Motion(self.state[:, :, rows])

    def join(self, other: Motion) -> Motion:
        """Return the states of both."""
        return Motion(np.concatenate((self.state, other.state), 2))


def mean_side(xywh: Array) -> Array:
    """The geometric mean of width and height of boxes (4, N), at least a pixel: (N,)."""
    side: Array = np.sqrt(_area(xywh))
    return side


def _area(xywh: Array) -> Array:
    """The areas of boxes (4, N), at least a pixel: (N,)."""
    area: Array = np.maximum(xywh[2] * xywh[3], 1.0)
    return area
