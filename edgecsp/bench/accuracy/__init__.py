"""How good a model's boxes are on labelled pictures: COCO's AP, confusions, the pictures it does worst on.

data = evaluate.read("coco64")                    # COCO, data.yaml, darknet's .data, a folder with text or XML labels
with edgecsp.load("yolov4-tiny.onnx", engine="ort") as detector:
    found = evaluate.find(detector, data)
print(evaluate.score(found).averages["AP50"], evaluate.confusion(found, conf=0.25).mistakes()[:5])
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Union

from ...pipeline import Detector
from .confusion import Confusion, confusion
from .found import Predictions, find
from .layouts import read
from .rows import AccuracyRow, EngineOption, measured, ways
from .score import AVERAGES, ClassScore, Score, require, score
from .truth import Boxes, Data, Picture
from .worst import save, worst

__all__ = [
    "AVERAGES", "AccuracyRow", "Boxes", "ClassScore", "Confusion", "Data", "EngineOption", "Picture", "Predictions",
    "Score", "ap50", "confusion", "find", "measured", "read", "require", "save", "score", "ways", "worst",
]  # fmt: skip


def ap50(detector: Detector, data: Union[str, Path, Data]) -> Optional[float]:
    """A detector's AP50 on a data set (or where one is), in 0..1, None when it has no object.

    Scores from 0.001 on count, whatever the detector's own threshold. Raises `UsageError`, `SourceError`,
    `EngineUnavailable`.
    """
    require()
    held = data if isinstance(data, Data) else read(data, labels=detector.model.labels)
    return score(find(detector, held)).averages["AP50"]
