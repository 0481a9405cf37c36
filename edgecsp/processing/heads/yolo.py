"""Darknet's YOLO head, raw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence, Tuple

import numpy as np

from ...types import Array
from ..cells import cell_boxes, check_anchors, read_cells
from ..decode import EMPTY, BoxHead, Candidates, drop_invalid, logit, sigmoid


@dataclass(frozen=True)
class Yolo(BoxHead):
    """A darknet YOLO head: output `name`, (1, A * (5 + classes), H, W), anchor-major [x, y, w, h, obj, ...].

    `anchors_wh` are pixels of the network's input, `mask` their places in the cfg's list.
    x = (col + s * sigmoid(tx) - (s - 1) / 2) * input_w / W with s = `scale_xy`, w = exp(tw) * anchor_w.
    `stride` is input_w / W rounded, for people. With `new_coords` (Scaled-YOLOv4) the graph has applied the
    sigmoid itself and w = (2 * tw)^2 * anchor_w. Source: YOLOv3 paper 2.1; darknet yolo_layer.c.
    """

    kind = "yolo"
    stride: int
    anchors_wh: Tuple[Tuple[float, float], ...]
    scale_xy: float = 1.0
    new_coords: bool = False
    mask: Tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_anchors(self)

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, A * (5 + classes), H, W)."""
        return (0, len(self.anchors_wh) * (5 + self.classes))

    @property
    def background(self) -> float:
        """A logit of 0 is a chance of one half: a raw head of zeros would be full of objects."""
        return 0.0 if self.new_coords else -30.0

    @property
    def group(self) -> Any:
        """All strides of a network are decoded at once."""
        return Yolo, self.classes, self.new_coords

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")  # what overflows is no box and is left out at the end
    def decode_alike(
        cls, heads: Sequence[Yolo], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float
    ) -> Candidates:
        """Decode heads of the same classes and coordinates."""
        # Most places hold nothing: one comparison of the raw objectness drops them before any arithmetic.
        new_coords = heads[0].new_coords
        floor = conf if new_coords else logit(conf)
        near = [read_cells(head, out, input_hw, floor) for head, out in zip(heads, outputs)]
        rows, places = (np.concatenate(each) for each in zip(*near))
        # A score is objectness x class <= class, so the class alone must pass too.
        row, class_id = np.nonzero(rows[:, 5:] > floor)
        objectness, chance = rows[row, 4], rows[row, 5 + class_id]
        scores = objectness * chance if new_coords else sigmoid(objectness) * sigmoid(chance)
        keep = scores > np.float32(conf)
        if not np.count_nonzero(keep):
            return EMPTY
        row = row[keep]
        return drop_invalid(cell_boxes(rows[row, :4], places[row], new_coords), scores[keep], class_id[keep])
