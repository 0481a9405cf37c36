"""The side of the images of every step: the network's own, several around it, or smaller ones at first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SMALL, SMALL_UNTIL = 0.7, 0.6  # share of the side, and of the steps that have it
AROUND = (0.8, 0.9, 1.0, 1.0, 1.1)


class ImageSizes(NamedTuple):
    """The sides of a run's images, in pixels; each is a function of the step and the seed, whatever was resumed.

    `side` is that of the network's input, `stride` what every side is a multiple of, `steps` how many the run has.
    `multi_scale` varies the side from step to step. `progressive` begins with smaller images, which take half the time
    (progressive resizing, as in EfficientNetV2, Tan and Le 2021, who begin with smaller ones still).
    """

    side: int
    stride: int
    steps: int
    seed: int = 0
    multi_scale: bool = False
    progressive: bool = False

    def at(self, step: int) -> int:
        """The side of the images of a step, pixels."""
        share = SMALL if step < self._small_steps() else 1.0
        if self.multi_scale:
            share *= AROUND[int(np.random.default_rng((self.seed, 2, step)).integers(len(AROUND)))]
        return self._whole(share)

    def pixels(self, first: int, last: int) -> float:
        """Count the pixels of the steps from `first` to before `last`, in steps of the network's own input size.

        The time that steps take is about in proportion. `multi_scale` is left out: its mean is that of all steps.
        """
        small = max(0, min(last, self._small_steps()) - first)
        return (last - first) - small * (1 - (self._whole(SMALL) / self.side) ** 2)

    def _small_steps(self) -> int:
        return int(self.steps * SMALL_UNTIL) if self.progressive else 0

    def _whole(self, share: float) -> int:
        return max(self.stride, round(self.side * share / self.stride) * self.stride)
