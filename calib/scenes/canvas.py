"""An image in the making: cards laid into it, things in front of them, and the boxes that can still be seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Tuple

import cv2
import numpy as np

from . import backgrounds, warp
from .cards import Card
from .dice import Dice
from .paper import Sheet
from .warp import Frame, Points

VISIBLE, INSIDE = 0.6, 0.5  # shares of a symbol that must not be covered, and not be cut off by the border
SMALLEST = 0.025  # of the image's side: a symbol whose longer side is below this is no more than a smudge
LARGEST_SHEET = 720  # px: beyond it a sheet is drawn coarser; most of it lies outside of the image


@dataclass
class Layer:
    """Something laid over all before it: its outline in the image, and the symbols on it."""

    outline: Points
    symbols: List[Tuple[int, Points]]


class Scene:
    """An image in the making: pixels, and layers from the lowest to the topmost."""

    def __init__(self, d: Dice, frame: Frame) -> None:
        self.d, self.frame = d, frame
        self.image = backgrounds.any_surface(d, frame.hw)
        self.layers: List[Layer] = []
        self.screen = False

    def put(self, card: Card, share: float, centre: Tuple[float, float], view: np.ndarray | None = None) -> None:
        """Lay a card so that its main symbol takes the share `wanted` of the frame, with its middle at `centre`."""
        d, (x, y, w, h) = self.d, card.main
        middle = np.array([x + w / 2, y + h / 2], np.float32)
        corners = warp.around(0, 0, card.w, card.h, 1) - middle
        if view is None:
            view = warp.pose(d, float(np.linalg.norm(corners, axis=1).max()))
        matrix = warp.placed(view, warp.around(x, y, x + w, y + h, 4) - middle, self.frame, share, centre)
        scale = self._resolution(matrix, max(card.w, card.h))
        sheet = Sheet(d, card.w, card.h, scale, card.paper)
        card.draw(sheet)
        to_units = np.array([[1 / scale, 0, -middle[0]], [0, 1 / scale, -middle[1]], [0, 0, 1]])
        self._lay(card, sheet, matrix @ to_units)
        self.screen |= "pixels" in card.effects

    def _resolution(self, matrix: np.ndarray, extent: float) -> float:
        """Pixels a unit that the camera sees at the symbol: drawing more would alias, less would blur."""
        step = warp.apply(matrix, np.array([[-0.05, 0], [0.05, 0], [0, -0.05], [0, 0.05]], np.float32))
        sides = np.linalg.norm(step[[1, 3]] - step[[0, 2]], axis=1) * 10
        # Between the larger and the mean: a steep view squeezes one side and must not alias there.
        scale = float(0.5 * sides.max() + 0.5 * math.sqrt(sides[0] * sides[1]))
        return max(4 / extent, min(scale, LARGEST_SHEET / extent))

    def _lay(self, card: Card, sheet: Sheet, matrix: np.ndarray) -> None:
        d, pixels = self.d, sheet.pixels
        h, w = pixels.shape[:2]
        alpha = np.full((h, w), 255, np.uint8)
        if min(h, w) > 24 and d.chance(0.05):
            alpha = warp.torn(d, alpha)
        bent = None
        if card.bends and min(h, w) > 16:
            kind = d.random()
            bent = warp.cylinder(d, pixels, alpha) if kind < 0.14 else None
            bent = warp.crumple(d, pixels, alpha) if 0.14 <= kind < 0.26 else bent
        if bent is not None:
            pixels, alpha = bent.pixels, bent.alpha

        def project(points: Points) -> Points:
            return warp.apply(matrix, points if bent is None else bent.forward(points))

        self._blend(pixels, alpha, matrix)
        # A torn or bent sheet covers a little less than its outline says; symbols below it are lost either way.
        self.layers.append(
            Layer(
                project(warp.around(0, 0, w, h)), [(p.class_id, project(warp.around(*p.xyxy))) for p in sheet.printed]
            )
        )

    def _blend(self, pixels: np.ndarray, alpha: np.ndarray, matrix: np.ndarray) -> None:
        """Warp a sheet onto the image, in the part of it that it reaches."""
        h, w = alpha.shape
        corners = warp.apply(matrix, warp.around(0, 0, w, h, 1))
        x0, y0 = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, self.image.shape[1::-1])
        x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 2, 0, self.image.shape[1::-1])
        if x1 - x0 < 1 or y1 - y0 < 1:
            return
        # +- half a pixel: warps go from pixel centre to pixel centre, boxes from corner to corner.
        half, shift = np.eye(3), np.eye(3)
        half[:2, 2], shift[:2, 2] = 0.5, (-x0 - 0.5, -y0 - 0.5)
        full, size = shift @ matrix @ half, (int(x1 - x0), int(y1 - y0))
        moved = cv2.warpPerspective(pixels, full, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.warpPerspective(alpha, full, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
        below = np.ascontiguousarray(self.image[y0:y1, x0:x1])
        if self.d.chance(0.2):  # a sheet lies on what is below it: a soft dark rim
            rim = cv2.GaussianBlur(weight, (0, 0), self.d.uniform(1, 4))
            below = cv2.multiply(below, cv2.merge([1 - 0.5 * rim] * 3), dtype=cv2.CV_8U)
        self.image[y0:y1, x0:x1] = cv2.blendLinear(moved, below, weight, 1 - weight)

    def cover(self) -> None:
        """A finger, a strap, a sticker: something in front, at the side of a symbol if there is one."""
        d, (h, w) = self.d, self.image.shape[:2]
        targets = [points for layer in self.layers for _, points in layer.symbols]
        if targets:
            near = d.choice(d.choice(targets))
            x, y = float(near[0]), float(near[1])
        else:
            x, y = d.uniform(0, w), d.uniform(0, h)
        if not (-w < x < 2 * w and -h < y < 2 * h):
            return
        if d.chance(0.6):
            outline, colour = _finger(d, x, y, w), _skin(d)
        else:
            size = (d.log(0.05, 0.4) * w, d.log(0.03, 0.3) * w)
            outline, colour = cv2.boxPoints(((x, y), size, d.uniform(0, 180))), d.colour()
        self._paint(outline.astype(np.float32), colour)
        self.layers.append(Layer(outline.astype(np.float32), []))

    def _paint(self, outline: Points, colour: Tuple[int, int, int]) -> None:
        d, (h, w) = self.d, self.image.shape[:2]
        mask = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [outline.astype(np.int32)], (255,), cv2.LINE_AA)
        solid = np.full_like(self.image, colour)
        shade = cv2.GaussianBlur(cv2.resize(mask, (w // 4, h // 4)), (0, 0), max(1.0, w * 0.008)).astype(np.float32)
        shade = cv2.resize(0.45 + shade / 460, (w, h))  # round things darken to their edges
        solid = cv2.multiply(solid, cv2.merge([shade] * 3), dtype=cv2.CV_8U)
        weight = cv2.GaussianBlur(mask, (0, 0), d.log(0.4, 2.5)).astype(np.float32) / 255
        self.image = cv2.blendLinear(solid, self.image, weight, 1 - weight)

    def boxes(self) -> Tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) float32 and class ids (N,) int64 of what can be seen, clipped to the image."""
        h, w = self.frame.hw
        boxes, ids = [], []
        for i, layer in enumerate(self.layers):
            for class_id, points in layer.symbols:
                low, high = points.min(0), points.max(0)
                clipped = np.clip([*low, *high], 0, (w, h, w, h))
                if (clipped[2:] - clipped[:2]).max() < SMALLEST * (h * w) ** 0.5 or (
                    clipped[2:] - clipped[:2]
                ).min() < 1.5:
                    continue
                if self._visible(points, [above.outline for above in self.layers[i + 1 :]]):
                    boxes.append(clipped)
                    ids.append(class_id)
        return np.array(boxes, np.float32).reshape(-1, 4), np.array(ids, np.int64)

    def _visible(self, points: Points, above: List[Points]) -> bool:
        """Whether enough of a symbol is inside the image, and enough of that not covered."""
        h, w = self.frame.hw
        low = np.floor(points.min(0)) - 1
        span = np.ceil(points.max(0)) + 1 - low
        zoom = min(1.0, 96 / span.max())  # a small raster is exact enough for a share
        size = np.maximum(1, np.ceil(span * zoom)).astype(int)

        def raster(outline: Points) -> np.ndarray:
            mask = np.zeros((size[1], size[0]), np.uint8)
            at = np.clip((outline - low) * zoom * 16, -(2**20), 2**20)
            cv2.fillPoly(mask, [at.astype(np.int32)], (1,), shift=4)
            return mask

        whole = raster(points)
        inside = whole & raster(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32))
        if inside.sum() < INSIDE * max(1, whole.sum()):
            return False
        uncovered = inside.copy()
        for outline in above:
            uncovered[raster(outline) > 0] = 0
        return bool(uncovered.sum() >= VISIBLE * max(1, inside.sum()))


def _skin(d: Dice) -> Tuple[int, int, int]:
    tone = d.uniform(0.3, 1.05)
    return tuple(int(min(255, c * tone + d.uniform(-12, 12))) if tone > 0.4 else int(c * tone) for c in (150, 180, 230))  # type: ignore


def _finger(d: Dice, x: float, y: float, side: int) -> Points:
    """A capsule whose tip is near (x, y) and which leaves to some side."""
    thick, a = d.log(0.04, 0.16) * side, d.uniform(0, 2 * math.pi)
    x, y = x + d.gauss(0, 0.05) * side, y + d.gauss(0, 0.05) * side
    tip = np.linspace(a + math.pi / 2, a + 3 * math.pi / 2, 9)
    far = 1.5 * side
    points = [(x + thick / 2 * math.cos(t), y + thick / 2 * math.sin(t)) for t in tip]
    wide = thick * 0.7
    along, aside = (far * math.cos(a), far * math.sin(a)), (wide * math.sin(a), -wide * math.cos(a))
    points += [(x + along[0] + s * aside[0], y + along[1] + s * aside[1]) for s in (-1, 1)]
    return np.array(points, np.float32)
