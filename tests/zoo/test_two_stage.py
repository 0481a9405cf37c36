"""What lies between ThunderNet's graphs, against oracles that loop over every box, bin and sample."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgecsp.processing.decode import Candidates
from edgecsp.processing.heads import two_stage
from edgecsp.processing.heads.two_stage import Raw
from edgecsp.zoo.thundernet import ANCHORS

RPN = Raw("objectness", 80, 16, ANCHORS)


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    height, width = plane.shape
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[top, left] * (1 - (x - left)) + plane[top, right] * (x - left)
    lower = plane[bottom, left] * (1 - (x - left)) + plane[bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def slow_ps_roi_align(features: np.ndarray, rois: np.ndarray, stride: int) -> np.ndarray:
    out = np.zeros((len(rois), len(features) // 49, 7, 7))
    for n, (x0, y0, x1, y1) in enumerate(rois.astype(float) / stride):
        bin_w, bin_h = max(x1 - x0, 1.0) / 7, max(y1 - y0, 1.0) / 7
        for c, ph, pw in np.ndindex(*out.shape[1:]):
            plane = features[(c * 7 + ph) * 7 + pw]
            out[n, c, ph, pw] = max(
                bilinear(plane, y0 + (ph + i) * bin_h, x0 + (pw + j) * bin_w)
                for i in (0.25, 0.75)
                for j in (0.25, 0.75)
            )
    return out


def random_boxes(count: int, side: int, seed: int) -> np.ndarray:
    corners = np.random.default_rng(seed).uniform(0, side, (count, 2, 2)).astype(np.float32)
    return np.sort(corners, 1).reshape(count, 4)


@pytest.mark.parametrize("seed", range(3))
def test_ps_roi_align_is_the_slow_one(seed: int) -> None:
    features = np.random.default_rng(seed).standard_normal((98, 9, 11)).astype(np.float32)
    edges = [[0, 0, 176, 144], [0, 0, 0, 0], [175, 143, 176, 144], [8, 8, 9, 9], [0, 140, 176, 144]]
    rois = np.concatenate((random_boxes(12, 140, seed), np.array(edges, np.float32)))
    fast = two_stage.ps_roi_align(features, rois, 16)
    assert fast.shape == (17, 2, 7, 7) and fast.dtype == np.float32
    np.testing.assert_allclose(fast, slow_ps_roi_align(features, rois, 16), atol=1e-5)


def test_every_bin_reads_its_own_channel() -> None:
    features = np.broadcast_to(np.arange(245, dtype=np.float32)[:, None, None], (245, 4, 4))
    samples = two_stage.ps_roi_align(features, np.array([[0, 0, 64, 64]], np.float32), 16)
    np.testing.assert_allclose(samples.reshape(-1), np.arange(245), rtol=1e-6)


def slow_soft_nms(found: Candidates, iou: float, max_det: int, floor: float) -> list[tuple[int, float]]:
    left = {i: float(score) for i, score in enumerate(found.scores) if score > floor}
    kept: list[tuple[int, float]] = []
    while left and len(kept) < max_det:
        best = max(left, key=lambda i: (left[i], -i))
        kept.append((best, left.pop(best)))
        for i in list(left):
            a, b = found.xyxy[best].astype(float), found.xyxy[i].astype(float)
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            inside = max(w, 0) * max(h, 0)
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
            overlap = inside / union if union > 0 else 0
            if found.class_ids[i] == found.class_ids[best] and overlap > iou:
                left[i] *= 1 - overlap
            if left[i] <= floor:
                del left[i]
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_soft_nms_is_the_slow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyxy = random_boxes(60, 40, seed) + np.array((0, 0, 25, 25), np.float32)
    found = Candidates(xyxy, rng.random(60).astype(np.float32), rng.integers(0, 3, 60).astype(np.int32))
    rows, scores = two_stage.soft_nms(found, 0.5, 30, 0.05)
    wanted = slow_soft_nms(found, 0.5, 30, 0.05)
    assert list(rows) == [row for row, _ in wanted]
    np.testing.assert_allclose(scores, [score for _, score in wanted], rtol=1e-5)


def test_soft_nms_of_nothing() -> None:
    found = Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    rows, scores = two_stage.soft_nms(found, 0.5)
    assert len(rows) == len(scores) == 0


def test_anchors_stand_on_their_places() -> None:
    boxes = two_stage.anchors(RPN, (2, 3)).reshape(2, 3, 25, 4)
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    np.testing.assert_allclose(centres[1, 2], [[40, 24]] * 25, atol=1e-4)
    areas = np.prod(boxes[..., 2:] - boxes[..., :2], -1)[0, 0]
    np.testing.assert_allclose(areas, np.repeat([32, 64, 128, 256, 512], 5) ** 2, rtol=1e-4)


def test_proposals_find_the_loud_places() -> None:
    objectness = np.full((1, 25, 4, 4), 0.01, np.float32)
    deltas = np.zeros((1, 100, 4, 4), np.float32)
    objectness[0, 2, 1, 1], objectness[0, 2, 3, 3] = 0.9, 0.8  # 32 x 32 at (24, 24) and (56, 56)
    deltas[0, 4 * 2 + 2, 1, 1] = math.log(0.5)  # half as wide
    rois = two_stage.proposals((RPN,), (objectness, deltas), (64, 64), 200)
    assert rois.shape == (200, 4)
    np.testing.assert_allclose(rois[:2], [[16, 8, 32, 40], [40, 40, 64, 64]], atol=1e-4)
    assert (rois >= 0).all() and (rois <= 64).all()


def test_boxes_leave_the_background_and_the_filling_out() -> None:
    rois = np.array([[0, 0, 20, 20], [0, 0, 0, 0]], np.float32)
    logits = np.array([[0, 0, 5], [0, 9, 0]], np.float32)
    deltas = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    found = two_stage.boxes((), (rois, logits, deltas), (64, 64), 0.5)
    assert list(found.class_ids) == [1] and found.scores[0] == pytest.approx(math.exp(5) / (math.exp(5) + 2), rel=1e-5)
    np.testing.assert_allclose(found.xyxy, [[2, 0, 22, 20]], atol=1e-4)
