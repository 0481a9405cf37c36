"""The supported families of ONNX exports, a file for those that are alike: layout of their outputs, and their input.

A family is one row of a file's `KINDS` and one function that finds the heads that the outputs' shapes fit; where no
head of edgecsp reads them, the function appends nodes that lay them out as plain rows. Sources: the exporters' code
and documentation, named beside each.
"""

from __future__ import annotations

from typing import Dict, Iterator

from ....processing.heads.scores import Scores
from ....types import Classes
from ..kinds import HeadGuess, Kind, OutputLayout
from . import detr, distances, suppressed, yolo


def _classes(layout: OutputLayout) -> Iterator[HeadGuess]:
    for output in layout.outputs:
        if output.shape[:1] == (1,) and output.shape[2:] in ((), (1, 1)) and len(output.shape) > 1:
            softmax = layout.last_operator(output.name) != "Softmax"
            yield HeadGuess((Scores(output.name, output.shape[1], softmax=softmax),))


KINDS: Dict[str, Kind] = {
    **yolo.KINDS,
    **detr.KINDS,
    **distances.KINDS,
    **suppressed.KINDS,
    "classify": Kind(
        "a classifier: (1, C)", _classes, {"resize": "crop"}, explicit_only=True, result=Classes, labels=()
    ),
}
ALIASES = {
    "yolov7": "yolov5", "yolov9": "yolov8", "yolov11": "yolov8", "yolo11": "yolov8", "yolov12": "yolov8",
    "yolo12": "yolov8", "yolo26": "yolov10", "end2end": "yolov10", "yolo-nas": "yolonas", "rt-detr": "rtdetr",
    "d-fine": "detr", "dfine": "detr", "rf-detr": "rfdetr", "damo-yolo": "damo", "yolov5-raw": "yolov7-raw",
    "pp-yoloe": "ppyoloe", "fcos": "retinanet", "ssdlite": "ssd", "ssd300": "ssd",
}  # fmt: skip
