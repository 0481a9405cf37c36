"""Motion of boxes: a Kalman filter of each box's centre and size, in seconds and pixels.

Position and speed of each of the four numbers are a filter of their own (constant speed, disturbed by white
acceleration), as in SORT (Bewley et al., 2016) and DeepSORT (Wojke et al., 2017), whose noises in shares of the box's
height a frame are taken for 30 fps; here they are shares of its mean side a second.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..types import Array

MEASURED = 0.05  # the deviation of a detection's centre and size, in mean sides (DeepSORT's 1/20)
ACCELERATION = np.array((1.2, 1.2, 0.5, 0.5))  # deviation of the speed that a second adds, in mean sides a second
FIRST_SPEED = np.array((2.0, 2.0, 0.5, 0.5))  # deviation of the speed of a box seen once, in mean sides a second


@dataclass
class Motion:
    """The states of N boxes. All arrays are (N, 4) for centre x, y, width, height.

    `place` in pixels, `speed` in pixels a second; `place_var`, `cross_var` and `speed_var` are their covariances.
    """

    place: Array
    speed: Array
    place_var: Array
    cross_var: Array
    speed_var: Array

    @classmethod
    def begin(cls, xywh: Array) -> Motion:
        """Begin with boxes, (N, 4), that are seen for the first time."""
        side = mean_side(xywh)
        place = np.array(xywh, np.float64)
        zeros = np.zeros_like(place)
        return cls(place, zeros, zeros + (MEASURED * side) ** 2, zeros.copy(), zeros + (FIRST_SPEED * side) ** 2)

    def __len__(self) -> int:
        return len(self.place)

    def predict(self, seconds: float) -> None:
        """Move all on by a time in seconds."""
        noise = (ACCELERATION * mean_side(self.place)) ** 2
        self.place = self.place + self.speed * seconds
        self.place[:, 2:] = np.maximum(self.place[:, 2:], 1.0)
        self.place_var = (
            self.place_var + 2 * seconds * self.cross_var + seconds**2 * self.speed_var + noise * seconds**3 / 3
        )
        self.cross_var = self.cross_var + seconds * self.speed_var + noise * seconds**2 / 2
        self.speed_var = self.speed_var + noise * seconds

    def update(self, rows: Array, xywh: Array, scores: Array) -> None:
        """Correct the rows (P,) by the boxes (P, 4) that were detected; those of low score count for less."""
        measured = (MEASURED * mean_side(xywh)) ** 2 / np.clip(scores, 0.25, 1.0)[:, None]
        total = self.place_var[rows] + measured
        gain, speed_gain = self.place_var[rows] / total, self.cross_var[rows] / total
        error = xywh - self.place[rows]
        self.place[rows] += gain * error
        self.speed[rows] += speed_gain * error
        self.speed_var[rows] -= speed_gain * self.cross_var[rows]
        self.cross_var[rows] *= 1 - gain
        self.place_var[rows] *= 1 - gain

    def restart(self, rows: Array) -> None:
        """Forget the speed of rows (P,), where a box was detected that the motion did not lead to."""
        again = Motion.begin(self.place[rows])
        for each in fields(self):
            getattr(self, each.name)[rows] = getattr(again, each.name)

    def distances(self, xywh: Array) -> Array:
        """Compare all with boxes (M, 4): squared Mahalanobis distances (N, M)."""
        measured = (MEASURED * mean_side(xywh)[:, 0]) ** 2
        distances = np.zeros((len(self), len(xywh)))
        for place, variance, seen_at in zip(self.place.T, self.place_var.T, xywh.T):  # numpy is slow on an axis of 4
            distances += (seen_at - place[:, None]) ** 2 / (variance[:, None] + measured)
        return distances

    def costs(self, rows: Array, xywh: Array, distances: Array) -> Array:
        """Costs (P,) of pairs of rows (P,) and boxes (P, 4) that are as far from each other as `distances` (P,).

        Minus twice the logarithm of how likely the box is this one's, 0 at best: of two that are as far from a box in
        their own deviations, it belongs to the one that is surer of its place.
        """
        measured = (MEASURED * mean_side(xywh)) ** 2
        costs: Array = distances + np.log(((self.place_var[rows] + measured) / measured).prod(1))
        return costs

    def take(self, rows: Array) -> Motion:
        """Return the states of some rows."""
        return Motion(*(getattr(self, each.name)[rows] for each in fields(self)))

    def join(self, other: Motion) -> Motion:
        """Return the states of both."""
        return Motion(*(np.concatenate((getattr(self, f.name), getattr(other, f.name))) for f in fields(self)))


def mean_side(xywh: Array) -> Array:
    """The geometric mean of width and height, at least a pixel: (N, 1)."""
    side: Array = np.sqrt(np.maximum(xywh[:, 2:3] * xywh[:, 3:4], 1.0))
    return side
