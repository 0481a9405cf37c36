"""AP is COCO's: pycocotools counts the same boxes the same."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecsp.bench.accuracy import AVERAGES, Boxes, Data, LabelledImage, Predictions, score
from edgecsp.types import Detections
from support.effort import EFFORT

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
oracle = pytest.importorskip("pycocotools.coco", reason="pycocotools, the oracle, is not installed")
NAMES = ("a", "b", "c", "nowhere")
CATEGORIES = (1, 13, 90, 7)


def counted_elsewhere(found: Predictions) -> Tuple[List[float], np.ndarray]:
    """pycocotools' twelve averages, and AP of each class."""
    from pycocotools.cocoeval import COCOeval

    rows = [
        {
            "id": k + 1,
            "image_id": i,
            "category_id": found.data.category_ids[c],
            "bbox": box,
            "area": area,
            "iscrowd": crowd,
        }
        for k, (i, c, box, area, crowd) in enumerate(
            (each.image_id, c, box, area, int(crowd))
            for each in found.images
            for c, box, area, crowd in zip(
                each.boxes.class_ids.tolist(), each.boxes.xywh.tolist(), each.boxes.areas.tolist(), each.boxes.crowd
            )
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = oracle.COCO()
        truth.dataset = {
            "images": [{"id": each.image_id} for each in found.images],
            "categories": [{"id": i, "name": str(i)} for i in sorted(found.data.category_ids)],
            "annotations": rows,
        }
        truth.createIndex()
        results = found.results()
        if results:
            answers = truth.loadRes(results)
        else:  # pycocotools refuses an empty list
            answers = oracle.COCO()
            answers.dataset = {**truth.dataset, "annotations": []}
            answers.createIndex()
        judge = COCOeval(truth, answers, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    table = judge.eval["precision"][:, :, :, 0, -1]
    order = np.argsort(np.argsort(found.data.category_ids))  # it sorts its categories
    return list(judge.stats), np.array([_mean(table[:, :, k]) for k in order])


def _mean(values: np.ndarray) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else -1.0


def check(found: Predictions) -> None:
    mine, (stats, each) = score(found), counted_elsewhere(found)
    got = [-1 if mine.averages[name] is None else mine.averages[name] for name in AVERAGES]
    np.testing.assert_allclose(got, stats, atol=1e-6)
    np.testing.assert_allclose([-1 if c.ap is None else c.ap for c in mine.classes], each, atol=1e-6)


def drawn(seed: int, pictures: int, most: int, grid: float) -> Predictions:
    """Objects of all sizes, some of them regions of many, and detections that meet, miss and double them.

    Coordinates lie on a grid, so that overlaps of exactly 0.5 and scores that tie come about.
    """
    rng = np.random.default_rng(seed)
    data = Data("drawn", "", NAMES, CATEGORIES, ())
    found = Predictions(data)
    for i in range(pictures):
        n, m = rng.integers(0, most + 1, 2)
        size = rng.choice([20.0, 60.0, 300.0], (n, 1)) * rng.uniform(0.2, 2, (n, 2))
        xywh = np.round(np.concatenate([rng.uniform(0, 300, (n, 2)), size], 1) / grid) * grid
        xywh[:, 2:] = np.maximum(xywh[:, 2:], grid)
        ids = rng.integers(0, 3, n)
        areas = xywh[:, 2] * xywh[:, 3] * rng.choice([0.5, 1.0], n)  # as of segments, smaller than the box
        boxes = Boxes(xywh, ids, rng.random(n) < 0.2, areas)
        source = rng.integers(0, n, m) if n else np.zeros(0, int)
        near = boxes.xyxy[source] + np.round(rng.normal(0, 6, (len(source), 4)) / grid) * grid
        stray = np.round(rng.uniform(0, 200, (3, 4)) / grid) * grid
        xyxy = np.concatenate([near, stray]).astype(np.float32)
        xyxy[:, 2:] = np.maximum(xyxy[:, 2:], xyxy[:, :2] + np.float32(grid))
        classes = np.concatenate([ids[source], rng.integers(0, 4, 3)])
        classes = np.where(rng.random(len(classes)) < 0.15, rng.integers(0, 4, len(classes)), classes).astype(np.int32)
        scores = np.sort(np.round(rng.random(len(classes)), 2).astype(np.float32))[::-1]
        found.add(LabelledImage(f"{i}.jpg", i + 1, boxes, (600, 600)), Detections(xyxy, scores, classes, NAMES))
    return found


@settings(max_examples=40 * EFFORT)
@given(
    seed=st.integers(0, 1 << 32),
    pictures=st.integers(1, 6),
    most=st.integers(0, 14),
    grid=st.sampled_from([0.01, 1.0, 10.0]),
)
def test_pycocotools_counts_the_same(seed: int, pictures: int, most: int, grid: float) -> None:
    check(drawn(seed, pictures, most, grid))


def test_more_boxes_than_count() -> None:
    """COCO counts a hundred of each class in a picture, the best; a true one behind them is lost."""
    xyxy = np.tile(np.array([[500, 500, 510, 510]], np.float32), (130, 1))
    xyxy[120] = (0, 0, 50, 50)
    scores = np.linspace(0.9, 0.1, 130, dtype=np.float32)
    found = Predictions(Data("many", "", NAMES, CATEGORIES, ()))
    picture = LabelledImage("0.jpg", 1, Boxes.from_rows([(0, 0, 0, 50, 50)]), (600, 600))
    found.add(picture, Detections(xyxy, scores, np.zeros(130, np.int32), NAMES))
    check(found)
    assert score(found).averages["AP"] == 0
    found.detections[0] = found.detections[0][np.r_[:90, 120]]
    check(found)
    assert score(found).averages["AP"] == pytest.approx(1 / 91)


@pytest.mark.parametrize("empty", ["truth", "found", "both"])
def test_nothing_there(empty: str) -> None:
    found = drawn(3, 3, 6, 1.0)
    if empty != "found":
        found.images = [LabelledImage(each.path, each.image_id, Boxes.from_rows([]), each.hw) for each in found.images]
    if empty != "truth":
        found.detections = [Detections.empty(NAMES) for _ in found.detections]
    check(found)
    averages = score(found).averages
    assert averages["AP"] == (0 if empty == "found" else None)


def test_classes_are_counted() -> None:
    found = drawn(5, 4, 8, 1.0)
    classes: Dict[str, Any] = {each.name: each for each in score(found).classes}
    every = [each.boxes for each in found.images]
    for i, name in enumerate(NAMES):
        own = [int(((boxes.class_ids == i) & ~boxes.crowd).sum()) for boxes in every]
        assert classes[name].objects == sum(own) and classes[name].images == sum(n > 0 for n in own)
    assert classes["nowhere"].ap is None and classes["nowhere"].objects == 0
