"""What the pipeline reads when it is timed: the user's files, or drawn pictures as JPEG files."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

from ..errors import UsageError
from ..media import sources
from . import verify

HW = (720, 1280)  # what a camera gives
COUNT = 8


def given(uris: Tuple[str, ...]) -> Tuple[str, ...]:
    """The same, known to be there. Raises `SourceError`, and `UsageError` for what comes at its own pace."""
    for source in sources.open_all(uris):
        with source:
            if source.live or source.name == "stdin":
                raise UsageError(f"--source {source.name}: a file or a folder; a live source is as slow as its camera")
    return uris


def drawn(folder: Path) -> Tuple[str, ...]:
    """JPEG files of 1280x720 in a folder."""
    import cv2

    paths = []
    for number, picture in enumerate(verify.drawn(COUNT)):
        paths.append(str(folder / f"{number}.jpg"))
        cv2.imwrite(paths[-1], cv2.resize(picture, HW[::-1], interpolation=cv2.INTER_CUBIC))
    return tuple(paths)
