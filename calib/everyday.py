"""Accuracy of the everyday detector on photographs: `python -m calib.everyday [MODEL] --data DATA --empty DATA`.

AP50 is of the model's classes on the validation images of --data, as `edgecsp val` measures it. False alarms are
detections at the model's own threshold, an image, on those images of --empty that hold none of its classes. For a new
model that threshold is chosen on the validation images alone (`choose_threshold`); --choose measures at the new one.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from edgecsp.bench import accuracy
from edgecsp.errors import EdgecspError, UsageError
from edgecsp.pipeline import Detector, load
from edgecsp.train import curves
from edgecsp.types import Model
from edgecsp.zoo import store

FALSE_ALARMS = 0.3  # an image without the classes, at most
WRONG = 0.25  # an image of the validation split, at most, where the threshold is chosen
FINDS = "people and pets"
LICENCE = (
    "Apache-2.0; learned from photographs of VOC2012, COCO and Open Images, which stay under their owners' terms "
    "(Flickr's, Creative Commons; VOC2012 grants no licence), and from boxes of yolo-fastest-1.1-xl, whose weights "
    "carry no notice"
)


def choose_threshold(predictions: accuracy.Predictions, limit: float = WRONG) -> float:
    """Choose the confidence threshold of the best F1 of those with at most `limit` wrong detections an image."""
    judged = curves.judge(predictions)
    scores = judged.scores
    if not len(scores) or not judged.objects.sum():
        raise UsageError(f"{predictions.data.name}: no threshold can be chosen where nothing is to be found")
    f1 = 2 * np.cumsum(judged.right) / (np.arange(1, len(scores) + 1) + judged.objects.sum())
    is_allowed = np.cumsum(~judged.right) <= limit * len(predictions.images)
    best = int(np.where(is_allowed, f1, -1.0).argmax())
    following = float(scores[best + 1]) if best + 1 < len(scores) else 0.0
    return round((float(scores[best]) + following) / 2, 3)


def find_alarms(detector: Detector, data: accuracy.Data, conf: float) -> Dict[str, Any]:
    """Count the detections on the images of a data set that hold none of the detector's classes."""
    names = [name for name in data.names if name.lower() in {label.lower() for label in detector.model.labels}]
    empty = tuple(image for image in data.select_classes(names).images if not len(image.boxes))
    if not empty:
        raise UsageError(f"{data.name}: every image holds one of {', '.join(detector.model.labels)}")
    predictions = accuracy.predict(detector, replace(data, images=empty), conf=conf)
    count = sum(len(detections) for detections in predictions.detections)
    return {"images_without": len(predictions.images), "false_alarms": round(count / len(predictions.images), 4)}


def measure(model: Model, data: Path, empty: Path, *, choose: bool = False, precision: str = "auto") -> Dict[str, Any]:
    """Measure AP50 on the validation images of `data` and false alarms on `empty`, with `choose` at a new threshold.

    Raises `UsageError`, `SourceError`.
    """
    accuracy.require()
    labelled = accuracy.read(data, labels=model.labels).select_classes(model.labels)
    with load(model, precision=precision) as detector:
        predictions = accuracy.predict(detector, labelled)
        scored = accuracy.score(predictions)
        conf = choose_threshold(predictions) if choose else detector.model.conf
        alarms = find_alarms(detector, accuracy.read(empty), conf)
    return {
        "images": len(predictions.images),
        "on": f"{len(predictions.images):,} validation images of {data.parent.name or data}",
        "ap": scored.averages["AP"],
        "ap50": scored.averages["AP50"],
        "ap50_by_class": {each.name: each.ap50 for each in scored.classes},
        "conf": conf,
        **alarms,
    }


def add_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options for the photographs to a command line."""
    parser.add_argument("--data", type=Path, required=required, help="data set of photographs; its val images count")
    parser.add_argument("--empty", type=Path, required=required, help="data set; images without the classes count")


def main(words: Optional[List[str]] = None) -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m calib.everyday", description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="everyday", help="a name or an ONNX file [default: everyday]")
    add_options(parser, required=True)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--choose", action="store_true", help="at a threshold chosen on the validation images")
    a = parser.parse_args(words)
    try:
        measured = measure(store.resolve(a.model), a.data, a.empty, choose=a.choose, precision=a.precision)
    except EdgecspError as error:
        parser.error(str(error))
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
