"""Run a detector on the images of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List

import numpy as np

from ... import pipeline
from ...media import sources
from ...media.sinks.rows import coco_row
from ...system.progress import NO_PROGRESS, Progress
from ...types import Array, Detections, Frame, Model, Result
from .names import match_classes
from .truth import Data, LabelledImage

CONF = 0.001  # COCO's AP needs the whole precision-recall curve, far below any useful threshold
MAX_DET = 1000  # an image; COCO counts the best 100 of each class
IOU = 0.45


@dataclass
class Predictions:
    """The readable images of a data set, with boxes in pixels, and the detections of each, best first.

    The class ids of `detections` are the data's. `problems` counts non-fatal problems by their message.
    """

    data: Data
    images: List[LabelledImage] = field(default_factory=list)
    detections: List[Detections] = field(default_factory=list)
    problems: Dict[str, int] = field(default_factory=dict)

    def add(self, image: LabelledImage, detections: Detections) -> None:
        """Add an image with boxes in pixels, and its detections."""
        self.images.append(image)
        self.detections.append(detections)

    def results(self) -> List[Dict[str, Any]]:
        """Convert to COCO's results format, rounded as they are scored."""
        return [
            coco_row(image.image_id, self.data.category_ids[row.class_id], row)
            for image, detections in zip(self.images, self.detections)
            for row in detections
        ]


def predict(
    detector: pipeline.Detector,
    data: Data,
    *,
    conf: float = CONF,
    max_det: int = MAX_DET,
    progress: Progress = NO_PROGRESS,
) -> Predictions:
    """Run the detector on every image of the data, read as `run` reads it; `progress` counts them.

    The detector keeps its settings but for `conf` and `max_det`. What it finds of classes that the data lacks is left
    out. Raises `UsageError` for a classifier and for classes that cannot be told, `SourceError` when no image can
    be read.
    """
    of = map_classes(detector.model, data)
    low = pipeline.Detector(detector.model, detector.session, replace(detector.settings, conf=conf, max_det=max_det))
    places: Dict[str, List[LabelledImage]] = {}
    for image in data.images:  # a file may be an image under several ids
        places.setdefault(image.path, []).append(image)
    predictions = Predictions(data)
    others: Dict[str, int] = {}

    def take(frame: Frame, result: Result) -> None:
        for image in places[frame.stream.name]:
            if image.hw not in (None, frame.hw):
                others[f"{image.path} is {_size(frame.hw)}, and annotated as {_size(image.hw)}"] = 1
            boxes = result.require_boxes()
            known = boxes[of[boxes.class_ids] >= 0]
            ids = of[known.class_ids].astype(np.int32)
            predictions.add(image.with_size(frame.hw), Detections(known.xyxy, known.scores, ids, data.names))

    summary = pipeline.RunSummary()
    pipeline.run(low, [sources.ImageFiles(list(places), forgive=True)], take, summary, tick=progress.advance)
    predictions.problems = {**summary.problems, **others}
    return predictions


def map_classes(model: Model, data: Data) -> Array:
    """Map each class of a model to the data's class (see `match_classes`). Raises `UsageError`."""
    model.require_boxes(f"{model.name} is a classifier; val measures boxes")
    return match_classes(model.labels, data, model.name)


def _size(hw: Any) -> str:
    return f"{hw[1]}x{hw[0]}"
