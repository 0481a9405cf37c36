"""A data set of shapes that a detector learns in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def draw_shapes(folder: Path, count: int = 12, side: int = 128) -> Path:
    """Red squares and green discs on noise, with YOLO labels: -> data.yaml."""
    rng = np.random.default_rng(0)
    for split, several in (("train", count), ("val", 4)):
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True)
        for i in range(several):
            image = rng.integers(90, 150, (side, side, 3), np.uint8)
            lines = []
            for quarter in range(int(rng.integers(1, 3))):
                size = int(rng.integers(28, 48))
                x, y = (int(v) for v in rng.integers(0, side // 2 - size // 2, 2))
                x += quarter * side // 2
                kind = int(rng.integers(0, 2))
                x, y = min(x, side - size), min(y, side - size)
                if kind:
                    cv2.circle(image, (x + size // 2, y + size // 2), size // 2, (40, 220, 40), -1)
                else:
                    cv2.rectangle(image, (x, y), (x + size, y + size), (30, 30, 230), -1)
                box = ((x + size / 2) / side, (y + size / 2) / side, size / side, size / side)
                lines.append(f"{kind} " + " ".join(f"{v:.6f}" for v in box))
            cv2.imwrite(str(folder / "images" / split / f"{i}.png"), image)
            (folder / "labels" / split / f"{i}.txt").write_text("\n".join(lines) + "\n")
    path = folder / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnc: 2\nnames: [square, disc]\n")
    return path
