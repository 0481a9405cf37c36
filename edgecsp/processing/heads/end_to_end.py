"""Boxes that need no suppression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...types import Array
from ..decode import BoxHead, Candidates, check_layout, drop_invalid, in_pixels, read_rows


@dataclass(frozen=True)
class EndToEnd(BoxHead):
    """Boxes that need no suppression: output `name`, (1, N, 6), rows [box, score, class].

    `box` and `relative` are as of `Decoded`; rows that hold nothing have a score near 0. Source: YOLOv10's one-to-one
    head (corners in network pixels); ultralytics' RT-DETR (centre and size, relative).
    """

    kind = "end-to-end"
    nms_free = True
    box: str = "xyxy"
    relative: bool = False

    def __post_init__(self) -> None:
        check_layout(self.box)

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, N, 6)."""
        return (0, 0, 6)

    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Decode the rows that hold a box."""
        rows = read_rows(self, out, 6)
        rows = rows[(rows[:, 4] > conf) & (rows[:, 5] > -0.5) & (rows[:, 5] < self.classes - 0.5)]
        return drop_invalid(in_pixels(rows[:, :4], self.box, self.relative, input_hw), rows[:, 4], np.rint(rows[:, 5]))
