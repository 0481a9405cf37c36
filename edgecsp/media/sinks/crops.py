"""Cut-outs of boxes, in a folder for each class."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Iterator, List

import numpy as np

from ...cache import files
from ...errors import OutputError
from ...types import Array, Frame, Result
from .annotated import copy_name, encode_image, to_still
from .base import Sink, Target


class CropSink(Sink):
    """Writes each box of a frame as folder/label/stem.jpg or .png, as its image is; a name in use gets a number.

    Raises `UsageError` for a classifier, which has no boxes.
    """

    def __init__(self, folder: Target) -> None:
        self._folder = Path(folder)
        self._paths: List[Path] = []

    def write(self, frame: Frame, result: Result) -> None:
        """Write the cut-outs of a frame."""
        boxes = result.require_boxes("crops need boxes; a classifier's result speaks of the whole image")
        stem, suffix = copy_name(to_still(frame).stream.name, "image")
        for label, image in zip(boxes.labels, cut(frame.image, boxes.xyxy)):
            folder = self._folder / (files.shorten(re.sub(r"[^\w. -]+", "_", label).strip(". "), 100) or "class")
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot create the folder {folder}: {error.strerror}") from error
            path = files.write_new(_names(folder, stem, suffix), encode_image(image, folder / f"{stem}{suffix}"))
            self._paths.append(path)

    @property
    def paths(self) -> List[Path]:
        """Written files."""
        return list(self._paths)


def _names(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    for number in itertools.count(1):
        path = folder / f"{stem}{f'-{number}' * (number > 1)}{suffix}"
        if not path.exists():
            yield path


def cut(image: Array, xyxy: Array) -> List[Array]:
    """Cut boxes (N, 4) in pixels out of an image, (H, W, 3): copies of all pixels that a box touches, one at least."""
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(xyxy[:, :2]).astype(int), 0, (width - 1, height - 1)).T
    x1, y1 = np.clip(np.ceil(xyxy[:, 2:]).astype(int), 1, (width, height)).T
    return [image[b : max(d, b + 1), a : max(c, a + 1)].copy() for a, b, c, d in zip(x0, y0, x1, y1)]
