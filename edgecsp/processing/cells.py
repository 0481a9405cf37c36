"""Heads of anchors in cells: what darknet's kinds share. Raw values at every cell and anchor -> boxes."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, Tuple

import numpy as np

from ..errors import BadModel
from ..types import Array
from .decode import corners, sigmoid


class Cells(Protocol):
    """A head of A anchors in every cell, (1, A * fields, H, W), and what its boxes go by."""

    @property
    def name(self) -> str:
        """The output's name."""
        ...

    @property
    def classes(self) -> int:
        """The number of classes."""
        ...

    @property
    def stride(self) -> int:
        """The side of a cell in pixels of the input, rounded."""
        ...

    @property
    def anchors_wh(self) -> Tuple[Tuple[float, float], ...]:
        """The anchors, in pixels of the input."""
        ...

    @property
    def scale_xy(self) -> float:
        """By how much a box's centre may leave its cell; 1 for not at all."""
        ...


def check_anchors(head: Cells) -> None:
    """Raise `BadModel` for a head without classes, stride or anchors of a usable size."""
    if head.classes < 1 or head.stride < 1 or not head.anchors_wh or head.scale_xy <= 0:
        raise BadModel(f"head {head.name!r} needs classes, a stride, anchors and a scale_xy above 0")
    if not all(0 < side <= 1e6 for anchor in head.anchors_wh for side in anchor):
        raise BadModel(f"head {head.name!r} has an anchor of an invalid size: {head.anchors_wh[:9]}")


def read_cells(
    head: Cells, out: Array, input_hw: Tuple[int, int], floor: float, objectness_at: int = 4
) -> Tuple[Array, Array]:
    """The rows [box ..., objectness, classes] of the places whose raw objectness is above `floor`, and those places.

    A row has `objectness_at` fields in front of the objectness.
    """
    n = len(head.anchors_wh)
    fields = objectness_at + 1 + head.classes
    _, channels, height, width = out.shape
    if channels != n * fields:
        raise BadModel(
            f"head {head.name} has {channels} channels; {n} anchors of {head.classes} classes make {n * fields}"
        )
    grid = out.reshape(n, fields, height * width)
    anchor, place = np.nonzero(grid[:, objectness_at] > floor)
    cells = _grid_cells(head.anchors_wh, head.scale_xy, (height, width), input_hw)
    return grid[anchor, :, place], cells[anchor, place]


@lru_cache(maxsize=64)
def _grid_cells(
    anchors_wh: Tuple[Tuple[float, float], ...], scale_xy: float, grid_hw: Tuple[int, int], input_hw: Tuple[int, int]
) -> Array:
    """What a box goes by at each anchor's places: (A, H * W, 8), [column, row, s, (s - 1) / 2, steps, anchor_wh]."""
    (height, width), s = grid_hw, np.float32(scale_xy)
    cells = np.empty((len(anchors_wh), height, width, 8), np.float32)
    cells[..., 0], cells[..., 1] = np.arange(width), np.arange(height)[:, None]
    cells[..., 2], cells[..., 3] = s, (s - 1) / 2
    cells[..., 4], cells[..., 5] = input_hw[1] / width, input_hw[0] / height
    cells[..., 6:] = np.array(anchors_wh, np.float32)[:, None, None]
    cells.setflags(write=False)
    return cells.reshape(len(anchors_wh), height * width, 8)


def cell_boxes(raw: Array, place: Array, new_coords: bool = False) -> Array:
    """Rows [tx, ty, tw, th] and their places -> xyxy network pixels."""
    shift = raw[:, :2] if new_coords else sigmoid(raw[:, :2])
    xy = (place[:, :2] + shift * place[:, 2:3] - place[:, 3:4]) * place[:, 4:6]
    # exp past 60 times an anchor leaves float32; such a box covers the image many times over either way.
    wh = (2 * raw[:, 2:]) ** 2 if new_coords else np.exp(np.minimum(raw[:, 2:], np.float32(60)))
    return corners(np.concatenate((xy, wh * place[:, 6:]), 1))
