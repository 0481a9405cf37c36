"""Accuracy of a model's boxes on labelled images: COCO's AP, confusions, the images with the most mistakes.

data = accuracy.read("coco64")                    # COCO, data.yaml, darknet's .data, a folder with text or XML labels
with edgecsp.load("yolov4-tiny.onnx") as detector:
    predictions = accuracy.predict(detector, data)
print(accuracy.score(predictions).averages["AP50"], accuracy.count_confusions(predictions, conf=0.25).mistakes()[:5])
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Union

from ...pipeline import Detector
from .confusion import Confusion, count_confusions
from .layouts import read
from .predictions import Predictions, predict
from .score import AVERAGES, ClassScore, Score, require, score
from .truth import Boxes, Data, LabelledImage
from .worst import find_worst, save

__all__ = [
    "AVERAGES", "Boxes", "ClassScore", "Confusion", "Data", "LabelledImage", "Predictions", "Score", "ap50",
    "count_confusions", "find_worst", "predict", "read", "require", "save", "score",
]  # fmt: skip


def ap50(detector: Detector, data: Union[str, Path, Data]) -> Optional[float]:
    """Measure a detector's AP50 on a data set (or its path), in 0..1; None when the data has no object.

    Scores from 0.001 on count, whatever the detector's own threshold. Raises `UsageError`, `SourceError`,
    `EngineUnavailable`.
    """
    require()
    labelled = data if isinstance(data, Data) else read(data, labels=detector.model.labels)
    return score(predict(detector, labelled)).averages["AP50"]
