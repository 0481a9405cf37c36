"""YOLOv2's head, raw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...types import Array
from ..cells import cell_boxes, check_anchors, read_cells
from ..decode import BoxHead, Candidates, drop_invalid, logit, sigmoid


@dataclass(frozen=True)
class YoloRegion(BoxHead):
    """A darknet [region] head: output `name`, (1, A * (5 + classes), H, W), anchor-major [x, y, w, h, obj, ...].

    `anchors_wh` are pixels of the network's input. x = (col + sigmoid(tx)) * input_w / W, w = exp(tw) * anchor_w, and
    a score is sigmoid(obj) times the softmax over the classes. Source: darknet region_layer.c.
    """

    kind = "region"
    stride: int
    anchors_wh: Tuple[Tuple[float, float], ...]

    def __post_init__(self) -> None:
        check_anchors(self)

    @property
    def scale_xy(self) -> float:
        """A box's centre stays in its cell."""
        return 1.0

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, A * (5 + classes), H, W)."""
        return (0, len(self.anchors_wh) * (5 + self.classes))

    @property
    def background(self) -> float:
        """A logit of 0 is a chance of one half: a raw head of zeros would be full of objects."""
        return -30.0

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is no box and is left out at the end
    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Decode the cells."""
        rows, places = read_cells(self, out, input_hw, logit(conf))
        chances = np.exp(rows[:, 5:] - rows[:, 5:].max(1, keepdims=True, initial=-np.inf))
        scores = sigmoid(rows[:, 4:5]) * (chances / chances.sum(1, keepdims=True))
        row, class_id = np.nonzero(scores > np.float32(conf))
        return drop_invalid(cell_boxes(rows[row, :4], places[row]), scores[row, class_id], class_id)
