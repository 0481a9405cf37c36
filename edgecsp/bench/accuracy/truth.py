"""Ground truth: the types that every layout is read into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from ...errors import UnknownName
from ...types import Array


@dataclass(frozen=True)
class Boxes:
    """The objects of one image, by column.

    `xywh` (N, 4) float64: left, top, width, height in image pixels, as COCO writes them and not once converted, so
    that an IoU of exactly 0.5 stays one. `class_ids` (N,) int64, numbers in `Data.names`. `crowd` (N,) bool: a region
    of many, where boxes count neither way. `areas` (N,) float64 px^2: what makes an object small, medium or large.
    `clipped` boxes reached beyond the image and were clipped when they were read.
    `scores` (N,) float32 in 0..1: confidence of a network that labelled the image; None for manual labels.
    """

    xywh: Array
    class_ids: Array
    crowd: Array
    areas: Array
    clipped: int = 0
    scores: Optional[Array] = None

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[float]]) -> Boxes:
        """Build from rows of (class id, left, top, width, height)."""
        table = np.array(rows, np.float64).reshape(-1, 5)
        areas = table[:, 3] * table[:, 4]
        return cls(table[:, 1:], table[:, 0].astype(np.int64), np.zeros(len(table), bool), areas)

    def __len__(self) -> int:
        return len(self.class_ids)

    @property
    def xyxy(self) -> Array:
        """(N, 4) float64 image pixels."""
        corners: Array = np.concatenate((self.xywh[:, :2], self.xywh[:, :2] + self.xywh[:, 2:]), 1)
        return corners


@dataclass(frozen=True)
class LabelledImage:
    """An image's file, its id in results, and its objects.

    `hw` is its size if the data has it. With `relative`, `boxes` are relative to the image, until `with_size`.
    """

    path: str
    image_id: Union[int, str]
    boxes: Boxes
    hw: Optional[Tuple[int, int]] = None
    relative: bool = False

    def with_size(self, hw: Tuple[int, int]) -> LabelledImage:
        """Return the image with boxes in pixels, for a size of (height, width)."""
        if not self.relative:
            return replace(self, hw=hw)
        sides = np.array((hw[1], hw[0]) * 2, np.float64)
        boxes = replace(self.boxes, xywh=self.boxes.xywh * sides, areas=self.boxes.areas * hw[0] * hw[1])
        return replace(self, hw=hw, boxes=boxes, relative=False)


@dataclass(frozen=True)
class Data:
    """A data set: name, layout, classes, images, and notes for the user.

    `names` by class id; `category_ids` what COCO's results call each of them.
    """

    name: str
    layout: str
    names: Tuple[str, ...]
    category_ids: Tuple[int, ...]
    images: Tuple[LabelledImage, ...]
    notes: Tuple[str, ...] = ()

    @property
    def counts(self) -> List[int]:
        """Objects of each class, without crowd regions."""
        ids = [each.boxes.class_ids[~each.boxes.crowd] for each in self.images]
        return [int(n) for n in np.bincount(np.concatenate(ids or [[]]).astype(int), minlength=len(self.names))]

    def select_classes(self, names: Sequence[str]) -> Data:
        """Keep only some classes, in the data's order. Raises `UnknownName`."""
        known = {name.lower(): i for i, name in enumerate(self.names)}
        for word in names:
            if word.lower() not in known:
                raise UnknownName(f"class of {self.name}", word, self.names)
        stay = sorted({known[word.lower()] for word in names})
        number = np.full(len(self.names), -1)
        number[stay] = range(len(stay))

        def select_boxes(boxes: Boxes) -> Boxes:
            rows = number[boxes.class_ids] >= 0
            ids = number[boxes.class_ids[rows]]
            scores = None if boxes.scores is None else boxes.scores[rows]
            return Boxes(boxes.xywh[rows], ids, boxes.crowd[rows], boxes.areas[rows], scores=scores)

        return replace(
            self,
            names=tuple(self.names[i] for i in stay),
            category_ids=tuple(self.category_ids[i] for i in stay),
            images=tuple(replace(each, boxes=select_boxes(each.boxes)) for each in self.images),
        )
