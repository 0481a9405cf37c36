"""A video in which a bright square falls from the top to the bottom, and what sees it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict

import numpy as np

from edgecsp.options import Thresholds
from edgecsp.serve.areas import Save, StreamAreas
from edgecsp.system.clock import now
from edgecsp.track import Line, Zone
from edgecsp.track.events import new_id
from edgecsp.types import Array, Detections
from support import media

LABELS = ("square", "circle")
FRAMES, FPS = 75, 30
GATE = Line("gate", ((0, 0.5), (1, 0.5)), anchor="center")
YARD = Zone("yard", ((0, 0.5), (1, 0.5), (1, 1), (0, 1)), anchor="center")


def draw(index: int, width: int, height: int) -> Any:
    """The square's centre goes down by a height in all frames."""
    image = np.full((height, width, 3), 40, np.uint8)
    y = round(index / FRAMES * (height - 20))
    image[y : y + 20, 60:80] = 230
    return image


def video(path: Path, **options: Any) -> Path:
    """2.5 s; the square crosses the middle, downwards, at 1.25 s."""
    return media.video(path, FRAMES, draw=draw, **options)


def areas(save: Any = None, stream: str = "door") -> StreamAreas:
    """The gate and the yard."""
    keeps: Save = save
    return StreamAreas(stream, [GATE], [YARD], save=keeps)


def event(stream: str = "door", **fields: Any) -> Dict[str, Any]:
    """An event as the counter makes it."""
    return {
        "id": new_id(), "kind": "cross", "time": now(), "pts_s": 1.0, "stream": stream, "area": "gate",
        "direction": "in", "label": "square", "class_id": 0, "track_id": 1, "xyxy": [1.0, 2.0, 3.0, 4.0],
        "value": None, **fields,
    }  # fmt: skip


class Sees:
    """A pool that finds the square by its brightness."""

    model = SimpleNamespace(conf=0.5)

    def detect(self, image: Array, settings: Thresholds) -> Detections:
        ys, xs = np.nonzero(image[:, :, 1] > 150)
        boxes = [(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)] if len(xs) else []
        count = len(boxes)
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        return Detections(xyxy, np.full(count, 0.9, np.float32), np.zeros(count, np.int32), LABELS)
