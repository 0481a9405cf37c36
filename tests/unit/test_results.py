"""What results and heads say of themselves, so that nothing else asks which they are."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgecsp.types
from edgecsp import importers
from edgecsp.errors import BadModel, UsageError
from edgecsp.graph import onnx_model
from edgecsp.media import draw
from edgecsp.options import Thresholds
from edgecsp.processing import heads
from edgecsp.processing.decode import BoxHead
from edgecsp.processing.heads.anchor_free import AnchorFree
from edgecsp.processing.heads.decoded import Decoded
from edgecsp.processing.heads.end_to_end import EndToEnd
from edgecsp.processing.heads.scores import Scores
from edgecsp.processing.heads.ssd import Ssd
from edgecsp.processing.heads.two_stage import Raw
from edgecsp.processing.heads.yolo import Yolo
from edgecsp.types import Classes, Detections, Geometry, Head, Input, Model, Result

LABELS = ("a", "b")
BOXES = Detections(
    np.array([(1, 2, 30.126, 40), (5, 6, 7, 8)], np.float32),
    np.array((0.75, 0.5), np.float32),
    np.array((1, 0), np.int32),
    LABELS,
)
BEST = Classes(np.array((0.75, 0.25), np.float32), np.array((1, 0), np.int32), LABELS)


def test_rows_are_of_their_fields() -> None:
    assert BOXES.to_rows()[0] == {"class_id": 1, "label": "b", "score": 0.75, "xyxy": [1.0, 2.0, 30.13, 40.0]}
    assert BEST.to_rows()[0] == {"class_id": 1, "label": "b", "score": 0.75}
    for result in (BOXES, BEST):
        assert [tuple(row) for row in result.to_rows()] == [result.row_fields] * 2
        assert type(result).empty(LABELS).to_rows() == []
        assert len(type(result).empty(LABELS)) == 0 and type(result).empty(LABELS).names == LABELS


def test_columns_are_named_as_tensors() -> None:
    assert list(BOXES.columns()) == ["boxes", "scores", "class_ids", "labels"]
    assert list(BEST.columns()) == ["scores", "class_ids", "labels"] and BEST.columns()["labels"] == ["b", "a"]


def test_what_an_image_counts_for() -> None:
    assert BOXES.counted() == ["b", "a"] and BEST.counted() == ["b"] and Classes.empty().counted() == []
    regions, class_ids = BEST.regions()
    assert regions.tolist() == [[0, 0, 1, 1]] and class_ids.tolist() == [1]
    assert BOXES.regions()[0] is BOXES.xyxy and Classes.empty().regions()[0].shape == (0, 4)


def test_boxes_scale_and_classes_do_not() -> None:
    half = BOXES.scaled(0.5)
    assert half.xyxy[1].tolist() == [2.5, 3, 3.5, 4] and half.xyxy.dtype == np.float32
    assert half.names == LABELS and BEST.scaled(0.5) is BEST


def test_headlines_are_of_what_is_not_drawn_as_boxes() -> None:
    assert (BOXES.headline(), BEST.headline()) == ("", "b 0.750, a 0.250")


def test_what_needs_boxes_gets_them_or_an_error() -> None:
    assert BOXES.require_boxes("never") is BOXES
    with pytest.raises(UsageError, match="a page of boxes"):
        BEST.require_boxes("a page of boxes")
    model(Decoded("o", 2)).require_boxes("never")
    with pytest.raises(UsageError, match="a page of boxes"):
        model(Scores("o", 2)).require_boxes("a page of boxes")


def test_a_kind_of_result_without_a_drawing_says_so() -> None:
    class Masks(Result):
        pass

    with pytest.raises(NotImplementedError, match="Masks cannot be drawn"):
        draw.annotate(np.zeros((8, 8, 3), np.uint8), Masks())


# -- heads ---------------------------------------------------------------------------------------------------------


def model(head: Head, shape: tuple = (1, 3, 6)) -> Model:
    """A model with a graph of one output, that has nothing but a name and a shape."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], ["o"])],
        "g",
        [value("images", TensorProto.FLOAT, (1, 3, 32, 32))],
        [value("o", TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(np.array(shape, np.int64), "shape")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    return onnx_model.with_graph(Model("m", Input((32, 32)), (head,), LABELS), proto)


FITTING = [
    (Yolo("o", 2, 16, ((8.0, 8.0),)), (1, 7, 2, 2), (1, 8, 2, 2)),
    (AnchorFree("o", 2), (1, 21, 7), (1, 21, 6)),
    (Decoded("o", 2), (1, 3, 6), (1, 3, 7)),
    (Decoded("o", 2, objectness=True), (1, 3, 7), (1, 3, 6)),
    (Decoded("o", 2, channels_first=True), (1, 6, 3), (1, 3, 6)),
    (EndToEnd("o", 2), (1, 3, 6), (1, 3, 7)),
    (Scores("o", 2), (1, 2), (1, 3)),
    (Ssd("o", 2, 16, ((8.0, 8.0),)), (1, 7, 2, 2), (1, 8, 2, 2)),
]


@pytest.mark.parametrize("head, fits, differs", FITTING, ids=lambda each: getattr(each, "kind", ""))
def test_a_file_whose_graph_differs_from_its_head_is_refused(head: Head, fits: tuple, differs: tuple) -> None:
    assert importers.parse(model(head, fits).onnx).heads == (head,)
    with pytest.raises(BadModel, match="its metadata speaks of o as"):
        importers.parse(model(head, differs).onnx)


def test_every_kind_has_a_file_and_an_answer() -> None:
    assert sorted(heads.kinds()) == [
        "anchor-free", "decoded", "end-to-end", "gaussian-yolo", "raw", "region", "scores", "ssd", "yolo",
    ]  # fmt: skip
    for head in (*(head for head, _, _ in FITTING), Raw("o", 2)):
        assert heads.find(head.kind) is type(head)
        assert type(head).finish is not Head.finish and type(head).detect is not Head.detect
        assert (head.result is Detections) == isinstance(head, BoxHead)
    with pytest.raises(BadModel, match="head kind 'nothing', known are anchor-free, "):
        heads.find("nothing")


def test_a_classifier_detects_no_box(options: Thresholds) -> None:
    scores = np.array([[0.25, 0.75]], np.float32)
    classifier = model(Scores("o", 2), (1, 2))
    assert len(classifier.heads[0].detect(classifier, [scores], options).scores) == 0
    geometry = Geometry((1, 1), (0, 0), (32, 32))
    result = classifier.heads[0].finish(classifier, [scores], geometry, options)
    assert (classifier.task, classifier.has_boxes, result.counted()) == ("classify", False, ["b"])


def test_raw_outputs_without_a_second_stage_are_an_error(options: Thresholds) -> None:
    first = model(Raw("o", 2))
    with pytest.raises(BadModel, match="output o of m is for a second stage, and the model has none"):
        first.heads[0].detect(first, [np.zeros((1, 3, 6), np.float32)], options)
    mixed = Model("m", Input((32, 32)), (Decoded("b", 2), Raw("o", 2)), LABELS)
    with pytest.raises(BadModel, match="output o is for a second stage, and stands beside heads of boxes"):
        mixed.heads[0].detect(mixed, [np.zeros((1, 3, 6), np.float32)] * 2, options)


def test_old_names_of_heads_warn() -> None:
    with pytest.warns(DeprecationWarning, match=r"edgecsp\.types\.Yolo is deprecated .*processing\.heads\.yolo\.Yolo"):
        assert edgecsp.types.Yolo is Yolo  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = edgecsp.types.Nothing  # type: ignore[attr-defined]


@pytest.fixture
def options() -> Thresholds:
    return Thresholds()
