"""How good a model for codes is on scenes that training never saw: `python -m calib.test [MODEL]`.

The scenes are pictures of 640 px with their own aspect ratios, and go through edgecsp as a user's would. AP is
COCO's; recall and false alarms are at the score that `edgecsp run` keeps. `--save FOLDER` also writes the
pictures and instances.json for other tools.

A symbol too small or too faint to tell what it is counts neither way (COCO's iscrowd, VOC's "difficult"): the training
world is wider than what can be asked of a detector. `all_ap50` counts those, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

import edgecsp
from edgecsp import evaluate
from edgecsp.core import Detections, Model
from edgecsp.errors import EdgecspError

from . import CLASSES, TEST_SEEDS
from .scenes import scene
from .score import Found, score

SIDE, LOW, CONF = 640, 0.001, 0.25
SHORTEST, FAINTEST = 0.025, 12.0  # of the picture's longer side; grey levels (RMS)


def legible(image: np.ndarray, xyxy: Sequence[float]) -> bool:
    """Whether a symbol shows enough of itself to be told: its shorter side, and its contrast once noise is gone."""
    x0, y0, x1, y1 = (round(float(v)) for v in xyxy)
    if min(x1 - x0, y1 - y0) < SHORTEST * max(image.shape[:2]):
        return False
    grey = cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY)
    return float(cv2.blur(grey, (3, 3)).std()) >= FAINTEST


class Taken(NamedTuple):
    """One test scene: (height, width), its boxes, which of them are legible, and what was found."""

    hw: Tuple[int, int]
    truth: Found
    legible: np.ndarray
    found: Found


def measure(model: str | Model, count: int, save: Path | None = None, **options: Any) -> Dict[str, Any]:
    """The figures of a model over the first `count` test scenes; `options` go to `edgecsp.load`."""
    taken: List[Taken] = []
    with edgecsp.load(model, conf=LOW, **options) as detector:
        if tuple(detector.model.labels) != tuple(CLASSES):
            raise EdgecspError(f"{detector.model.name} finds {', '.join(detector.model.labels[:6])} ...: not codes")
        for i in range(count):
            image, boxes, ids = scene(TEST_SEEDS + i, SIDE, natural=True)
            if save is not None:
                cv2.imwrite(str(save / f"{i:05d}.png"), image)
            result = detector(image)
            clear = np.array([legible(image, box) for box in boxes], bool)
            truth = Found(boxes, ids, np.ones(len(ids), np.float32))
            taken.append(Taken(image.shape[:2], truth, clear, Found(result.xyxy, result.class_ids, result.scores)))
            _progress(i + 1, count)
    if save is not None:
        (save / "instances.json").write_text(json.dumps(coco(taken)))
    return figures(taken)


def figures(taken: Sequence[Taken]) -> Dict[str, Any]:
    """AP, AP50 and recall over legible symbols, false alarms in empty pictures, AP50 over all symbols."""
    clear = [Found(*(column[t.legible] for column in t.truth)) for t in taken]
    empty = [t for t in taken if not len(t.truth.class_ids)]
    at_conf = score([t.found for t in taken], clear, len(CLASSES), CONF)
    return {
        **averages(taken),
        "recall": at_conf.recall,
        "false_alarms": float(np.mean([(t.found.scores >= CONF).sum() for t in empty])) if empty else 0.0,
        "all_ap50": averages(taken, every=True)["ap50"],
        "symbols": sum(len(t.legible) for t in taken),
        "legible": sum(int(t.legible.sum()) for t in taken),
    }


def coco(taken: Sequence[Taken]) -> Dict[str, Any]:
    """COCO's annotations; picture i is called `i`.png in five digits."""
    rows = [
        {"iscrowd": int(not clear), **_row(i, box, c)}
        for i, t in enumerate(taken)
        for box, c, clear in zip(t.truth.xyxy.tolist(), t.truth.class_ids.tolist(), t.legible.tolist())
    ]
    sizes = [{"id": i, "file_name": f"{i:05d}.png", "height": t.hw[0], "width": t.hw[1]} for i, t in enumerate(taken)]
    return {
        "images": sizes,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        "annotations": [{"id": k + 1, **row} for k, row in enumerate(rows)],
    }


def _row(picture: int, xyxy: Sequence[float], class_id: int) -> Dict[str, Any]:
    x0, y0, x1, y1 = (float(v) for v in xyxy)
    area = (x1 - x0) * (y1 - y0)
    return {"image_id": picture, "category_id": int(class_id) + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": area}


def averages(taken: Sequence[Taken], every: bool = False) -> Dict[str, Any]:
    """AP, AP50 and the AP50 of each class. With `every` nothing is left out of account."""
    names = tuple(CLASSES)
    held = evaluate.Found(evaluate.Data("test scenes", "drawn", names, tuple(range(1, len(names) + 1)), ()))
    for i, (hw, truth, clear, found) in enumerate(taken):
        wh = truth.xyxy[:, 2:] - truth.xyxy[:, :2]
        boxes = evaluate.Boxes.of(np.column_stack([truth.class_ids, truth.xyxy[:, :2], wh]).tolist())
        boxes = replace(boxes, crowd=np.zeros_like(clear) if every else ~clear)
        result = Detections(found.xyxy, found.scores, found.class_ids.astype(np.int32), names)
        held.add(evaluate.Picture(f"{i:05d}.png", i, boxes, hw), result)
    scored = evaluate.score(held)
    each = {row.name: _number(row.ap50) for row in scored.classes}
    return {"ap": _number(scored.averages["AP"]), "ap50": _number(scored.averages["AP50"]), "ap50_by_class": each}


def _number(average: float | None) -> float:
    return float("nan") if average is None else average


def _progress(done: int, count: int) -> None:
    if sys.stderr.isatty() or done == count:
        print(f"\r{done:,} of {count:,} scenes", end="\n" if done == count else "", file=sys.stderr, flush=True)


def main() -> None:
    """Parse the command line, measure and print."""
    p = argparse.ArgumentParser(prog="python -m calib.test", description=__doc__.split("\n")[0])
    p.add_argument("model", nargs="?", default="codes", help="a name or an ONNX file [default: the model in the box]")
    p.add_argument("--count", type=int, default=1000)
    p.add_argument("--engine", default="ort")
    p.add_argument("--imgsz", type=int)
    p.add_argument("--save", type=Path, metavar="FOLDER", help="also write the pictures and their annotations")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    if a.save:
        a.save.mkdir(parents=True, exist_ok=True)
    try:
        measured = measure(a.model, a.count, a.save, engine=a.engine, imgsz=a.imgsz)
    except EdgecspError as error:
        p.error(str(error))
    if a.json:
        print(json.dumps(measured, indent=1))
        return
    each = measured.pop("ap50_by_class")
    print("  ".join(f"{name} {value:.3f}".rstrip("0").rstrip(".") for name, value in measured.items()))
    print("AP50 of each class:  " + "  ".join(f"{name} {value:.3f}" for name, value in each.items()))


if __name__ == "__main__":
    main()
