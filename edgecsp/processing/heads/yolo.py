"""Darknet's YOLO head, raw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Sequence, Tuple

import numpy as np

from ...errors import BadModel
from ...types import Array
from ..decode import EMPTY, BoxHead, Candidates, corners, drop_invalid, logit, sigmoid


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
        if self.classes < 1 or self.stride < 1 or not self.anchors_wh or self.scale_xy <= 0:
            raise BadModel(f"head {self.name!r} needs classes, a stride, anchors and a scale_xy above 0")
        if not all(0 < side <= 1e6 for anchor in self.anchors_wh for side in anchor):
            raise BadModel(f"head {self.name!r} has an anchor of an invalid size: {self.anchors_wh[:9]}")

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
        near = [_read_cells(head, out, input_hw, floor) for head, out in zip(heads, outputs)]
        rows, places = (np.concatenate(each) for each in zip(*near))
        # A score is objectness x class <= class, so the class alone must pass too.
        row, class_id = np.nonzero(rows[:, 5:] > floor)
        objectness, chance = rows[row, 4], rows[row, 5 + class_id]
        scores = objectness * chance if new_coords else sigmoid(objectness) * sigmoid(chance)
        keep = scores > np.float32(conf)
        if not np.count_nonzero(keep):
            return EMPTY
        row = row[keep]
        return drop_invalid(_boxes(rows[row, :4], places[row], new_coords), scores[keep], class_id[keep])


def _read_cells(head: Yolo, out: Array, input_hw: Tuple[int, int], floor: float) -> Tuple[Array, Array]:
    """The rows [tx, ty, tw, th, objectness, classes] of the places whose objectness passes, and those `_places`."""
    n = len(head.anchors_wh)
    fields = 5 + head.classes
    _, channels, height, width = out.shape
    if channels != n * fields:
        raise BadModel(
            f"head {head.name} has {channels} channels; {n} anchors of {head.classes} classes make {n * fields}"
        )
    grid = out.reshape(n, fields, height * width)
    anchor, place = np.nonzero(grid[:, 4] > floor)
    return grid[anchor, :, place], _grid_cells(head, (height, width), input_hw)[anchor, place]


@lru_cache(maxsize=64)
def _grid_cells(head: Yolo, grid_hw: Tuple[int, int], input_hw: Tuple[int, int]) -> Array:
    """What a box goes by at each anchor's places: (A, H * W, 8), [column, row, s, (s - 1) / 2, steps, anchor_wh]."""
    (height, width), s = grid_hw, np.float32(head.scale_xy)
    cells = np.empty((len(head.anchors_wh), height, width, 8), np.float32)
    cells[..., 0], cells[..., 1] = np.arange(width), np.arange(height)[:, None]
    cells[..., 2], cells[..., 3] = s, (s - 1) / 2
    cells[..., 4], cells[..., 5] = input_hw[1] / width, input_hw[0] / height
    cells[..., 6:] = np.array(head.anchors_wh, np.float32)[:, None, None]
    cells.setflags(write=False)
    return cells.reshape(len(head.anchors_wh), height * width, 8)


def _boxes(raw: Array, place: Array, new_coords: bool) -> Array:
    """Rows [tx, ty, tw, th] and their `_places` -> xyxy network pixels."""
    shift = raw[:, :2] if new_coords else sigmoid(raw[:, :2])
    xy = (place[:, :2] + shift * place[:, 2:3] - place[:, 3:4]) * place[:, 4:6]
    # exp past 60 times an anchor leaves float32; such a box covers the image many times over either way.
    wh = (2 * raw[:, 2:]) ** 2 if new_coords else np.exp(np.minimum(raw[:, 2:], np.float32(60)))
    return corners(np.concatenate((xy, wh * place[:, 6:]), 1))
