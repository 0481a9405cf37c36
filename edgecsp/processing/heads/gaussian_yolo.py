"""The head of Gaussian YOLOv3, raw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...types import Array
from ..cells import cell_boxes, check_anchors, read_cells
from ..decode import BoxHead, Candidates, drop_invalid, logit, sigmoid


@dataclass(frozen=True)
class GaussianYolo(BoxHead):
    """A darknet [Gaussian_yolo] head: output `name`, (1, A * (9 + classes), H, W).

    Anchor-major [x, sx, y, sy, w, sw, h, sh, obj, ...]: a box as `Yolo` has it, each side with its uncertainty. A
    score is sigmoid(obj) * sigmoid(class) * (1 - the mean of the four sigmoid(s)). Source: darknet
    gaussian_yolo_layer.c; Choi et al., ICCV 2019.
    """

    kind = "gaussian-yolo"
    stride: int
    anchors_wh: Tuple[Tuple[float, float], ...]
    scale_xy: float = 1.0
    mask: Tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_anchors(self)

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, A * (9 + classes), H, W)."""
        return (0, len(self.anchors_wh) * (9 + self.classes))

    @property
    def background(self) -> float:
        """A logit of 0 is a chance of one half: a raw head of zeros would be full of objects."""
        return -30.0

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is no box and is left out at the end
    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Decode the cells."""
        rows, places = read_cells(self, out, input_hw, logit(conf), objectness_at=8)
        certainty = 1 - sigmoid(rows[:, 1:8:2]).mean(1, keepdims=True)
        scores = sigmoid(rows[:, 8:9]) * sigmoid(rows[:, 9:]) * certainty
        row, class_id = np.nonzero(scores > np.float32(conf))
        return drop_invalid(cell_boxes(rows[row, 0:8:2], places[row]), scores[row, class_id], class_id)
