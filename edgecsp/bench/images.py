"""Images to measure on: synthetic ones in memory and as JPEG files, and the user's files."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import numpy as np

from ..errors import UsageError
from ..media import sources
from ..types import Array

HW = (720, 1280)  # what a camera gives
COUNT = 8
SYNTHETIC_IMAGES = 4


def check_sources(uris: Tuple[str, ...]) -> Tuple[str, ...]:
    """Check that the sources can be opened. Raises `SourceError`, and `UsageError` for live sources."""
    for source in sources.open_all(uris):
        with source:
            if source.live or source.name == "stdin":
                raise UsageError(f"--source {source.name}: a file or a folder; a live source is as slow as its camera")
    return uris


def write_synthetic_images(folder: Path) -> Tuple[str, ...]:
    """Write synthetic images of 1280x720 as JPEG files into a folder; returns their paths."""
    import cv2

    paths = []
    for number, image in enumerate(synthetic_images(COUNT)):
        paths.append(str(folder / f"{number}.jpg"))
        cv2.imwrite(paths[-1], cv2.resize(image, HW[::-1], interpolation=cv2.INTER_CUBIC))
    return tuple(paths)


def synthetic_images(count: int = SYNTHETIC_IMAGES) -> List[Array]:
    """Make images of coloured noise at several scales, (480, 640, 3) uint8; deterministic."""
    import cv2

    images = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        layers: List[Array] = [
            cv2.resize(random.random((side, side + 1, 3), np.float32), (640, 480), interpolation=cv2.INTER_CUBIC)
            for side in (3, 9, 27, 81)
        ]
        images.append(np.clip(64 * sum(layers, np.zeros_like(layers[0])), 0, 255).astype(np.uint8))
    return images
