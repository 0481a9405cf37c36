"""Balance a run's classes and objectness on validation scenes: `python -m calib.balance RUN OUT`.

A detector's score is objectness times class, and it learned from other shares of classes than general scenes have: one
threshold is too high for some classes and too low for others. Here a constant is added to the logit of each class, of
all choices the one with the fewest wrong detections at the same recall that keeps AP50 and, among look-alikes, Data
Matrix; and one to all objectness, such that the threshold of `calib.test` finds the wanted recall. Only biases of the
heads' last layers change: the network costs what it did. OUT is RUN with these biases, for `calib.bake`. Scenes of
validation seeds decide, test scenes never.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Callable, NamedTuple, Sequence, Tuple

import numpy as np
import torch

from edgecsp.bench import accuracy
from edgecsp.bench.accuracy.confusion import IGNORED, match_boxes
from edgecsp.cache import files
from edgecsp.errors import EdgecspError
from edgecsp.processing import nms, preprocess
from edgecsp.processing.cells import cell_boxes, read_cells
from edgecsp.processing.decode import logit, sigmoid
from edgecsp.processing.heads.yolo import Yolo
from edgecsp.train.network import Network, yolo_heads
from edgecsp.types import Detections, Model

from . import CLASSES, VAL_SEEDS, bake, test
from .scenes import scene

FIRST, FIRST_HARD = VAL_SEEDS + 100_000, VAL_SEEDS + 50_100_000  # those before chose the best epoch
RECALLS = (0.90, 0.905, 0.91, 0.915, 0.92)
CHOICES = (0.0, 0.4, 0.8)  # of each class's logit
OBJECTNESS = np.arange(-2, 2, 0.05)
AP50_LOSS = 0.001
MATRIX_SHARE = 0.86  # of the Data Matrix among look-alikes that must be taken for Data Matrix
LOW = 0.02


class Judged(NamedTuple):
    """Detections of all scenes: logits, class ids, which are right, wrong, and wrong in scenes without a symbol.

    What lies on an illegible symbol is neither. `objects` counts the legible symbols of each class.
    """

    objectness: np.ndarray
    chance: np.ndarray
    ids: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    alarm: np.ndarray
    objects: np.ndarray
    scenes: int
    empty: int

    def scores(self, classes: np.ndarray, objectness: float = 0.0) -> np.ndarray:
        """The scores once constants are added to the logits."""
        scores: np.ndarray = sigmoid(self.objectness + objectness) * sigmoid(self.chance + classes[self.ids])
        return scores

    def recall(self, scores: np.ndarray, conf: float) -> float:
        """The share of symbols that are detected at a threshold."""
        return float((scores[self.right] >= conf).sum() / self.objects.sum())

    def threshold(self, scores: np.ndarray, recall: float) -> float:
        """The highest threshold with a recall, 0 where none has it."""
        hits = np.sort(scores[self.right])[::-1]
        needed = int(np.ceil(recall * self.objects.sum()))
        return float(hits[needed - 1]) if needed <= len(hits) else 0.0

    def cost(self, classes: np.ndarray) -> float:
        """Wrong detections an image and false alarms an image without symbols, averaged over `RECALLS`."""
        scores = self.scores(classes)
        at = [self.threshold(scores, recall) for recall in RECALLS]
        wrong = np.mean([(scores[self.wrong] >= conf).sum() for conf in at]) / self.scenes
        alarms = np.mean([(scores[self.alarm] >= conf).sum() for conf in at]) / max(1, self.empty)
        return float(wrong + alarms)

    def ap50(self, scores: np.ndarray) -> float:
        """AP50 as COCO interpolates it, over all classes."""
        values = []
        for class_id, objects in enumerate(self.objects):
            rows = np.flatnonzero((self.ids == class_id) & (self.right | self.wrong))
            right = self.right[rows[np.argsort(-scores[rows], kind="stable")]]
            hits = np.cumsum(right)
            precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
            at = np.searchsorted(hits / max(1, objects), np.linspace(0, 1, 101))
            values.append(np.mean(np.append(precision, 0.0)[at]))
        return float(np.mean(values))


def choose(judged: Judged, share: Callable[[np.ndarray, float], float]) -> Tuple[np.ndarray, float]:
    """Choose the constants: (classes), objectness. `share` says how much Data Matrix is taken for such with them.

    Raises `EdgecspError` if no choice keeps what must be kept.
    """
    choices = [np.array(each) for each in itertools.product(CHOICES, repeat=len(judged.objects))]
    least = judged.ap50(judged.scores(choices[0])) - AP50_LOSS
    for classes in sorted(choices, key=judged.cost):
        recalls = (judged.recall(judged.scores(classes, each), test.CONF) >= test.RECALL for each in OBJECTNESS)
        objectness = next((round(float(each), 6) for each, is_enough in zip(OBJECTNESS, recalls) if is_enough), None)
        if objectness is None or judged.ap50(judged.scores(classes, objectness)) < least:
            continue
        if share(classes, objectness) >= MATRIX_SHARE:
            return classes, objectness
    raise EdgecspError(f"no choice keeps AP50 {least:.4f}, recall {test.RECALL:g}, Data Matrix {MATRIX_SHARE:g}")


def hard_count(count: int) -> int:
    """Scenes of look-alikes beside `count` general ones."""
    return count * 3 // 8


class SceneDetections(NamedTuple):
    """Detections in scenes, and the logits (objectness, class) of all of them, in order."""

    predictions: accuracy.Predictions
    logits: np.ndarray

    def matrix_share(self, classes: np.ndarray, objectness: float) -> float:
        """The share of Data Matrix that is taken for such once constants are added to the logits."""
        detections, start = [], 0
        for each in self.predictions.detections:
            own = self.logits[start : start + len(each)]
            start += len(each)
            scores = sigmoid(own[:, 0] + objectness) * sigmoid(own[:, 1] + classes[each.class_ids])
            detections.append(replace(each, scores=scores))
        shifted = replace(self.predictions, detections=detections)
        return test.taken_for(shifted, test.MATRIX).get(CLASSES[test.MATRIX], 0.0)


def look(model: Model, first: int, count: int) -> SceneDetections:
    """Run a model on `count` scenes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.onnx, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    predictions, logits = test.empty_data(), [np.zeros((0, 2))]
    for i in range(count):
        image, boxes, ids = scene(first + i, test.SIDE, natural=True)
        tensor, _ = preprocess.prepare(image, model.input)
        detections, raw = find(model, session.run(None, {name: tensor}))
        sides = np.divide(image.shape[1::-1], model.input.hw[::-1])
        detections = replace(detections, xyxy=detections.xyxy * np.tile(sides, 2))
        predictions.add(test.labelled(image, boxes, ids, i), detections)
        logits.append(raw)
    return SceneDetections(predictions, np.concatenate(logits))


def find(model: Model, outputs: Sequence[np.ndarray]) -> Tuple[Detections, np.ndarray]:
    """Decode raw heads: the detections after NMS in network pixels, and the logits (objectness, class) of each."""
    floor = logit(LOW)
    heads = [head for head in model.heads if isinstance(head, Yolo)]
    near = [read_cells(head, out, model.input.hw, floor) for head, out in zip(heads, outputs)]
    rows, places = (np.concatenate(each) for each in zip(*near))
    row, class_ids = np.nonzero(rows[:, 5:] > floor)
    logits = np.column_stack([rows[row, 4], rows[row, 5 + class_ids]])
    scores = sigmoid(logits).prod(axis=1)
    candidates = nms.Candidates(cell_boxes(rows[row, :4], places[row]), scores, class_ids.astype(np.int32))
    stay = nms.keep(candidates, model.iou)
    stay = stay[scores[stay] > LOW]
    xyxy, ids = candidates.xyxy[stay], candidates.class_ids[stay]
    return Detections(xyxy, scores[stay], ids, CLASSES), logits[stay]


def judge(detected: SceneDetections) -> Judged:
    """Match detections with the symbols of their class."""
    predictions, logits = detected
    right, wrong, alarm, ids, objects = [], [], [], [], []
    for image, detections in zip(predictions.images, predictions.detections):
        on = match_boxes(image.boxes, detections, test.SAME).of_detections
        hit = on >= 0
        hit[hit] = image.boxes.class_ids[on[hit]] == detections.class_ids[hit]
        right.append(hit)
        wrong.append(~hit & (on != IGNORED))
        alarm.append(np.full(len(hit), not len(image.boxes)))
        ids.append(detections.class_ids)
        objects.append(image.boxes.class_ids[~image.boxes.crowd])
    hits, wrongs, alarms = (np.concatenate(each) for each in (right, wrong, alarm))
    counts = np.bincount(np.concatenate(objects), minlength=len(CLASSES))
    empty = sum(not len(image.boxes) for image in predictions.images)
    return Judged(
        logits[:, 0], logits[:, 1], np.concatenate(ids), hits, wrongs, alarms, counts, len(predictions.images), empty
    )


def shift(network: Network, classes: np.ndarray, objectness: float) -> None:
    """Add constants to the biases of a network's heads."""
    for layer, head in yolo_heads(network.net).items():
        bias = network.convolutions[str(layer)][0].bias.data.view(len(head.anchors_wh), 5 + head.classes)
        bias[:, 4] += objectness
        bias[:, 5:] += torch.from_numpy(classes).float()


def write(run: Path, out: Path, chosen: Tuple[np.ndarray, float], count: int) -> None:
    """Write the run's best epoch with other biases to the folder `out`, as `calib.bake` reads it."""
    _, _, network = bake.read_run(run)
    classes, objectness = chosen
    shift(network, classes, objectness)
    state = torch.load(run / "best.pt", map_location="cpu", weights_only=True)
    out.mkdir(parents=True, exist_ok=True)
    with files.atomic(out / "best.pt") as file:
        torch.save({**state, "average": network.state_dict()}, file)
    record = {
        "scenes": {"general": [FIRST, FIRST + count], "hard": [FIRST_HARD, FIRST_HARD + hard_count(count)]},
        "classes": dict(zip(CLASSES, classes.tolist())),
        "objectness": objectness,
    }
    began = json.loads((run / "run.json").read_text())
    with files.atomic(out / "run.json") as file:
        file.write(json.dumps({**began, "balance": record}, indent=1).encode())


def main() -> None:
    """Parse the command line, measure, choose and write."""
    parser = argparse.ArgumentParser(prog="python -m calib.balance", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, help="folder for the balanced run")
    parser.add_argument("--count", type=int, default=4000, help="general validation scenes")
    a = parser.parse_args()
    try:
        _, layout, network = bake.read_run(a.run)
        model = layout.model(network, test.CONF, {})
        hard = look(model, FIRST_HARD, hard_count(a.count))
        chosen = choose(judge(look(model, FIRST, a.count)), hard.matrix_share)
        write(a.run, a.out, chosen, a.count)
    except EdgecspError as error:
        parser.error(str(error))
    classes, objectness = chosen
    print(", ".join(f"{name} {value:+g}" for name, value in zip(CLASSES, classes)) + f"; objectness {objectness:+g}")


if __name__ == "__main__":
    main()
