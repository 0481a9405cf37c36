"""COCO's AP of boxes, over IoU 0.50 to 0.95, computed by faster-coco-eval."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...errors import EngineUnavailable
from ...media.sinks.rows import coco_row
from ...system import install
from ...types import Array, Detections
from .predictions import Predictions
from .truth import LabelledImage

AVERAGES = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR100", "ARS", "ARM", "ARL")


@dataclass(frozen=True)
class ClassScore:
    """One class: its objects, the images they are on, AP and AP50 (None without an object)."""

    name: str
    objects: int
    images: int
    ap: Optional[float]
    ap50: Optional[float]


@dataclass(frozen=True)
class Score:
    """COCO's twelve averages by `AVERAGES`, in 0..1 (None where there is no object), and each class."""

    averages: Dict[str, Optional[float]]
    classes: Tuple[ClassScore, ...]


def require() -> None:
    """Raise `EngineUnavailable` unless faster-coco-eval is installed."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise EngineUnavailable(
            f"AP needs faster-coco-eval, not installed here; type: {install.command('val')}. "
            "(edgecsp run --save-json writes what other tools count.)"
        )


def score(predictions: Predictions) -> Score:
    """Score predictions; boxes and scores rounded as `Predictions.results` are. Raises `EngineUnavailable`."""
    require()
    from faster_coco_eval import COCO, COCOeval_faster

    names = predictions.data.names
    truth, results = (
        COCO(_truth(predictions.images, names)),
        COCO(_results(predictions.images, predictions.detections, names)),
    )
    judge = COCOeval_faster(truth, results, "bbox", print_function=_silent, extra_calc=False)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    averages = dict(zip(AVERAGES, (_finite_or_none(value) for value in judge.stats)))
    # (IoU, recall, class, area, how many count): all areas, the most boxes.
    precision = np.asarray(judge.eval["precision"])[:, :, :, 0, -1]
    return Score(averages, tuple(_class(predictions, i, precision[:, :, i]) for i in range(len(names))))


def _class(predictions: Predictions, class_id: int, precision: Array) -> ClassScore:
    boxes = [each.boxes for each in predictions.images]
    objects = [int(((each.class_ids == class_id) & ~each.crowd).sum()) for each in boxes]
    each, at50 = (rows[rows > -1] for rows in (precision, precision[0]))
    return ClassScore(
        predictions.data.names[class_id],
        sum(objects),
        sum(count > 0 for count in objects),
        float(each.mean()) if each.size else None,
        float(at50.mean()) if at50.size else None,
    )


def _finite_or_none(value: float) -> Optional[float]:
    return None if value < 0 else float(value)


def _truth(images: Sequence[LabelledImage], names: Sequence[str]) -> Dict[str, Any]:
    """Convert labels to COCO's format, with ids from 1: the evaluator takes 0 for "none"."""
    rows: List[Dict[str, Any]] = []
    for i, image in enumerate(images, 1):
        boxes = image.boxes
        columns = zip(boxes.class_ids.tolist(), boxes.xywh.tolist(), boxes.areas.tolist(), boxes.crowd.tolist())
        for class_id, xywh, area, crowd in columns:
            row = {"id": len(rows) + 1, "image_id": i, "category_id": class_id + 1, "bbox": xywh}
            rows.append({**row, "area": area, "iscrowd": int(crowd)})
    return _dataset(len(images), names, rows)


def _results(images: Sequence[LabelledImage], detections: Sequence[Detections], names: Sequence[str]) -> Dict[str, Any]:
    rows: List[Dict[str, Any]] = []
    for i, rows_of_image in enumerate(detections, 1):
        for each in rows_of_image:
            row = coco_row(i, each.class_id + 1, each)
            rows.append({**row, "id": len(rows) + 1, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0})
    return _dataset(len(images), names, rows)


def _dataset(images: int, names: Sequence[str], rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    return {
        "images": [{"id": i + 1} for i in range(images)],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": rows,
    }


def _silent(*_: object) -> None:
    """Silence the evaluator's own output."""
