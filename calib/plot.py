"""The picture of a run: its loss and its AP50 over the steps, drawn with OpenCV."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import cv2
import numpy as np

Curve = Sequence[Tuple[float, float]]


def curves(loss: Curve, ap50: Curve, width: int = 900, height: int = 320) -> np.ndarray:
    """Two panels side by side: (height, 2 * width / 2, 3) uint8 BGR."""
    panels: List[np.ndarray] = []
    tops = (max((v for _, v in loss[len(loss) // 50 :]), default=1.0), 1.0)
    for title, points, top, colour in zip(("loss", "AP50"), (loss, ap50), tops, ((180, 80, 20), (40, 120, 20))):
        panels.append(_panel(title, points, top, colour, width // 2, height))
    return np.hstack(panels)


def _panel(title: str, points: Curve, top: float, colour: Tuple[int, int, int], w: int, h: int) -> np.ndarray:
    canvas = np.full((h, w, 3), 255, np.uint8)
    left, right, low, high = 50, w - 12, h - 28, 28
    last = max((x for x, _ in points), default=1.0) or 1.0
    for part in np.linspace(0, 1, 6):
        y = int(low + (high - low) * part)
        cv2.line(canvas, (left, y), (right, y), (225, 225, 225), 1)
        _write(canvas, f"{part * top:.2g}", 6, y + 4)
    at = [(left + x / last * (right - left), low + min(1.0, y / top) * (high - low)) for x, y in points]
    cv2.polylines(canvas, [np.array(at, np.int32).reshape(-1, 1, 2)], False, colour, 2, cv2.LINE_AA)
    now = f"{title} {points[-1][1]:.3f}, step {int(last)}" if points else title
    _write(canvas, now, left, 18)
    return canvas


def _write(canvas: np.ndarray, words: str, x: int, y: int) -> None:
    cv2.putText(canvas, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
