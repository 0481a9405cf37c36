"""Accuracy of a model for codes on scenes that training never saw: `python -m calib.test [MODEL] [--lookalikes]`.

The scenes are images of 640 px with their own aspect ratios, and go through edgecsp as a user's would. AP is
COCO's; recall and false alarms are at the score that `edgecsp run` keeps. `--lookalikes` takes scenes of Data Matrix
and of what is mistaken for codes, and says what Data Matrix was taken for. `--save FOLDER` also writes the images
and instances.json for other tools.

A symbol too small or too faint to tell what it is counts neither way (COCO's iscrowd, VOC's "difficult"): the training
world is wider than what can be asked of a detector. `all_ap50` counts those, too.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Sequence

import cv2
import numpy as np

import edgecsp
from edgecsp.bench import accuracy
from edgecsp.bench.accuracy.confusion import match_boxes
from edgecsp.errors import EdgecspError
from edgecsp.processing.nms import overlap
from edgecsp.types import Model

from . import CLASSES, LOOKALIKE_SEEDS, TEST_SEEDS
from .scenes import scene

SIDE, LOW, CONF, SAME = 640, 0.001, 0.25, 0.5
SHORTEST, FAINTEST = 0.025, 12.0  # of the image's longer side; grey levels (RMS)
RECALL = 0.91  # at which false alarms of different models are compared
MATRIX = CLASSES.index("datamatrix")


def legible(image: np.ndarray, xyxy: Sequence[float]) -> bool:
    """Whether a symbol shows enough of itself to be told: its shorter side, and its contrast once noise is gone."""
    x0, y0, x1, y1 = (round(float(v)) for v in xyxy)
    if min(x1 - x0, y1 - y0) < SHORTEST * max(image.shape[:2]):
        return False
    grey = cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY)
    return float(cv2.blur(grey, (3, 3)).std()) >= FAINTEST


def empty_data() -> accuracy.Predictions:
    """A data set of scenes that is still to be filled."""
    return accuracy.Predictions(accuracy.Data("test scenes", "drawn", CLASSES, tuple(range(1, len(CLASSES) + 1)), ()))


def labelled(image: np.ndarray, boxes: np.ndarray, ids: np.ndarray, number: int) -> accuracy.LabelledImage:
    """Scene `number` as `evaluate` has it; what is not legible is a crowd."""
    rows = accuracy.Boxes.from_rows(np.column_stack([ids, boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist())
    clear = np.array([legible(image, box) for box in boxes], bool)
    return accuracy.LabelledImage(f"{number:05d}.png", number, replace(rows, crowd=~clear), image.shape[:2])


def measure(
    model: str | Model, count: int, save: Path | None = None, first: int = TEST_SEEDS, **options: Any
) -> Dict[str, Any]:
    """The figures of a model over `count` scenes of the seeds from `first` on; `options` go to `edgecsp.load`."""
    predictions = empty_data()
    with edgecsp.load(model, conf=LOW, **options) as detector:
        if tuple(detector.model.labels) != tuple(CLASSES):
            raise EdgecspError(f"{detector.model.name} finds {', '.join(detector.model.labels[:6])} ...: not codes")
        for i in range(count):
            image, boxes, ids = scene(first + i, SIDE, natural=True)
            if save is not None:
                cv2.imwrite(str(save / f"{i:05d}.png"), image)
            detections = detector.detect_frame(edgecsp.Frame(image))  # a thousand images would be kept otherwise
            assert isinstance(detections, edgecsp.Detections)
            predictions.add(labelled(image, boxes, ids, i), detections)
            _progress(i + 1, count)
    if save is not None:
        (save / "instances.json").write_text(json.dumps(coco(predictions)))
    return figures(predictions)


def figures(predictions: accuracy.Predictions) -> Dict[str, Any]:
    """AP, AP50 and recall over legible symbols, false alarms in empty images, AP50 over all symbols.

    `false_alarms_at_recall` is at the highest score that finds `RECALL` of the symbols, None where no score does.
    `datamatrix` says what legible Data Matrix symbols were taken for, in shares.
    """
    hits = _hit_scores(predictions)
    objects = sum(int((~row.boxes.crowd).sum()) for row in predictions.images)
    needed = math.ceil(RECALL * objects)
    at = hits[needed - 1] if 0 < needed <= len(hits) else None
    return {
        **averages(predictions),
        "recall": float((hits >= CONF).sum()) / max(1, objects),
        "false_alarms": false_alarms(predictions, CONF),
        "false_alarms_at_recall": None if at is None else false_alarms(predictions, float(at)),
        "all_ap50": averages(_all_counted(predictions))["ap50"],
        "symbols": sum(len(row.boxes) for row in predictions.images),
        "legible": objects,
        "datamatrix": taken_for(predictions, MATRIX),
    }


def _hit_scores(predictions: accuracy.Predictions) -> np.ndarray:
    """The scores of the detections that are right, the highest first."""
    scores = []
    for image, detections in zip(predictions.images, predictions.detections):
        on = match_boxes(image.boxes, detections, SAME).of_detections
        right = on >= 0
        right[right] = image.boxes.class_ids[on[right]] == detections.class_ids[right]
        scores.append(detections.scores[right])
    return np.sort(np.concatenate(scores or [np.zeros(0)]))[::-1]


def false_alarms(predictions: accuracy.Predictions, conf: float) -> float:
    """Detections of a score of `conf` or more, an image without any symbol."""
    empty = [
        detections for image, detections in zip(predictions.images, predictions.detections) if not len(image.boxes)
    ]
    return float(np.mean([(detections.scores >= conf).sum() for detections in empty])) if empty else 0.0


def taken_for(predictions: accuracy.Predictions, class_id: int) -> Dict[str, float]:
    """Classes that the best detection on each legible symbol of a class has, in shares; "missed" without any."""
    counts = dict.fromkeys((*CLASSES, "missed"), 0)
    for image, detections in zip(predictions.images, predictions.detections):
        boxes, confident = image.boxes, detections[detections.scores >= CONF]
        rows = boxes.xyxy[(boxes.class_ids == class_id) & ~boxes.crowd]
        for on in overlap(rows, confident.xyxy.astype(np.float64)) >= SAME:
            best = int(np.argmax(np.where(on, confident.scores, -1.0))) if on.any() else -1
            counts[CLASSES[int(confident.class_ids[best])] if best >= 0 else "missed"] += 1
    total = sum(counts.values())
    return {name: round(n / total, 4) for name, n in counts.items() if n} if total else {}


def coco(predictions: accuracy.Predictions) -> Dict[str, Any]:
    """COCO's annotations; image i is called `i`.png in five digits."""
    rows: List[Dict[str, Any]] = []
    for image in predictions.images:
        boxes = image.boxes
        for class_id, box, area, crowd in zip(boxes.class_ids, boxes.xywh.tolist(), boxes.areas, boxes.crowd):
            row = {"id": len(rows) + 1, "image_id": image.image_id, "category_id": int(class_id) + 1, "bbox": box}
            rows.append({**row, "area": float(area), "iscrowd": int(crowd)})
    sizes = [(row.image_id, row.path, *(row.hw or (0, 0))) for row in predictions.images]
    return {
        "images": [{"id": i, "file_name": path, "height": h, "width": w} for i, path, h, w in sizes],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        "annotations": rows,
    }


def averages(predictions: accuracy.Predictions) -> Dict[str, Any]:
    """AP, AP50 and the AP50 of each class."""
    scored = accuracy.score(predictions)
    each = {row.name: _number(row.ap50) for row in scored.classes}
    return {"ap": _number(scored.averages["AP"]), "ap50": _number(scored.averages["AP50"]), "ap50_by_class": each}


def _all_counted(predictions: accuracy.Predictions) -> accuracy.Predictions:
    """The same with nothing left out of account."""
    rows = (replace(row, boxes=replace(row.boxes, crowd=np.zeros_like(row.boxes.crowd))) for row in predictions.images)
    return replace(predictions, images=list(rows))


def _number(average: float | None) -> float:
    return float("nan") if average is None else average


def _progress(done: int, count: int) -> None:
    if sys.stderr.isatty() or done == count:
        print(f"\r{done:,} of {count:,} scenes", end="\n" if done == count else "", file=sys.stderr, flush=True)


def format_figures(measured: Dict[str, Any]) -> str:
    """The figures as lines of text."""
    lines = []
    each, taken = measured["ap50_by_class"], measured["datamatrix"]
    plain = {name: value for name, value in measured.items() if not isinstance(value, dict)}
    lines.append("  ".join(f"{name} {'-' if v is None else format(v, '.4g')}" for name, v in plain.items()))
    lines.append("AP50 of each class:  " + "  ".join(f"{name} {value:.3f}" for name, value in each.items()))
    lines.append("Data Matrix is found as:  " + "  ".join(f"{name} {value:.3f}" for name, value in taken.items()))
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure and print."""
    p = argparse.ArgumentParser(prog="python -m calib.test", description=__doc__.split("\n")[0])
    p.add_argument("model", nargs="?", default="codes", help="a name or an ONNX file [default: the bundled model]")
    p.add_argument("--count", type=int, default=1000)
    p.add_argument("--lookalikes", action="store_true", help="scenes of Data Matrix and of what is mistaken for codes")
    p.add_argument("--engine", default="ort")
    p.add_argument("--precision", default="auto")
    p.add_argument("--imgsz", type=int)
    p.add_argument("--save", type=Path, metavar="FOLDER", help="also write the images and their annotations")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    if a.save:
        a.save.mkdir(parents=True, exist_ok=True)
    first = LOOKALIKE_SEEDS if a.lookalikes else TEST_SEEDS
    try:
        options = {"engine": a.engine, "precision": a.precision, "imgsz": a.imgsz}
        measured = measure(a.model, a.count, a.save, first, **options)
    except EdgecspError as error:
        p.error(str(error))
    print(json.dumps(measured, indent=1) if a.json else format_figures(measured))


if __name__ == "__main__":
    main()
