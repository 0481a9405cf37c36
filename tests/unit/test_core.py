"""The words of the house: columns that agree, rows by any index, names that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgecsp.errors import BadModel, UnknownName
from edgecsp.processing.heads.yolo import Yolo
from edgecsp.types import Classes, Detection, Detections, Frame, Geometry, Input, Model, Stream

LABELS = ("person", "Traffic Light", "person")


def three() -> Detections:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    return Detections(boxes, np.array([0.9, 0.5, 0.25], np.float32), np.array([1, 0, 7], np.int32), LABELS)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (1, [1]),
        (-1, [2]),
        (np.int64(0), [0]),
        (slice(1, None), [1, 2]),
        (slice(0, 0), []),
        ([2, 0], [2, 0]),
        (np.array([0, 0]), [0, 0]),
        (np.array([True, False, True]), [0, 2]),
        ([], []),
    ],
)
def test_rows_by_any_index(rows: object, wanted: list) -> None:
    all_rows = three()
    some = all_rows[rows]
    assert len(some) == len(wanted) and some.names == LABELS
    assert some.scores.tolist() == [all_rows.scores[i] for i in wanted]
    assert some.class_ids.tolist() == [all_rows.class_ids[i] for i in wanted]
    assert some.xyxy.shape == (len(wanted), 4) and some.xyxy.tolist() == [all_rows.xyxy[i].tolist() for i in wanted]


def test_an_index_too_far_is_an_error() -> None:
    with pytest.raises(IndexError):
        three()[3]


def test_iterating_gives_plain_rows() -> None:
    rows = list(three())
    assert rows[0] == Detection((0.0, 1.0, 2.0, 3.0), pytest.approx(0.9), 1, "Traffic Light")
    assert rows[2].label == "class7" and isinstance(rows[0].score, float) and isinstance(rows[0].class_id, int)


def test_columns_must_agree() -> None:
    good = three()
    for wrong in ({"xyxy": good.xyxy[:2]}, {"scores": good.scores[:2]}, {"class_ids": good.class_ids[:, None]}):
        with pytest.raises(ValueError, match="columns differ"):
            dataclasses.replace(good, **wrong)


def test_empty() -> None:
    none = Detections.empty(LABELS)
    assert len(none) == 0 and list(none) == [] and none.xyxy.dtype == np.float32 and none[[]].names == LABELS


def test_frozen() -> None:
    for thing, name in ((three(), "scores"), (Input((8, 8)), "hw"), (Stream("a"), "name")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)


def test_frame_and_classes() -> None:
    assert Frame(np.zeros((4, 6, 3), np.uint8)).hw == (4, 6)
    best = Classes(np.ones(1, np.float32), np.zeros(1, np.int32), LABELS)
    assert len(best) == 1 and best.name_of(0) == "person" and best.name_of(9) == "class9"


def test_geometry_clips_to_the_picture_and_keeps_float32() -> None:
    geometry = Geometry((2.0, 4.0), (10.0, 20.0), (30, 50))
    back = geometry.to_image(np.array([[10, 20, 20, 60], [-1e9, -1e9, 1e9, 1e9]]))
    assert back.tolist() == [[0, 0, 5, 10], [0, 0, 50, 30]] and back.dtype == np.float32
    assert geometry.to_network(np.array([[1, 2, 3, 4]])).tolist() == [[12, 28, 16, 36]]


def model(**changes: object) -> Model:
    head = Yolo("head0", 3, 8, ((1.0, 2.0),))
    return Model(**{"name": "m", "input": Input((8, 8)), "heads": (head,), "labels": LABELS, **changes})


def test_classes_by_name_or_number() -> None:
    m = model()
    assert m.class_ids(["person", " TRAFFIC light", "2"]) == [0, 1, 2] and m.task == "detect"
    with pytest.raises(UnknownName, match=r"no class of m is called 'persn'\. Did you mean 'person'"):
        m.class_ids(["persn"])
    for number in ("3", "-1", "²"):
        with pytest.raises(UnknownName):
            m.class_ids([number])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": ()}, "has no head"),
        ({"labels": ("a", "b")}, "3 classes and 2 labels"),
        ({"heads": (Yolo("a", 3, 8, ((1.0, 2.0),)), Yolo("b", 2, 8, ((1.0, 2.0),)))}, r"heads of \[2, 3\] classes"),
        ({"conf": 1.5}, "conf 1.5"),
        ({"iou": float("nan")}, "iou nan"),
        ({"nms_beta": -1.0}, "nms_beta -1"),
    ],
)
def test_models_that_cannot_be(changes: dict, said: str) -> None:
    with pytest.raises(BadModel, match=said):
        model(**changes)


def test_inputs_that_cannot_be() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'letterbox'"):
        Input((8, 8), "leterbox")
    with pytest.raises(UnknownName, match="no colour order is called 'brg'"):
        Input((8, 8), colour="brg")
    for wrong in ({"hw": (0, 8)}, {"channels": 0}, {"scale": 0.0}, {"std": (1.0, 0.0, 1.0)}):
        with pytest.raises(BadModel):
            Input(**{"hw": (8, 8), **wrong})
