"""Results as label files: YOLO text, and labelme's JSON."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np

from ...types import Detections


def yolo_lines(boxes: Detections, hw: Tuple[int, int], *, conf: bool = False) -> str:
    """Write a line for each box: class id, centre, width and height as shares of the image's, with `conf` the score."""
    height, width = hw
    shares = boxes.xywh / np.array((width, height, width, height), np.float32)
    lines = []
    for class_id, box, score in zip(boxes.class_ids, shares.tolist(), boxes.scores.tolist()):
        numbers = [*box, score] if conf else box
        lines.append(f"{class_id} " + " ".join(f"{number:.6f}" for number in numbers) + "\n")
    return "".join(lines)


def labelme(boxes: Detections, path: str, hw: Tuple[int, int]) -> Dict[str, Any]:
    """Write boxes as the object of a labelme file of version 5: rectangles by two corners, the image by its path."""
    shapes = [
        {
            "label": row["label"], "points": [row["xyxy"][:2], row["xyxy"][2:]], "group_id": None,
            "description": f"{row['score']:.5f}", "shape_type": "rectangle", "flags": {},
        }
        for row in boxes.to_rows()
    ]  # fmt: skip
    return {
        "version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": path, "imageData": None,
        "imageHeight": hw[0], "imageWidth": hw[1],
    }  # fmt: skip
