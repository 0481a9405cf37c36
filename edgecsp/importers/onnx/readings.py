"""Show what each of several readings of a file would find, so that a person can see which is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...cache import files
from ...errors import BadModel, OutputError, SourceError
from ...options import Thresholds
from ...processing import preprocess
from ...types import Array, Detections, Model
from . import probe
from .match import Match

_ROWS = 3  # of each reading in a message
_BOXES = 20
_GAP = 8


class Reading(NamedTuple):
    """A candidate as a model, and the edited graph that it runs."""

    match: Match
    model: Model
    proto: Any


def read_image(path: Optional[Path], hw: Tuple[int, int]) -> Array:
    """Read the image that readings are shown on; noise of the input's size without a path. Raises `SourceError`."""
    if path is None:
        return np.random.default_rng(0).integers(0, 256, (*hw, 3), np.uint8)
    import cv2

    image = cv2.imread(str(path))
    if image is None:
        raise SourceError(f"{path} cannot be read as an image")
    return np.asarray(image)


def detect(reading: Reading, filename: str, image: Array) -> Detections:
    """Run a reading on an image; the best boxes, whatever their score. Raises `BadModel`."""
    batch, geometry = preprocess.prepare(image, reading.model.input)
    outputs = probe.run(reading.proto, filename, batch)
    options = Thresholds(conf=0.0, max_det=_BOXES)
    with np.errstate(all="ignore"):  # the wrong reading takes logits for sizes
        result = reading.model.heads[0].finish(reading.model, outputs, geometry, options)
    return result.require_boxes(f"{filename}: {reading.match.kind} gives no boxes")


def describe(readings: Sequence[Reading], filename: str, image: Array) -> List[Tuple[str, Detections]]:
    """List each reading's name with its first rows, and the boxes; readings that fail say so."""
    described = []
    for reading in readings:
        try:
            boxes = detect(reading, filename, image)
        except BadModel as error:
            described.append((f"as {reading.match}: {error}", Detections.empty(reading.model.labels)))
            continue
        rows = [
            f"{row.label} {row.score:.2f} at {' '.join(f'{side:.0f}' for side in row.xyxy)}"
            for row, _ in zip(boxes, range(_ROWS))
        ]
        described.append((f"as {reading.match}: {', '.join(rows) or 'nothing'}", boxes))
    return described


def draw(described: Sequence[Tuple[str, Detections]], image: Array, path: Path) -> None:
    """Draw the boxes of every reading on a copy of the image, side by side, into a PNG. Raises `OutputError`."""
    import cv2

    columns = []
    for title, boxes in described:
        copy = np.array(boxes.plot(image))
        cv2.putText(copy, title.split(":")[0], (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3)
        cv2.putText(copy, title.split(":")[0], (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        columns += [copy, np.full((len(copy), _GAP, 3), 255, np.uint8)]
    done, data = cv2.imencode(".png", np.concatenate(columns[:-1], axis=1))
    if not done:
        raise OutputError(f"{path}: OpenCV cannot write this PNG")
    with files.atomic(path) as file:
        file.write(data.tobytes())
