"""A place whose score passes for two classes: one box of the families that keep the best class, two of darknet's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecsp import importers
from edgecsp.graph import onnx_model
from edgecsp.importers import onnx as recognise
from edgecsp.processing import decode
from edgecsp.processing.heads.anchor_free import AnchorFree
from edgecsp.processing.heads.decoded import Decoded
from edgecsp.processing.heads.yolo import Yolo

CELLS = 12 * 16 + 6 * 8 + 3 * 4  # of 96 x 128 at strides 8, 16 and 32


def rows(fields: int, first: int) -> np.ndarray:
    """One place at (40, 30), 20 wide and 10 high, with .9 for class 2 and .6 for class 0; the others hold nothing."""
    made = np.zeros((1, CELLS, fields), np.float32)
    made[0, 17, :4] = 40, 30, 20, 10
    made[0, 17, 4:first] = 1
    made[0, 17, first + 2], made[0, 17, first] = 0.9, 0.6
    return made


HEADS = {
    "YOLOv5": (Decoded("o", 3, objectness=True), rows(8, 5)),
    "YOLOv8": (Decoded("o", 3, channels_first=True), rows(7, 4).transpose(0, 2, 1)),
    "YOLOX": (AnchorFree("o", 3), rows(8, 5)),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_best_class_of_a_place(name: str) -> None:
    head, out = HEADS[name]
    found = decode.boxes([head], [out], (96, 128), 0.25)
    assert found.class_ids.tolist() == [2] and found.scores == pytest.approx([0.9])
    assert len(decode.boxes([head], [out], (96, 128), 0.95).scores) == 0
    found = decode.boxes([replace(head, multi_label=True)], [out], (96, 128), 0.25)
    assert found.class_ids.tolist() == [0, 2] and found.scores == pytest.approx([0.6, 0.9])
    assert (found.xyxy[0] == found.xyxy[1]).all()


def test_darknets_heads_keep_every_class() -> None:
    out = np.full((1, 8, 3, 4), -9, np.float32)
    out[0, 4:, 1, 2] = 9, 2, -9, 1
    found = decode.boxes([Yolo("o", 3, 32, ((20.0, 10.0),))], [out], (96, 128), 0.25)
    assert found.class_ids.tolist() == [0, 2] and len(set(map(tuple, found.xyxy.tolist()))) == 1


def yolov8() -> Any:
    """A graph that gives `rows` in YOLOv8's layout, whatever it is shown."""
    nodes = [
        helper.make_node("ReduceMin", ["images"], ["low"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["low", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "rows"], ["output0"]),
    ]
    held = {"rows": rows(7, 4).transpose(0, 2, 1).copy(), "zero": np.float32(0)}
    graph = helper.make_graph(
        nodes,
        "yolov8",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 96, 128])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 7, CELLS])],
        [numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def test_an_imported_family_says_so_in_its_file_and_older_files_are_read_the_same() -> None:
    """Files written before heads had `multi_label` are of families that keep the best class."""
    made = recognise.recognise(yolov8(), "a.onnx", recognise.ImportOptions(kind="yolov8"))
    model = onnx_model.with_graph(made.model, made.proto)
    assert asdict(importers.parse(model.onnx).heads[0])["multi_label"] is False
    proto = onnx.load_model_from_string(model.onnx)
    (prop,) = (prop for prop in proto.metadata_props if prop.key == "edgecsp")
    said = json.loads(prop.value)
    assert said["heads"][0].pop("multi_label") is False
    prop.value = json.dumps(said)
    assert importers.parse(proto.SerializeToString()).heads == model.heads
