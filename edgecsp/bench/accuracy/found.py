"""What a detector finds on the pictures of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List

import numpy as np

from ... import pipeline
from ...errors import UsageError
from ...media import sources
from ...media.sinks.rows import coco_row
from ...system.progress import NO_PROGRESS, Progress
from ...types import Array, Detections, Frame, Model, Result
from .names import mapping
from .truth import Data, Picture

CONF = 0.001  # COCO's measure looks at the whole curve, down to what nobody would show
MAX_DET = 1000  # a picture; COCO counts the best 100 of each class
IOU = 0.45


@dataclass
class Predictions:
    """A data set's pictures that could be read, their boxes in pixels, and the detections of each, best first.

    The class ids of `detections` are the data's. `problems` counts what went wrong and was survived, by its text.
    """

    data: Data
    pictures: List[Picture] = field(default_factory=list)
    detections: List[Detections] = field(default_factory=list)
    problems: Dict[str, int] = field(default_factory=dict)

    def add(self, picture: Picture, detections: Detections) -> None:
        """Put in a picture, its boxes in pixels, and what was found on it."""
        self.pictures.append(picture)
        self.detections.append(detections)

    def results(self) -> List[Dict[str, Any]]:
        """COCO's results: {image_id, category_id, bbox, score} a detection, rounded as they are scored."""
        return [
            coco_row(picture.image_id, self.data.category_ids[row.class_id], row)
            for picture, detections in zip(self.pictures, self.detections)
            for row in detections
        ]


def find(
    detector: pipeline.Detector,
    data: Data,
    *,
    conf: float = CONF,
    max_det: int = MAX_DET,
    progress: Progress = NO_PROGRESS,
) -> Predictions:
    """Every picture of the data through the detector, read as `run` reads it; `progress` counts them.

    The detector keeps its settings but for `conf` and `max_det`. What it finds of classes that the data lacks is left
    out. Raises `UsageError` for a classifier and for classes that cannot be told, `SourceError` when no picture can
    be read.
    """
    of = classes(detector.model, data)
    low = pipeline.Detector(detector.model, detector.session, replace(detector.settings, conf=conf, max_det=max_det))
    places: Dict[str, List[Picture]] = {}
    for picture in data.pictures:  # a file may be an image under several ids
        places.setdefault(picture.path, []).append(picture)
    found = Predictions(data)
    others: Dict[str, int] = {}

    def take(frame: Frame, result: Result) -> None:
        for picture in places[frame.stream.name]:
            if picture.hw not in (None, frame.hw):
                others[f"{picture.path} is {_size(frame.hw)}, and annotated as {_size(picture.hw)}"] = 1
            if isinstance(result, Detections):
                known = result[of[result.class_ids] >= 0]
                ids = of[known.class_ids].astype(np.int32)
                found.add(picture.sized(frame.hw), Detections(known.xyxy, known.scores, ids, data.names))

    summary = pipeline.RunSummary()
    pipeline.run(low, [sources.ImageFiles(list(places), forgive=True)], take, summary, tick=progress.advance)
    found.problems = {**summary.problems, **others}
    return found


def classes(model: Model, data: Data) -> Array:
    """For each class of a model the class of the data that it is (see `mapping`). Raises `UsageError`."""
    if model.task != "detect":
        raise UsageError(f"{model.name} is a classifier; val measures boxes")
    return mapping(model.labels, data, model.name)


def _size(hw: Any) -> str:
    return f"{hw[1]}x{hw[0]}"
