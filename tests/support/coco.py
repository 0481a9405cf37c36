"""AP50 of detections on the 64 COCO images."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

import pytest

from edgecsp.bench import accuracy
from edgecsp.types import Detections


def ap50(detections: Mapping[str, Detections], data: Path) -> float:
    """`found` by image's file name, of a model of COCO's 80 classes in their order."""
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    predictions = accuracy.Predictions(accuracy.read(data / "data" / "coco64"))
    for image in predictions.data.images:
        predictions.add(image, detections[Path(image.path).name])
    average = accuracy.score(predictions).averages["AP50"]
    assert average is not None
    return average
