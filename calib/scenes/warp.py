"""Warps of a flat sheet to its place in the image: bends, tilts, and where every printed box ends up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import cv2
import numpy as np

from .dice import Dice

Points = np.ndarray  # (N, 2) float32 x, y


@dataclass(frozen=True)
class Frame:
    """The image: `hw` pixels of a scene that is `aspect` times as wide as high.

    `size` is (w, h) of the scene in square pixels of the same area; `stretch` takes those to the image's.
    """

    hw: Tuple[int, int]
    aspect: float

    @property
    def size(self) -> Tuple[float, float]:
        """Width and height in square pixels."""
        h = math.sqrt(self.hw[0] * self.hw[1] / self.aspect)
        return self.aspect * h, h

    @property
    def stretch(self) -> Tuple[float, float]:
        """Image pixels a square pixel, across and down."""
        return self.hw[1] / self.size[0], self.hw[0] / self.size[1]


@dataclass(frozen=True)
class Bend:
    """A sheet that is not flat: a warped image of the same size, its light, and where points go."""

    pixels: np.ndarray
    alpha: np.ndarray
    forward: Callable[[Points], Points]


def around(x0: float, y0: float, x1: float, y1: float, steps: int = 8) -> Points:
    """Points along a box's outline: enough of them for an edge that will be bent."""
    t = np.arange(steps, dtype=np.float32) / steps
    x, y = x0 + (x1 - x0) * t, y0 + (y1 - y0) * t
    one = np.ones_like(t)
    return np.concatenate(
        [np.stack(p, 1) for p in ((x, one * y0), (one * x1, y), (x0 + x1 - x, one * y1), (one * x0, y0 + y1 - y))]
    ).astype(np.float32)


def rotation(d: Dice) -> float:
    """Radians: mostly upright, often by quarters (ladders), else any."""
    turn = d.random()
    if turn < 0.5:
        return math.radians(d.gauss(0, 6))
    if turn < 0.72:
        return math.radians(d.choice((90, 180, 270)) + d.gauss(0, 6))
    return d.uniform(0, 2 * math.pi)


def pose(d: Dice, extent: float, angle: Optional[float] = None, flat: bool = False) -> np.ndarray:
    """A camera's view of the plane round (0, 0), 3x3, scale 1 in the middle; `extent` is how far the plane reaches."""
    a = rotation(d) if angle is None else angle
    tilt = math.radians(d.pick([(d.uniform(0, 12), 0.5), (d.uniform(0, 40), 0.4), (d.uniform(30, 62), 0.1)]))
    tilt, towards = (0.0 if flat else tilt), d.uniform(0, 2 * math.pi)
    spin = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    axis = np.array([math.cos(towards), math.sin(towards)])
    squash = np.eye(2) - (1 - math.cos(tilt)) * np.outer(axis, axis)
    depth = math.sin(tilt) * axis / (extent * d.log(1.3, 6))
    view = np.eye(3)
    view[:2, :2] = squash @ spin
    view[2, :2] = depth @ spin
    return view


def apply(matrix: np.ndarray, points: Points) -> Points:
    """Points through a homography."""
    return cv2.perspectiveTransform(points.reshape(1, -1, 2).astype(np.float64), matrix)[0].astype(np.float32)


def placed(view: np.ndarray, main: Points, frame: Frame, share: float, centre: Tuple[float, float]) -> np.ndarray:
    """`view`, scaled and moved: the box round `main` (in units) takes the share `wanted` of the frame's longer
    fit, with its middle at `centre` (0..1 of the frame).
    """
    projected = apply(view, main)
    low, high = projected.min(0), projected.max(0)
    w, h = frame.size
    scale = share / max((high[0] - low[0]) / w, (high[1] - low[1]) / h)
    middle = (low + high) / 2
    move = np.array(
        [[scale, 0, centre[0] * w - scale * middle[0]], [0, scale, centre[1] * h - scale * middle[1]], [0, 0, 1]]
    )
    return np.diag([*frame.stretch, 1.0]) @ move @ view


def cylinder(d: Dice, pixels: np.ndarray, alpha: np.ndarray) -> Bend:
    """Round a bottle or a can: x is compressed to the sides, rows become arcs, the sides darken."""
    h, w = alpha.shape
    across = d.chance(0.7)  # the axis upright, as bottles stand; else a rolled sheet
    n, m = (w, h) if across else (h, w)
    half = math.radians(d.uniform(20, 75))
    radius, lift = n / (2 * half), m * d.uniform(-0.25, 0.25)
    at = (np.arange(n, dtype=np.float32) - n / 2) / radius
    inside = np.abs(at) < math.sin(half)
    angle = np.arcsin(np.clip(at, -math.sin(half), math.sin(half)))
    source = n / 2 + radius * angle
    arc = lift * (1 - np.cos(angle))
    light = np.cos(angle * d.uniform(0.6, 1) - d.uniform(-0.4, 0.4)) * inside
    other = np.arange(m, dtype=np.float32)
    if across:
        xs, ys = np.broadcast_to(source[None], (h, w)), other[:, None] - arc[None]
        light = np.broadcast_to(light[None], (h, w))
    else:
        xs, ys = other[None] - arc[:, None], np.broadcast_to(source[:, None], (h, w))
        light = np.broadcast_to(light[:, None], (h, w))

    def forward(points: Points) -> Points:
        u, v = (points[:, 0], points[:, 1]) if across else (points[:, 1], points[:, 0])
        angles = (u - n / 2) / radius
        u, v = n / 2 + radius * np.sin(angles), v + lift * (1 - np.cos(angles))
        return np.stack((u, v) if across else (v, u), 1).astype(np.float32)

    return Bend(*_bent(pixels, alpha, xs, ys, light), forward)


def crumple(d: Dice, pixels: np.ndarray, alpha: np.ndarray) -> Bend:
    """Paper or foil that was crushed or waves: a smooth shift of every point, lit from one side."""
    h, w = alpha.shape
    cells = (d.randint(3, 7), d.randint(3, 7))
    field = d.arrays().normal(0, d.log(0.004, 0.022) * max(h, w), (2, *cells)).astype(np.float32)
    dx, dy = (cv2.resize(f, (w, h), interpolation=cv2.INTER_CUBIC) for f in field)
    strength = d.uniform(0.1, 0.5) / max(1e-6, float(np.abs(field).max()))
    light = 1 - strength * np.abs(dx + dy)
    xs = np.arange(w, dtype=np.float32)[None] + dx
    ys = np.arange(h, dtype=np.float32)[:, None] + dy

    def forward(points: Points) -> Points:
        at = points.astype(np.float32)
        for _ in range(6):  # where does the point lie that shows this one? at + shift(at) = point
            i = np.clip(at[:, 1].astype(int), 0, h - 1), np.clip(at[:, 0].astype(int), 0, w - 1)
            at = points - np.stack((dx[i], dy[i]), 1)
        return at.astype(np.float32)

    return Bend(*_bent(pixels, alpha, xs, ys, light), forward)


def _bent(
    pixels: np.ndarray, alpha: np.ndarray, xs: np.ndarray, ys: np.ndarray, light: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    xs, ys = (np.ascontiguousarray(m, np.float32) for m in (xs, ys))
    moved = cv2.remap(pixels, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    hidden = cv2.remap(alpha, xs, ys, cv2.INTER_LINEAR)
    shade = cv2.merge([np.ascontiguousarray(light, np.float32)] * 3)
    hidden[light <= 0] = 0
    return cv2.multiply(moved, shade, dtype=cv2.CV_8U), hidden


def torn(d: Dice, alpha: np.ndarray) -> np.ndarray:
    """A ragged outline, or a corner gone."""
    h, w = alpha.shape
    reach = 0.03 * min(h, w)
    edge = around(0, 0, w, h, 12)
    middle = np.array([w / 2, h / 2], np.float32)
    inward = d.arrays().random((len(edge), 1)).astype(np.float32) * reach
    edge += (middle - edge) / np.maximum(1, np.linalg.norm(middle - edge, axis=1, keepdims=True)) * inward
    cut = np.zeros_like(alpha)
    cv2.fillPoly(cut, [edge.astype(np.int32)], (255,), cv2.LINE_AA)
    return cv2.min(alpha, cut)
