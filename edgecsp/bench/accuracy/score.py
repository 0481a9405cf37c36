"""COCO's measure of boxes: AP over IoU 0.50 to 0.95, by faster-coco-eval."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...errors import EngineUnavailable
from ...media.sinks.rows import coco_row
from ...types import Array, Detections
from .found import Predictions
from .truth import Picture

AVERAGES = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR100", "ARS", "ARM", "ARL")
COUNTED = 100  # boxes of a class in a picture


@dataclass(frozen=True)
class ClassScore:
    """One class: its objects, the pictures they are on, AP and AP50 (None without an object)."""

    name: str
    objects: int
    pictures: int
    ap: Optional[float]
    ap50: Optional[float]


@dataclass(frozen=True)
class Score:
    """COCO's twelve averages by `AVERAGES`, in 0..1 (None where there is nothing to find), and each class."""

    averages: Dict[str, Optional[float]]
    classes: Tuple[ClassScore, ...]


def require() -> None:
    """Raises `EngineUnavailable` unless faster-coco-eval is here."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise EngineUnavailable(
            "AP needs faster-coco-eval, not installed here; type: pip install 'edgecsp[val]'. "
            "(edgecsp run --save-json writes what other tools count.)"
        )


def score(found: Predictions) -> Score:
    """Score predictions; boxes and scores rounded as `Predictions.results` are. Raises `EngineUnavailable`."""
    require()
    from faster_coco_eval import COCO, COCOeval_faster

    names = found.data.names
    truth, results = COCO(_truth(found.pictures, names)), COCO(_results(found.pictures, found.detections, names))
    judge = COCOeval_faster(truth, results, "bbox", print_function=_silent, extra_calc=False)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    averages = dict(zip(AVERAGES, (_known(value) for value in judge.stats)))
    # (IoU, recall, class, area, how many count): all areas, the most boxes.
    precision = np.asarray(judge.eval["precision"])[:, :, :, 0, -1]
    return Score(averages, tuple(_class(found, i, precision[:, :, i]) for i in range(len(names))))


def _class(found: Predictions, class_id: int, precision: Array) -> ClassScore:
    boxes = [each.boxes for each in found.pictures]
    objects = [int(((each.class_ids == class_id) & ~each.crowd).sum()) for each in boxes]
    each, at50 = (rows[rows > -1] for rows in (precision, precision[0]))
    return ClassScore(
        found.data.names[class_id],
        sum(objects),
        sum(count > 0 for count in objects),
        float(each.mean()) if each.size else None,
        float(at50.mean()) if at50.size else None,
    )


def _known(value: float) -> Optional[float]:
    return None if value < 0 else float(value)


def _truth(pictures: Sequence[Picture], names: Sequence[str]) -> Dict[str, Any]:
    """As COCO has it, with ids from 1: 0 means "none" to those who count."""
    rows: List[Dict[str, Any]] = []
    for i, picture in enumerate(pictures, 1):
        boxes = picture.boxes
        columns = zip(boxes.class_ids.tolist(), boxes.xywh.tolist(), boxes.areas.tolist(), boxes.crowd.tolist())
        for class_id, xywh, area, crowd in columns:
            row = {"id": len(rows) + 1, "image_id": i, "category_id": class_id + 1, "bbox": xywh}
            rows.append({**row, "area": area, "iscrowd": int(crowd)})
    return _dataset(len(pictures), names, rows)


def _results(pictures: Sequence[Picture], detections: Sequence[Detections], names: Sequence[str]) -> Dict[str, Any]:
    rows: List[Dict[str, Any]] = []
    for i, found in enumerate(detections, 1):
        for each in found:
            row = coco_row(i, each.class_id + 1, each)
            rows.append({**row, "id": len(rows) + 1, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0})
    return _dataset(len(pictures), names, rows)


def _dataset(pictures: int, names: Sequence[str], rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    return {
        "images": [{"id": i + 1} for i in range(pictures)],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": rows,
    }


def _silent(*_: object) -> None:
    """What is counted is told in our words."""
