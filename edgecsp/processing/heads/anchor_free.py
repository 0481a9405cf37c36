"""YOLOX's head, raw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...types import Array
from ..decode import BoxHead, Candidates, corners, drop_invalid, read_rows, select


@dataclass(frozen=True)
class AnchorFree(BoxHead):
    """YOLOX's head: output `name`, (1, N, 5 + classes), rows [x, y, w, h, obj, class ...].

    The rows are the cells of every stride in turn, row by row. x = (col + tx) * stride, w = exp(tw) * stride in
    network pixels; the graph has applied the sigmoid to obj and the classes. With `multi_label` a row gives a box for
    every class that passes, else for its best class alone. Source: YOLOX, `decode_outputs`.
    """

    kind = "anchor-free"
    strides: Tuple[int, ...] = (8, 16, 32)
    multi_label: bool = False

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, N, 5 + classes)."""
        return (0, 0, 5 + self.classes)

    @np.errstate(over="ignore", invalid="ignore")
    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Decode the rows of all strides."""
        grids = [(input_hw[0] // stride, input_hw[1] // stride) for stride in self.strides]
        ends = np.cumsum([height * width for height, width in grids])
        rows = read_rows(self, out, 5 + self.classes, places=int(ends[-1]))
        row, class_id, scores = select(rows[:, 5:], rows[:, 4], conf, self.multi_label)
        level = np.searchsorted(ends, row, side="right")
        place = row - (ends - [height * width for height, width in grids])[level]
        widths, strides = np.array([width for _, width in grids])[level], np.array(self.strides, np.float32)[level]
        cell = np.stack((place % widths, place // widths), 1).astype(np.float32)
        raw = rows[row, :4]
        # exp past 60 leaves the image many times over; see `yolo`.
        wh = np.exp(np.minimum(raw[:, 2:], np.float32(60)))
        xywh = np.concatenate((raw[:, :2] + cell, wh), 1) * strides[:, None]
        return drop_invalid(corners(xywh), scores, class_id)
