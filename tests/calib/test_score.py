"""AP against the reference, anchors against what they are made from."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from calib import score
from calib.score import Found
from edgecsp.train import anchors


def crowd(seed: int, pictures: int = 30):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(pictures):
        n = int(rng.integers(0, 6))
        low, size = rng.uniform(0, 200, (n, 2)), rng.uniform(10, 100, (n, 2))
        boxes, ids = np.concatenate((low, low + size), 1), rng.integers(0, 3, n)
        truth.append(Found(boxes, ids, np.ones(n)))
        moved = np.concatenate((boxes + rng.normal(0, 6, boxes.shape), rng.uniform(0, 300, (2, 4))))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 2)
        names = np.where(rng.random(n + 2) < 0.85, np.concatenate((ids, [0, 1])), 2)
        found.append(Found(moved, names, rng.permutation(1000)[: n + 2] / 1000))
    return found, truth


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_cocos(seed):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is the reference")
    from pycocotools.cocoeval import COCOeval

    found, truth = crowd(seed)

    def rows(sets, scored):
        boxes = [(i, b, c, s) for i, f in enumerate(sets) for b, c, s in zip(f.xyxy, f.class_ids, f.scores)]
        made = []
        for k, (i, b, c, s) in enumerate(boxes):
            x0, y0, w, h = float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])
            row = {"id": k + 1, "image_id": i, "category_id": int(c), "bbox": [x0, y0, w, h], "area": w * h}
            made.append({**row, "score": float(s)} if scored else {**row, "iscrowd": 0})
        return made

    with contextlib.redirect_stdout(io.StringIO()):
        reference = coco.COCO()
        reference.dataset = {
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": c} for c in range(3)],
            "annotations": rows(truth, False),
        }
        reference.createIndex()
        judge = COCOeval(reference, reference.loadRes(rows(found, True)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    mine = score.score(found, truth, 3)
    assert mine.ap == pytest.approx(judge.stats[0], abs=2e-3)
    assert mine.ap50 == pytest.approx(judge.stats[1], abs=2e-3)


def test_recall_and_false_alarms():
    box = np.array([[0.0, 0, 10, 10]])
    none = np.zeros((0, 4)), np.zeros(0, int), np.zeros(0)
    truth = [Found(box, np.array([1]), np.ones(1)), Found(box, np.array([1]), np.ones(1)), Found(*none)]
    found = [Found(box, np.array([1]), np.array([0.9])), Found(box, np.array([1]), np.array([0.2]))]
    found.append(Found(np.tile(box, (3, 1)), np.array([0, 1, 1]), np.array([0.3, 0.6, 0.1])))
    got = score.score(found, truth, 3)
    assert (got.recall, got.false_alarms) == (0.5, 2.0)
    assert np.isnan(got.ap50_by_class[[0, 2]]).all()
    assert score.row(got, ("a", "b", "c"))["ap50_b"] == 1.0 or got.ap50_by_class[1] < 1


def test_anchors_find_the_sizes_that_are_there():
    sizes = np.array([(10, 12), (30, 20), (60, 60), (40, 160), (160, 40), (250, 240)], float)
    rng = np.random.default_rng(3)
    boxes = sizes.repeat(300, 0) * rng.uniform(0.92, 1.08, (1800, 2))
    found = np.array(anchors.kmeans(boxes))
    assert anchors.shape_iou(sizes, found).max(1).min() > 0.85
    assert (np.diff(found.prod(1)) >= 0).all()
