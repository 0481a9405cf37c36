"""Boxes that the graph has decoded: most exporters'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...types import Array
from ..decode import BoxHead, Candidates, check_layout, drop_invalid, in_pixels, read_rows, select


@dataclass(frozen=True)
class Decoded(BoxHead):
    """Boxes that the graph itself has decoded: output `name`, (1, N, 4 + classes), rows [box, class ...].

    `box`: "xywh" (centre and size) or "xyxy", in network pixels, or in 0..1 of the input's sides with `relative`.
    With `objectness` a row is [box, obj, class ...] and a score obj * class; with `channels_first` the output
    is (1, 4 + classes, N). All scores are in 0..1. With `multi_label` a row gives a box for every class that passes,
    else for its best class alone, as the predictors of YOLOv5 to v12, YOLOX and pytorch-YOLOv4 do.
    """

    kind = "decoded"
    box: str = "xywh"
    objectness: bool = False
    channels_first: bool = False
    relative: bool = False
    multi_label: bool = False

    def __post_init__(self) -> None:
        check_layout(self.box)

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, N, 4 + classes), one more with objectness; (1, 4 + classes, N) with channels first."""
        fields = (5 if self.objectness else 4) + self.classes
        return (0, fields, 0) if self.channels_first else (0, 0, fields)

    @np.errstate(over="ignore", invalid="ignore")
    def decode(self, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
        """Decode the rows."""
        first = 5 if self.objectness else 4
        rows = read_rows(self, out.transpose(0, 2, 1) if self.channels_first else out, first + self.classes)
        objectness = rows[:, 4] if self.objectness else None
        row, class_id, scores = select(rows[:, first:], objectness, conf, self.multi_label)
        return drop_invalid(in_pixels(rows[row, :4], self.box, self.relative, input_hw), scores, class_id)
