"""Raw heads -> boxes by hand-worked numbers; classifiers; graphs that do not fit their description."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import List

import numpy as np
import pytest

from edgecsp.errors import BadModel
from edgecsp.options import Thresholds
from edgecsp.processing import decode
from edgecsp.processing.heads.scores import Scores
from edgecsp.processing.heads.yolo import Yolo
from edgecsp.types import Classes, Input, Model

HEAD = Yolo("head0", 2, 16, ((10.0, 20.0), (30.0, 40.0)))


def empty_head() -> np.ndarray:
    return np.full((1, 14, 3, 4), -9, np.float32)


def test_one_box_by_hand() -> None:
    out = empty_head()
    out[0, 7:14, 2, 1] = (0, math.log(3), math.log(2), 0, 4, -9, 2)  # second anchor, row 2, column 1
    found = decode.boxes([HEAD], [out], (48, 64), 0.25)
    assert found.class_ids.tolist() == [1]
    assert found.scores[0] == pytest.approx(1 / (1 + math.exp(-4)) / (1 + math.exp(-2)), rel=1e-6)
    x, y = (1 + 0.5) * 16, (2 + 0.75) * 16
    assert found.xyxy[0] == pytest.approx([x - 30, y - 20, x + 30, y + 20], rel=1e-6)


def test_heads_that_are_no_numbers_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model = Model("overflown", Input((48, 64)), (HEAD,), ("a", "b"))
    for value, count in ((-9.0, 0), (-np.inf, 0), (np.nan, 1), (np.nan, 1)):
        found = HEAD.detect(model, [np.full((1, 14, 3, 4), value, np.float32)], Thresholds())
        assert not len(found.scores) and len(caplog.records) == count
    mixed = np.full((1, 14, 3, 4), -np.inf, np.float32)
    mixed[0, 0] = np.inf
    HEAD.detect(replace(model, name="mixed"), [mixed], Thresholds())
    assert len(caplog.records) == 2, "one infinity and another make no warning of numpy's"
    assert "overflown gave heads that are no numbers, so it finds nothing" in caplog.text
    assert "--precision fp32" in caplog.text


def test_a_box_stands_once_for_every_class_that_passes() -> None:
    out = empty_head()
    out[0, 4:7, 0, 0] = (5, 3, 2)
    found = decode.boxes([HEAD], [out], (48, 64), 0.25)
    assert found.class_ids.tolist() == [0, 1] and (found.xyxy[0] == found.xyxy[1]).all()


def test_the_product_must_pass_not_the_factors() -> None:
    out = empty_head()
    out[0, 4:7, 0, 0] = (0, 0, 9)  # 0.5 * 0.5 = 0.25 is not above 0.25; 0.5 * 1 is
    assert decode.boxes([HEAD], [out], (48, 64), 0.25).class_ids.tolist() == [1]


def test_scale_xy_and_new_coords() -> None:
    out = empty_head()
    out[0, 0:6, 0, 0] = (2, -2, 0, 0, 9, 9)
    head = Yolo("head0", 2, 16, HEAD.anchors_wh, scale_xy=2.0)
    found = decode.boxes([head], [out], (48, 64), 0.25)
    centre = (found.xyxy[0, :2] + found.xyxy[0, 2:]) / 2
    s = 1 / (1 + math.exp(-2))
    assert centre == pytest.approx([(2 * s - 0.5) * 16, (2 * (1 - s) - 0.5) * 16], rel=1e-5)
    new = Yolo("head0", 2, 16, HEAD.anchors_wh, scale_xy=2.0, new_coords=True)
    raw = np.zeros((1, 14, 3, 4), np.float32)
    raw[0, 0:6, 1, 1] = (0.5, 0.25, 0.5, 1, 0.9, 0.8)
    found = decode.boxes([new], [raw], (48, 64), 0.25)
    x, y = (1 + 1 - 0.5) * 16, (1 + 0.5 - 0.5) * 16
    assert found.xyxy[0] == pytest.approx([x - 5, y - 40, x + 5, y + 40]) and found.scores[0] == pytest.approx(0.72)


def test_new_coords_are_compared_as_they_come() -> None:
    raw = np.zeros((1, 7, 1, 2), np.float32)
    raw[0, 4:6, 0] = [[0.96, 0.94], [0.99, 0.99]]
    head = Yolo("head0", 2, 16, ((10.0, 20.0),), new_coords=True)
    found = decode.boxes([head], [raw], (16, 32), 0.94)
    assert found.scores.tolist() == [pytest.approx(0.96 * 0.99)]


def test_a_nan_makes_no_box() -> None:
    out = empty_head()
    out[0, 0:7, 0, 0] = (np.nan, 0, 0, 0, 9, 9, 9)
    out[0, 0:7, 0, 1] = (0, 0, 0, 0, np.nan, 9, 9)
    out[0, 0:7, 0, 2] = (0, 0, 0, 0, 9, np.nan, 9)
    assert decode.boxes([HEAD], [out], (48, 64), 0.25).class_ids.tolist() == [1]


def test_nothing_found_is_an_empty_list_of_the_right_kind() -> None:
    found = decode.boxes([HEAD], [empty_head()], (48, 64), 0.25)
    assert found.xyxy.shape == (0, 4) and found.scores.shape == (0,) and found.class_ids.dtype == np.int32


def test_graphs_that_do_not_fit_their_heads() -> None:
    with pytest.raises(BadModel, match="head head0 has 15 channels; 2 anchors of 2 classes make 14"):
        decode.boxes([HEAD], [np.zeros((1, 15, 3, 4), np.float32)], (48, 64), 0.25)
    with pytest.raises(BadModel, match="2 outputs for 1 box heads"):
        decode.boxes([HEAD], [empty_head()] * 2, (48, 64), 0.25)


def classifier(softmax: bool) -> Model:
    return Model("c", Input((8, 8)), (Scores("head0", 4, softmax),), ("a", "b", "c", "d"))


def classify(model: Model, outputs: List[np.ndarray], top: int = 5) -> Classes:
    (head,) = model.heads
    assert isinstance(head, Scores)
    return head.classify(model, outputs, top)


def test_a_classifiers_best() -> None:
    logits = np.log(np.array([1, 4, 2, 3], np.float32)).reshape(1, 4, 1, 1)
    best = classify(classifier(True), [logits], top=3)
    assert best.class_ids.tolist() == [1, 3, 2] and best.scores == pytest.approx([0.4, 0.3, 0.2])
    assert [best.name_of(i) for i in best.class_ids] == ["b", "d", "c"]
    assert classify(classifier(True), [logits + 1e4]).scores.sum() == pytest.approx(1, rel=1e-3)
    plain = classify(classifier(False), [np.array([[0.1, 0.2, 0.2, 0.5]], np.float32)])
    assert plain.class_ids.tolist() == [3, 1, 2, 0]  # of two equals the first comes first


def test_a_classifier_that_is_broken() -> None:
    with pytest.raises(BadModel, match="5 scores for 4 classes"):
        classify(classifier(True), [np.zeros((1, 5), np.float32)])
    with pytest.raises(BadModel, match="no numbers"):
        classify(classifier(True), [np.array([[1, np.nan, 0, 0]], np.float32)])
