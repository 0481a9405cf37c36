"""The pipeline's input when it is timed: the user's files, or synthetic images as JPEG files."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

from ..errors import UsageError
from ..media import sources
from . import verify

HW = (720, 1280)  # what a camera gives
COUNT = 8


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
    for number, image in enumerate(verify.synthetic_images(COUNT)):
        paths.append(str(folder / f"{number}.jpg"))
        cv2.imwrite(paths[-1], cv2.resize(image, HW[::-1], interpolation=cv2.INTER_CUBIC))
    return tuple(paths)
