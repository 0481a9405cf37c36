"""Each further family's export, with boxes planted in it, is recognised and gives these boxes in the image."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgecsp import backends, importers, pipeline
from edgecsp.errors import BadModel, UsageError
from edgecsp.graph import onnx_model
from edgecsp.graph.labels import COCO, COCO_CATEGORIES
from edgecsp.importers import onnx as recognise
from edgecsp.processing import preprocess
from edgecsp.types import Detections
from support import families
from support.exports import HW, Graph, cells, planted
from support.families import BOXES

IMAGE = (61, 83)  # of HW = 96 x 128: as letterbox scale 1.542, 94.07 x 128
FLAT, NAS_FLAT = (0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 6, 5)
NANODET = ("bgr", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), 1.0)
IMAGENET = ("rgb", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1 / 255)
PLAIN, BYTES = ("rgb", (0, 0, 0), (1, 1, 1), 1 / 255), ("rgb", (0, 0, 0), (1, 1, 1), 1.0)
BGR = ("bgr", (0, 0, 0), (1, 1, 1), 1 / 255)
EIGHTY = {"classes": 80}


def nas_bytes() -> bytes:
    g = Graph()
    image = g.node("Cast", "images", to=TensorProto.FLOAT)
    return families.flat("graph2_flat_predictions", NAS_FLAT, image=image, g=g, dtype=TensorProto.UINT8)


def pair(first: str, second: str) -> bytes:
    boxes, scores = families.grid_pair()
    values = {"boxes": boxes, "scores": scores, "turned": scores.transpose(0, 2, 1).copy()}
    if first == "output":
        return families.plain({"output": scores, "952": boxes})
    return families.plain({first: values[first], second: values[second]})


def yolox_turned() -> bytes:
    """Fields first: behind the convolutions nothing is computed."""
    g = Graph()
    total = cells()
    values = np.zeros((1, 85, total - 1), np.float32)
    for (x, y, w, h), score, k in BOXES:
        column, row = int(x // 8), int(y // 8)
        box = (x / 8 - column, y / 8 - row, math.log(w / 8), math.log(h / 8), 0.95)
        values[0, :5, row * 16 + column] = box
        values[0, 5 + k, row * 16 + column] = score / 0.95
    last = g.node("Reshape", g.node("Conv", "images", g.const(np.zeros((85, 3, *HW)))), g.const([1, 85, 1], np.int64))
    g.node("Concat", g.const(values), last, out="output", axis=2)
    return g.save({"output": (1, 85, total)})


# name: (the file, options, kind, how images are laid in, how their values are made, labels)
FAMILIES: Dict[str, Tuple[bytes, Dict[str, Any], str, str, Any, Sequence[str]]] = {
    "RT-DETR of transformers": (families.rtdetr_logits(), {}, "detr", "stretch", PLAIN, COCO),
    "D-FINE of its own classes": (families.rtdetr_logits(11), {"classes": 11}, "detr", "stretch", PLAIN, [""] * 11),
    "RF-DETR of transformers": (
        families.rtdetr_logits(91, ["TopK", "patches"]), {}, "detr-vit", "stretch", IMAGENET, COCO_CATEGORIES,
    ),
    "YOLOS": (families.yolos(), {}, "yolos", "top left", IMAGENET, COCO_CATEGORIES),
    "DETR of its own classes": (families.yolos(11), {"classes": 10}, "yolos", "top left", IMAGENET, [""] * 10),
    "RF-DETR": (families.rfdetr(), {}, "rfdetr", "stretch", IMAGENET, COCO_CATEGORIES),
    "RF-DETR, fine-tuned": (families.rfdetr(9), {"classes": 8}, "rfdetr", "stretch", IMAGENET, [""] * 8),
    "RT-DETR of its authors": (
        families.postprocessed(), EIGHTY, "rtdetr-postprocessed", "stretch", PLAIN, COCO,
    ),
    "num_dets": (families.counted(), EIGHTY, "num-dets", "middle", PLAIN, COCO),
    "YOLO-NAS, batch": (
        families.counted(tuple(f"graph2_{name}" for name in ("num_predictions", "pred_boxes", "pred_scores",
                                                             "pred_classes")), dtype=TensorProto.UINT8),
        EIGHTY, "yolonas-batch", "middle of 636", BYTES, COCO,
    ),
    "EfficientNMS": (families.plugin(), {}, "efficientnms", "middle", PLAIN, COCO),
    "EfficientNMS of corners": (families.plugin(box_coding=0), {}, "efficientnms", "middle", PLAIN, COCO),
    "EfficientNMS of logits": (families.plugin(score_activation=1), {}, "efficientnms", "middle", PLAIN, COCO),
    "YOLOv7 end2end": (families.flat("output", FLAT), EIGHTY, "yolov7-nms", "middle", PLAIN, COCO),
    "YOLO-NAS, flat": (nas_bytes(), EIGHTY, "yolonas-flat", "middle of 636", BYTES, COCO),
    "YOLOv7's raw heads": (
        families.yolov7_raw(), {"anchors": "yolov7"}, "yolov7-raw", "middle", PLAIN, COCO,
    ),
    "torchvision SSD": (families.torchvision(["Softmax"]), {}, "ssd", "stretch", PLAIN, COCO_CATEGORIES),
    "torchvision RetinaNet": (families.torchvision(), {}, "retinanet", "top left", PLAIN, COCO_CATEGORIES),
    "torchvision Faster R-CNN": (
        families.torchvision(["Softmax", "RoiAlign"]), {}, "fasterrcnn", "top left", PLAIN, COCO_CATEGORIES,
    ),
    "torchvision, of its own classes": (
        families.torchvision(), {"classes": 9}, "retinanet", "top left", PLAIN, [""] * 9,
    ),
    "RTMDet": (families.mmdet(), {"classes": 80, "kind": "rtmdet"}, "rtmdet", "top left, rounded", NANODET, COCO),
    "YOLOX of mmdetection": (
        families.mmdet(), {"classes": 80, "kind": "yolox-mmdet"}, "yolox-mmdet", "top left, rounded",
        ("bgr", (0, 0, 0), (1, 1, 1), 1.0), COCO,
    ),
    "NanoDet": (families.nanodet((8, 16, 32), 0.5), {}, "nanodet", "stretch", NANODET, COCO),
    "NanoDet of more bins": (families.nanodet((8, 16, 32), 0.5, 11), {}, "nanodet", "stretch", NANODET, COCO),
    "NanoDet, level by level": (
        families.levels(("cls_pred_stride_", "dis_pred_stride_"), (8, 16, 32)), {}, "nanodet", "stretch", NANODET, COCO,
    ),
    "NanoDet-Plus": (families.nanodet((8, 16, 32, 64), 0.0), {}, "nanodet-plus", "stretch", NANODET, COCO),
    "PicoDet": (families.levels(("s", "d"), (8, 16, 32, 64)), {}, "picodet", "stretch", IMAGENET, COCO),
    "PicoDet with its NMS": (
        families.paddle(), {"classes": 10, "kind": "picodet"}, "picodet", "stretch", IMAGENET, [""] * 10,
    ),
    "PP-YOLOE": (pair("boxes", "turned"), {"kind": "ppyoloe"}, "ppyoloe", "stretch", IMAGENET, COCO),
    "PP-YOLOE+": (pair("boxes", "turned"), {"kind": "ppyoloe-plus"}, "ppyoloe-plus", "stretch", PLAIN, COCO),
    "DAMO-YOLO": (pair("output", ""), {}, "damo", "stretch", BYTES, COCO),
    "YOLOv9 of MultimediaTechLab": (families.yolov9_mit(), {}, "yolov9-mit", "middle, down", PLAIN, COCO),
    "FastestDet": (families.fastestdet(), {}, "fastestdet", "stretch", BGR, COCO),
    "YOLOX, fields first": (yolox_turned(), {}, "yolox", "top left", ("bgr", (0, 0, 0), (1, 1, 1), 1.0), COCO),
    "YOLOX of old": (
        yolox_turned(), {"kind": "yolox-legacy"}, "yolox-legacy", "top left", IMAGENET, COCO,
    ),
}  # fmt: skip


def laid_in(how: str, image: Tuple[int, int] = IMAGE) -> Tuple[Tuple[float, float], Tuple[int, int]]:
    """Scale and offset of x and y, by hand."""
    h, w = image
    if how == "stretch":
        return (HW[1] / w, HW[0] / h), (0, 0)
    margin = 4 if how == "middle of 636" else 0
    r = min((HW[0] - margin) / h, (HW[1] - margin) / w)
    rounded = round if how in ("middle", "middle of 636", "top left, rounded") else math.floor
    new_w, new_h = (rounded(side * r + 1e-9) for side in (w, h))
    offsets = (0, 0) if how.startswith("top left") else ((HW[1] - new_w) // 2, (HW[0] - new_h) // 2)
    return (new_w / w, new_h / h), offsets


def in_image(xywh: Tuple[float, ...], how: str) -> List[float]:
    scales, offsets = laid_in(how)
    sides = (IMAGE[1], IMAGE[0]) * 2
    box = families.corners(xywh)
    return [min(max((v - offsets[i % 2]) / scales[i % 2], 0), sides[i]) for i, v in enumerate(box)]


def assert_boxes(found: Detections, how: str) -> None:
    assert [row.class_id for row in found] == [k for _, _, k in BOXES], found
    for (box, score, _), row in zip(BOXES, found):
        assert np.allclose(row.xyxy, in_image(box, how), atol=5e-2), (row, in_image(box, how))
        assert row.score == pytest.approx(score, abs=2e-3)


def options_of(flags: Dict[str, Any]) -> recognise.ImportOptions:
    anchors = {"anchors": recognise.parse_anchors(flags["anchors"])} if "anchors" in flags else {}
    return recognise.ImportOptions(**{**flags, **anchors})


def written(tmp_path: Path, data: bytes, name: str = "x.onnx") -> Path:
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


@pytest.mark.parametrize("name", FAMILIES)
def test_planted_boxes_come_out_in_the_image(name: str, tmp_path: Path) -> None:
    data, flags, kind, how, values, labels = FAMILIES[name]
    imported = importers.import_foreign(written(tmp_path, data), options_of(flags))
    model = imported.model
    assert imported.kind == kind and len(model.labels) == len(labels)
    assert labels[0] == "" or model.labels == tuple(labels)
    target = tmp_path / "imported.onnx"
    onnx_model.save(model, target)
    assert importers.load(target) == model  # what was written says the same
    with pipeline.load(target, "ort", conf=0.25) as detector:
        assert_boxes(detector(np.zeros((*IMAGE, 3), np.uint8)), how)
    # An image of one colour: its values in the first row that the image covers.
    batch, _ = preprocess.prepare(np.full((*IMAGE, 3), (10, 20, 30), np.uint8), model.input)
    colour, mean, std, scale = values
    expected = (np.array((10, 20, 30) if colour == "bgr" else (30, 20, 10)) * scale - mean) / std
    assert np.allclose(batch[0, :, HW[0] // 2, HW[1] // 2], expected, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, case in FAMILIES.items() if not case[1]])
def test_a_file_that_is_certain_runs_as_it_is(name: str, tmp_path: Path) -> None:
    data, _, _, how, _, _ = FAMILIES[name]
    with pipeline.load(written(tmp_path, data), "ort", conf=0.25) as detector:
        assert_boxes(detector(np.zeros((*IMAGE, 3), np.uint8)), how)


def test_padding_is_what_normalises_to_0(tmp_path: Path) -> None:
    spec = importers.import_foreign(written(tmp_path, families.yolos())).model.input
    batch, _ = preprocess.prepare(np.full((96, 64, 3), 255, np.uint8), spec)
    assert np.abs(batch[0, :, :, 64:]).max() < 0.01 and batch[0, :, :, :64].min() > 2


def test_a_query_gives_several_classes_where_the_exporter_does(tmp_path: Path) -> None:
    boxes, logits = families.queries(80)
    logits[0, 0, 5] = families.logit(0.6)
    both = families.plain({"logits": logits, "pred_boxes": boxes}, ["TopK"])
    with pipeline.load(written(tmp_path, both), "ort", conf=0.55) as detector:
        assert [row.class_id for row in detector(np.zeros((*IMAGE, 3), np.uint8))] == [3, 7, 5]


def test_what_stands_behind_the_count_is_not_read(tmp_path: Path) -> None:
    for rest in (0.99, math.nan):
        data = families.counted(rest=rest)
        model = importers.import_foreign(written(tmp_path, data), recognise.ImportOptions(classes=80)).model
        with pipeline.load(model, "ort", conf=0.25) as detector:
            assert len(detector(np.zeros((*IMAGE, 3), np.uint8))) == len(BOXES)


def test_an_image_without_boxes_after_one_with(tmp_path: Path) -> None:
    """The rows are as many as there are boxes, none among them."""
    g = Graph()
    white = g.node("ReduceMean", "images", axes=[0, 1, 2, 3], keepdims=0)
    rows = g.const([[0, *families.corners(BOXES[0][0]), 3, 0.9]])
    some = g.node("Reshape", g.node("Greater", white, g.const(0.5)), g.const([1], np.int64))
    places = g.node("Reshape", g.node("NonZero", some), g.const([-1], np.int64))
    g.node("Gather", rows, places, out="output", axis=0)
    data = g.save({"output": ("rows", 7)})
    model = importers.import_foreign(written(tmp_path, data), recognise.ImportOptions(classes=80)).model
    with pipeline.load(model, "ort", conf=0.25) as detector:
        for value in (255, 0, 255, 0):
            assert len(detector(np.full((*IMAGE, 3), value, np.uint8))) == (value > 0)


def test_the_plugins_thresholds_are_the_models(tmp_path: Path) -> None:
    imported = importers.import_foreign(written(tmp_path, families.plugin()))
    assert (imported.model.conf, imported.model.iou) == (pytest.approx(0.3), pytest.approx(0.6))
    assert any("EfficientNMS_TRT is cut off" in note for note in imported.notes)
    with pytest.raises(UsageError, match=r"--kind yolov8 .*EfficientNMS_TRT"):
        importers.import_foreign(tmp_path / "x.onnx", recognise.ImportOptions(kind="yolov8"))


REFUSED = {
    "a plugin that does more": (families.plugin(background_class=0), {}, "EfficientNMS_TRT, a TensorRT plugin"),
    "another plugin": (families.plugin("BatchedNMS_TRT"), {}, "BatchedNMS_TRT, a TensorRT plugin"),
    "rows of how many classes": (families.flat("output", FLAT), {}, "--names FILE or --num-classes N"),
    "rows of seven of nobody": (families.flat("rows", FLAT), EIGHTY, "not a supported export"),
    "RT-DETR's, without queries that are selected": (
        families.rtdetr_logits(80, []), {}, "--kind yolos --num-classes N",
    ),
    "raw heads without anchors": (families.yolov7_raw(), {}, "--anchors yolov7, yolov5"),
    "PP-YOLOE with and without a mean": (pair("boxes", "turned"), {}, r"--kind ppyoloe\|ppyoloe-plus"),
    "Paddle's rows of three families": (families.paddle(), {"classes": 10}, r"--kind picodet\|ppyoloe\|ppyoloe-plus"),
    "mmdetection's rows of two families": (families.mmdet(), EIGHTY, r"--kind rtmdet\|yolox-mmdet"),
    "scores before boxes of nobody": (pair("scores", "boxes"), {}, "not a supported export"),
    "NanoDet of how many bins": (
        families.nanodet((8, 16, 32), 0.5, classes=20), {}, "nanodet of 20 classes, or nanodet of 8 classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_unclear_is_refused_and_says_what_to_type(name: str, tmp_path: Path) -> None:
    data, flags, words = REFUSED[name]
    with pytest.raises(BadModel, match=words):
        importers.import_foreign(written(tmp_path, data), options_of(flags))


def test_a_damaged_plugin_is_an_error(tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(families.plugin())
    (plugin,) = (node for node in proto.graph.node if node.domain == "TRT")
    (threshold,) = (each for each in plugin.attribute if each.name == "iou_threshold")
    threshold.ClearField("type")
    with pytest.raises(BadModel, match="'iou_threshold' of its NMS plugin is no number"):
        importers.import_foreign(written(tmp_path, proto.SerializeToString()))


def test_yolov8_before_its_decoding_is_not_taken_for_yolox(tmp_path: Path) -> None:
    g = Graph()
    x = g.node("Conv", "images", g.const(np.zeros((144, 3, *HW))))
    g.node("Concat", g.node("Reshape", x, g.const([1, 144, 1], np.int64)), g.const(np.zeros((1, 144, cells() - 1))),
           out="output0", axis=2)  # fmt: skip
    with pytest.raises(BadModel, match="not a supported export"):
        importers.import_foreign(written(tmp_path, g.save({"output0": (1, 144, cells())})))


@pytest.mark.parametrize("kind", sorted({*recognise.KINDS} - {"damo", "yolonas"}))
def test_no_flag_makes_a_grids_scores_boxes(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="not a supported export"):
        importers.import_foreign(written(tmp_path, pair("boxes", "scores")), recognise.ImportOptions(kind=kind))


@pytest.mark.parametrize("engine", ["openvino", "opencv"])
def test_they_run_on_every_engine_that_takes_such_graphs(engine: str, tmp_path: Path) -> None:
    """onnxruntime runs them above; ncnn converts the operators of edgecsp's own graphs alone."""
    if backends.unavailable_reason(engine):
        pytest.skip(str(backends.unavailable_reason(engine)))
    for name, (data, flags, _, how, _, _) in FAMILIES.items():
        model = importers.import_foreign(written(tmp_path, data), options_of(flags)).model
        with pipeline.load(model, engine, precision="fp32", conf=0.25) as detector:
            found = detector(np.zeros((*IMAGE, 3), np.uint8))
        assert len(found) == len(BOXES), name
        assert_boxes(found, how)


def test_the_graph_has_one_output_of_a_known_shape(tmp_path: Path) -> None:
    model = importers.import_foreign(written(tmp_path, families.rtdetr_logits())).model
    (output,) = onnx.load_model_from_string(model.onnx).graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [1, 300, 84]


def test_metadata_decides_before_shapes(tmp_path: Path) -> None:
    """One layout, which ultralytics' metadata makes RT-DETR's."""
    values = np.zeros((1, 300, 6), np.float32)
    props = {"names": str({i: f"c{i}" for i in range(9)}), "head": "RTDETRDecoder"}
    assert importers.import_foreign(written(tmp_path, planted({"output0": values}, props=props))).kind == "rtdetr"
    del props["head"]
    assert importers.import_foreign(written(tmp_path, planted({"output0": values}, props=props))).kind == "yolov10"
