"""SSD's head, raw: default boxes in the cells of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...errors import BadModel
from ...types import Array
from ..decode import BoxHead, Candidates, corners, drop_invalid

_VARIANCES = (0.1, 0.2)  # of centres and of sides: the scale of what the network gives


@dataclass(frozen=True)
class Ssd(BoxHead):
    """A head of SSD: output `name`, (1, A * (5 + classes), H, W), prior-major [x, y, w, h, background, class ...].

    `priors_wh` are the default boxes at every cell's middle, in pixels of the network's input. A centre is
    0.1 * tx * prior_w away from there, w = exp(0.2 * tw) * prior_w, and the scores are the softmax over the classes and
    the background. `stride` is input_w / W rounded, for people. Source: SSD, arXiv 1512.02325; caffe's bbox_util.cpp.
    """

    kind = "ssd"
    is_resizable = False  # its default boxes are of one input's size
    stride: int
    priors_wh: Tuple[Tuple[float, float], ...]

    def __post_init__(self) -> None:
        if self.classes < 1 or self.stride < 1 or not self.priors_wh:
            raise BadModel(f"head {self.name!r} needs classes, a stride and default boxes")
        if not all(0 < side <= 1e6 for prior in self.priors_wh for side in prior):
            raise BadModel(f"head {self.name!r} has a default box of an invalid size: {self.priors_wh[:9]}")

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, A * (5 + classes), H, W)."""
        return (0, len(self.priors_wh) * (5 + self.classes))

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is no box and is left out at the end
    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Decode the cells."""
        n, fields = len(self.priors_wh), 5 + self.classes
        _, channels, height, width = out.shape
        if channels != n * fields:
            expected = f"{n} default boxes of {self.classes} classes make {n * fields}"
            raise BadModel(f"head {self.name} has {channels} channels; {expected}")
        rows = out.reshape(n, fields, height * width)
        chances = np.exp(rows[:, 4:] - rows[:, 4:].max(1, keepdims=True))
        scores = chances[:, 1:] / chances.sum(1, keepdims=True)
        prior, class_id, place = np.nonzero(scores > np.float32(conf))
        raw, wh = rows[prior, :4, place], np.array(self.priors_wh, np.float32)[prior]
        steps = np.array((input_hw[1] / width, input_hw[0] / height), np.float32)
        middle = (np.stack((place % width, place // width), 1) + np.float32(0.5)) * steps
        xy = middle + np.float32(_VARIANCES[0]) * raw[:, :2] * wh
        sides = np.exp(np.minimum(np.float32(_VARIANCES[1]) * raw[:, 2:], np.float32(60))) * wh
        return drop_invalid(corners(np.concatenate((xy, sides), 1)), scores[prior, class_id, place], class_id)
