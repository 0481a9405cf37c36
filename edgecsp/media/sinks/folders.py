"""Files for each frame with boxes: YOLO labels, cut-outs, the frame as it is. A folder each, beside the copies."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import Iterable, Iterator, List, Set

import numpy as np

from ...cache import files
from ...errors import OutputError
from ...types import Array, Detections, Frame, Result
from . import labels
from .annotated import copy_name, encode_image, to_still
from .base import Sink, Target


class FolderSink(Sink):
    """Writes files named after each frame with boxes into a folder, created when the first is written.

    A name that another source of this run has, or one of `inputs`, gets a number; so does one that an existing file
    has, unless `overwrite` is set. Raises `UsageError` for a classifier, and `OutputError`.
    """

    needs = "files for each box need boxes; a classifier's result speaks of the whole image"

    def __init__(self, folder: Target, *, inputs: Iterable[str] = (), overwrite: bool = False) -> None:
        self._folder, self._overwrite = Path(folder), overwrite
        self._inputs = {os.path.realpath(path) for path in inputs}
        self._claimed: Set[str] = set()
        self._paths: List[Path] = []

    def write(self, frame: Frame, result: Result) -> None:
        """Write the files of a frame, none without boxes."""
        boxes = result.require_boxes(self.needs)
        if len(boxes):
            self._write(frame, boxes, *copy_name(to_still(frame).stream.name, "image"))

    def _write(self, frame: Frame, boxes: Detections, stem: str, suffix: str) -> None:
        raise NotImplementedError

    def _add(self, folder: Path, stem: str, suffix: str, data: bytes) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot create the folder {folder}: {error.strerror}") from error
        names = self._names(folder, stem, suffix)
        if self._overwrite:
            path = next(names)
            with files.atomic(path) as file:
                file.write(data)
        else:
            path = files.write_new(names, data)
        self._paths.append(path)

    def _names(self, folder: Path, stem: str, suffix: str) -> Iterator[Path]:
        for number in itertools.count(1):
            path = folder / f"{stem}{f'-{number}' * (number > 1)}{suffix}"
            key = str(path).casefold()
            is_taken = key in self._claimed if self._overwrite else os.path.lexists(path)
            if not is_taken and os.path.realpath(path) not in self._inputs:
                if self._overwrite:
                    self._claimed.add(key)
                yield path

    @property
    def paths(self) -> List[Path]:
        """Written files."""
        return list(self._paths)


class YoloSink(FolderSink):
    """Writes stem.txt for each frame with boxes: YOLO lines, with `conf` their scores."""

    needs = "YOLO lines need boxes; for a classifier, write JSON lines or CSV"

    def __init__(self, folder: Target, *, conf: bool = False, inputs: Iterable[str] = (), overwrite: bool = False):
        super().__init__(folder, inputs=inputs, overwrite=overwrite)
        self._conf = conf

    def _write(self, frame: Frame, boxes: Detections, stem: str, suffix: str) -> None:
        self._add(self._folder, stem, ".txt", labels.yolo_lines(boxes, frame.hw, conf=self._conf).encode("ascii"))


class FrameSink(FolderSink):
    """Writes each frame with boxes as it is, stem.jpg or .png."""

    def _write(self, frame: Frame, boxes: Detections, stem: str, suffix: str) -> None:
        self._add(self._folder, stem, suffix, encode_image(frame.image, Path(f"{stem}{suffix}")))


class CropSink(FolderSink):
    """Writes each box of a frame as label/stem.jpg or .png."""

    needs = "crops need boxes; a classifier's result speaks of the whole image"

    def _write(self, frame: Frame, boxes: Detections, stem: str, suffix: str) -> None:
        for label, image in zip(boxes.labels, cut(frame.image, boxes.xyxy)):
            name = files.shorten(re.sub(r"[^\w. -]+", "_", label).strip(". "), 100) or "class"
            self._add(self._folder / name, stem, suffix, encode_image(image, Path(f"{stem}{suffix}")))


def cut(image: Array, xyxy: Array) -> List[Array]:
    """Cut boxes (N, 4) in pixels out of an image, (H, W, 3): copies of all pixels that a box touches, one at least."""
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(xyxy[:, :2]).astype(int), 0, (width - 1, height - 1)).T
    x1, y1 = np.clip(np.ceil(xyxy[:, 2:]).astype(int), 1, (width, height)).T
    return [image[b : max(d, b + 1), a : max(c, a + 1)].copy() for a, b, c, d in zip(x0, y0, x1, y1)]
