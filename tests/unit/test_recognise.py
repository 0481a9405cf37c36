"""Other exporters' ONNX: each family's layout with boxes planted in it comes out as these boxes in the picture."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecsp import backends, importers, pipeline
from edgecsp.errors import BadModel, BuildFailed, EdgecspError, SourceError, UnknownName, UsageError
from edgecsp.graph import onnx_model
from edgecsp.graph.labels import COCO
from edgecsp.importers import onnx as recognise
from edgecsp.processing import preprocess
from edgecsp.processing.heads.anchor_free import AnchorFree
from edgecsp.processing.heads.decoded import Decoded
from edgecsp.processing.heads.end_to_end import EndToEnd
from edgecsp.processing.heads.scores import Scores
from edgecsp.processing.heads.yolo import Yolo
from edgecsp.types import Detections, Input
from support import exports
from support.exports import COCO80, HW, ULTRALYTICS, cell_of, cells, finder, free_size, planted

PICTURE = (61, 83)  # of HW = 96 x 128: as letterbox scale 1.542, 94.07 x 128
BOXES = [((40.0, 30.0, 24.0, 20.0), 0.9, 3), ((90.0, 60.0, 30.0, 40.0), 0.7, 7), ((64.0, 48.0, 50.0, 16.0), 0.5, 3)]
"""Centre x, y, width, height in the network's pixels, score, class."""


def written(tmp_path: Path, data: bytes, name: str = "x.onnx") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def detect(path: Path, picture: np.ndarray, said: recognise.ImportOptions, **settings: Any) -> Detections:
    found = importers.import_foreign(path, said)
    target = path.with_name("imported.onnx")
    onnx_model.save(found.model, target)
    assert importers.load(target) == found.model  # what was written says the same
    with pipeline.load(target, "ort", **settings) as detector:
        result = detector(picture)
    assert isinstance(result, Detections)
    return result


def in_picture(xywh: Tuple[float, ...], whose: str, picture: Tuple[int, int] = PICTURE) -> List[float]:
    """By hand: the network's pixels to the picture's, as each family's own code does it."""
    h, w = picture
    if whose == "stretch":
        scales, offsets = (HW[1] / w, HW[0] / h), (0.0, 0.0)
    else:
        r = min(HW[0] / h, HW[1] / w)
        new_w, new_h = (math.floor(w * r + 1e-9), math.floor(h * r + 1e-9))
        if whose == "ultralytics":
            new_w, new_h = round(w * r), round(h * r)
        scales = (new_w / w, new_h / h)
        offsets = (0.0, 0.0) if whose == "yolox" else ((HW[1] - new_w) // 2, (HW[0] - new_h) // 2)
    x, y, bw, bh = xywh
    corners = (x - bw / 2, y - bh / 2, x + bw / 2, y + bh / 2)
    sides = (w, h, w, h)
    return [min(max((v - offsets[i % 2]) / scales[i % 2], 0), sides[i]) for i, v in enumerate(corners)]


def assert_boxes(found: Detections, whose: str, labels: Tuple[str, ...]) -> None:
    assert len(found) == len(BOXES), found
    for box, row in zip(BOXES, found):
        assert np.allclose(row.xyxy, in_picture(box[0], whose), atol=2e-2), (row, in_picture(box[0], whose))
        assert row.score == pytest.approx(box[1], abs=2e-3)
        assert (row.class_id, row.label) == (box[2], labels[box[2]])


def rows_of(fields: int, total: int, at: Tuple[int, ...] = (5, 100, 210)) -> Tuple[np.ndarray, Tuple[int, ...]]:
    return np.zeros((1, total, fields), np.float32), tuple(place % (total - 1) for place in at)


def decoded(total: int, objectness: bool, classes: int = 80) -> np.ndarray:
    values, places = rows_of(4 + objectness + classes, total)
    for place, (xywh, score, k) in zip(places, BOXES):
        values[0, place, :4] = xywh
        values[0, place, 4 + objectness + k] = math.sqrt(score) if objectness else score
        if objectness:
            values[0, place, 4] = math.sqrt(score)
    return values


def yolox(classes: int = 80) -> np.ndarray:
    values, places = rows_of(5 + classes, cells())
    for place, ((x, y, w, h), score, k) in zip(places, BOXES):
        column, row, stride = cell_of(place, HW)
        values[0, place, :5] = (x / stride - column, y / stride - row, math.log(w / stride), math.log(h / stride), 0.95)
        values[0, place, 5 + k] = score / 0.95
    return values


def corners(xywh: Tuple[float, ...]) -> Tuple[float, ...]:
    x, y, w, h = xywh
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def end_to_end() -> np.ndarray:
    values = np.zeros((1, 300, 6), np.float32)
    for place, (xywh, score, k) in enumerate(BOXES):
        values[0, place] = (*corners(xywh), score, k)
    return values


def yolov4() -> Dict[str, np.ndarray]:
    total = 3 * cells()
    boxes, confs = np.zeros((1, total, 1, 4), np.float32), np.zeros((1, total, 80), np.float32)
    for place, (xywh, score, k) in zip((5, 300, 700), BOXES):
        boxes[0, place, 0] = np.array(corners(xywh)) / (HW[1], HW[0], HW[1], HW[0])
        confs[0, place, k] = score
    return {"boxes": boxes, "confs": confs}


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def darknet(
    anchors: Dict[int, List[Tuple[int, int]]], scale_xy: Dict[int, float], classes: int = 80
) -> Dict[str, np.ndarray]:
    """Raw maps by stride, coarse first as darknet orders them; the boxes in turn on the strides."""
    maps = {s: np.full((1, 3 * (5 + classes), HW[0] // s, HW[1] // s), -9.0, np.float32) for s in anchors}
    for i, ((x, y, w, h), score, k) in enumerate(BOXES):
        stride = sorted(anchors)[i % len(anchors)]
        a, s = i % 3, scale_xy[stride]
        column, row = int(x // stride), int(y // stride)
        at = maps[stride][0, a * (5 + classes) : (a + 1) * (5 + classes), row, column]
        aw, ah = anchors[stride][a]
        shifts = [(v / stride - c + (s - 1) / 2) / s for v, c in ((x, column), (y, row))]
        at[:5] = [logit(min(max(shift, 1e-6), 1 - 1e-6)) for shift in shifts] + [
            math.log(w / aw),
            math.log(h / ah),
            logit(0.95),
        ]
        at[5 + k] = logit(score / 0.95)
    return {f"head{stride}": maps[stride] for stride in sorted(anchors, reverse=True)}


V3 = {8: [(10, 13), (16, 30), (33, 23)], 16: [(30, 61), (62, 45), (59, 119)], 32: [(116, 90), (156, 198), (373, 326)]}
V4 = {8: [(12, 16), (19, 36), (40, 28)], 16: [(36, 75), (76, 55), (72, 146)], 32: [(142, 110), (192, 243), (459, 401)]}
V4_TINY = {16: [(23, 27), (37, 58), (81, 82)], 32: [(81, 82), (135, 169), (344, 319)]}
NAMES = tuple(f"thing {i}" for i in range(80))
V5_PROPS = {"stride": "32", "names": COCO80}
RAW = [np.zeros((1, 3, HW[0] // s, HW[1] // s, 85), np.float32) for s in (8, 16, 32)]

FAMILIES = {
    "yolov5": (planted({"output0": decoded(3 * cells(), True)}, props=V5_PROPS), {}, "yolov5", "ultralytics", NAMES),
    "yolov5 without metadata": (planted({"output": decoded(3 * cells(), True)}), {}, "yolov5", "ultralytics", COCO),
    "yolov5 of old, with its raw maps": (
        planted({"output": decoded(3 * cells(), True), "345": RAW[0], "403": RAW[1], "461": RAW[2]}),
        {}, "yolov5", "ultralytics", COCO,
    ),
    "yolov5 of two strides": (
        planted({"output0": decoded(3 * cells(HW, (16, 32)), True)}), {}, "yolov5", "ultralytics", COCO,
    ),
    "yolov6": (planted({"outputs": decoded(cells(), True)}), {}, "yolov6", "ultralytics", COCO),
    "yolov8": (
        planted({"output0": decoded(cells(), False).transpose(0, 2, 1)}, props=ULTRALYTICS, opset=17),
        {}, "yolov8", "ultralytics", NAMES,
    ),
    "yolov8 without metadata": (
        planted({"output0": decoded(cells(), False).transpose(0, 2, 1)}), {}, "yolov8", "ultralytics", COCO,
    ),
    "yolov8 in rows": (planted({"output0": decoded(cells(), False)}), {}, "yolov8", "ultralytics", COCO),
    "yolov8 in float16": (
        planted({"output0": decoded(cells(), False).transpose(0, 2, 1)}, props=ULTRALYTICS, half=True),
        {}, "yolov8", "ultralytics", NAMES,
    ),
    "yolov10": (planted({"output0": end_to_end()}, props=ULTRALYTICS), {}, "yolov10", "ultralytics", NAMES),
    "yolov10 without metadata": (planted({"output0": end_to_end()}), {"classes": 80}, "yolov10", "ultralytics", COCO),
    "yolox": (planted({"output": yolox()}, arithmetic=False), {}, "yolox", "yolox", COCO),
    "yolox, said so": (planted({"output": yolox()}), {"kind": "yolox"}, "yolox", "yolox", COCO),
    "yolox, decoded": (planted({"output": decoded(cells(), True)}, exp=True), {}, "yolox-decoded", "yolox", COCO),
    "pytorch-YOLOv4": (planted(yolov4()), {}, "yolov4", "stretch", COCO),
    "pytorch-YOLOv4 in float16": (planted(yolov4(), half=True), {}, "yolov4", "stretch", COCO),
    "darknet, YOLOv3": (
        planted(darknet(V3, {8: 1.0, 16: 1.0, 32: 1.0})), {"anchors": "yolov3"}, "darknet", "stretch", COCO,
    ),
    "darknet, YOLOv4": (
        planted(darknet(V4, {8: 1.2, 16: 1.1, 32: 1.05})), {"anchors": "yolov4"}, "darknet", "stretch", COCO,
    ),
    "darknet, YOLOv4-tiny": (
        planted(darknet(V4_TINY, {16: 1.05, 32: 1.05})), {"anchors": "yolov4-tiny"}, "darknet", "stretch", COCO,
    ),
    "darknet, anchors by number": (
        planted(darknet(V4_TINY, {16: 1.0, 32: 1.0})),
        {"anchors": "23,27,37,58,81,82; 81,82,135,169,344,319"}, "darknet", "stretch", COCO,
    ),
    "darknet, one list for all heads": (
        planted(darknet(V3, {8: 1.0, 16: 1.0, 32: 1.0})),
        {"anchors": ",".join(f"{w},{h}" for s in (8, 16, 32) for w, h in V3[s])}, "darknet", "stretch", COCO,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_planted_boxes_come_out_in_the_picture(name: str, tmp_path: Path) -> None:
    data, flags, kind, whose, labels = FAMILIES[name]
    flags = dict(flags)
    if "anchors" in flags:
        flags["anchors"] = recognise.parse_anchors(flags["anchors"])
    path = written(tmp_path, data)
    said = recognise.ImportOptions(**flags)
    assert importers.import_foreign(path, said).kind == kind
    picture = np.random.default_rng(0).integers(0, 256, (*PICTURE, 3), np.uint8)
    assert_boxes(detect(path, picture, said, conf=0.25), whose, tuple(labels))


@pytest.mark.parametrize("name", [name for name, case in FAMILIES.items() if not case[1]])
def test_a_file_that_is_certain_runs_as_it_is(name: str, tmp_path: Path) -> None:
    data, _, _, whose, labels = FAMILIES[name]
    with pipeline.load(written(tmp_path, data), "ort", conf=0.25) as detector:
        assert_boxes(detector(np.zeros((*PICTURE, 3), np.uint8)), whose, tuple(labels))


@pytest.mark.parametrize("family", ["yolov8", "yolox"])
@pytest.mark.parametrize("hw", [(150, 301), (333, 120), (64, 96)])
def test_a_red_square_is_found_where_it_is(family: str, hw: Tuple[int, int], tmp_path: Path) -> None:
    """Letterbox, colour order and scale together: the net sees red at cell middles and nothing else."""
    picture = np.full((*hw, 3), (200, 60, 30), np.uint8)  # much blue, little red
    x0, y0, x1, y1 = hw[1] // 2, hw[0] // 3, hw[1] * 3 // 4, hw[0] * 2 // 3
    picture[y0:y1, x0:x1] = (0, 0, 255)
    path = written(tmp_path, finder(family, (192, 256)))
    # The finder's one class makes rows of 6, as end-to-end rows are; a grid's count of rows tells them apart.
    found = detect(path, picture, recognise.ImportOptions(), conf=0.5, max_det=1000)
    assert len(found) > 3
    middles = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
    whole = (found.xyxy[:, 0] > 0) & (found.xyxy[:, 1] > 0) & (found.xyxy[:, 2] < hw[1]) & (found.xyxy[:, 3] < hw[0])
    inside = (middles > (x0 - 2, y0 - 2)).all(1) & (middles < (x1 + 2, y1 + 2)).all(1)
    assert inside[whole].all() and whole.any()
    assert (found.class_ids == 0).all()


@pytest.mark.parametrize("whose", ["ultralytics", "yolox"])
def test_pictures_are_laid_in_as_the_family_does(whose: str, tmp_path: Path) -> None:
    values = {"ultralytics": decoded(cells(), False).transpose(0, 2, 1), "yolox": yolox()}[whose]
    path = written(tmp_path, planted({"out": values}, arithmetic=whose != "yolox"))
    spec = importers.import_foreign(path).model.input
    picture = np.full((50, 100, 3), (10, 20, 30), np.uint8)
    batch, _ = preprocess.prepare(picture, spec)
    rows = 64  # 50 * 1.28
    top = 16 if whose == "ultralytics" else 0
    scale, colour = (1 / 255, (30, 20, 10)) if whose == "ultralytics" else (1, (10, 20, 30))
    wanted = np.full((3, *HW), 114 * scale)
    for channel, value in enumerate(colour):
        wanted[channel, top : top + rows] = value * scale
    assert np.allclose(batch[0], wanted, atol=1e-5)


def test_a_letterbox_reaches_its_edges() -> None:
    for whose in ("darknet", "ultralytics", "yolox"):
        for side in range(8, 700, 3):  # int(side * (640 / side)) is 639 for many of them
            spec = Input((640, 640), "letterbox", letterbox=whose)
            _, geometry = preprocess.prepare(np.zeros((side, 7, 3), np.uint8), spec)
            assert geometry.scale_xy[1] * side == pytest.approx(640)
    with pytest.raises(UnknownName, match="letterbox"):
        Input((64, 64), letterbox="mine")


def test_end_to_end_boxes_are_not_suppressed(tmp_path: Path) -> None:
    values = end_to_end()
    values[0, 1] = values[0, 0]
    values[0, 1, 4] = 0.8
    values[0, 2] = (10, 10, 20, 20, 0.6, 81)  # of no class there is
    path = written(tmp_path, planted({"output0": values}, props=ULTRALYTICS))
    assert importers.import_foreign(path).model.heads == (EndToEnd("output0", 80),)
    found = detect(path, np.zeros((*HW, 3), np.uint8), recognise.ImportOptions())
    assert found.scores.tolist() == pytest.approx([0.9, 0.8]) and found.class_ids.tolist() == [3, 3]
    assert len(detect(path, np.zeros((*HW, 3), np.uint8), recognise.ImportOptions(), max_det=1)) == 1


def test_dynamic_axes_become_one_picture_of_one_size(tmp_path: Path) -> None:
    for props, hw, wanted in (
        ({}, None, (640, 640)),
        (ULTRALYTICS, None, (96, 128)),
        (ULTRALYTICS, (320, 416), (320, 416)),
    ):
        path = written(tmp_path, free_size(80, props=props))
        found = importers.import_foreign(path, recognise.ImportOptions(hw=hw))
        proto = onnx.load_model_from_string(found.model.onnx)
        dims = {
            v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in (*proto.graph.input, *proto.graph.output)
        }
        assert found.model.input.hw == wanted
        assert dims == {"images": [1, 3, *wanted], "output0": [1, 84, cells(wanted)]}
        assert pipeline.load(path, "ort", imgsz=hw).model == found.model
    with pytest.raises(UsageError, match="multiples of 32"):
        importers.import_foreign(path, recognise.ImportOptions(hw=(100, 100)))
    with pytest.raises(BadModel, match="does not declare its output shapes at 1x3x4096x4096"):
        importers.import_foreign(path, recognise.ImportOptions(hw=(4096, 4096)))
    with pytest.raises(UsageError, match="import its ONNX file again with --imgsz"):
        onnx_model.reshape(found.model, hw=(64, 64))
    fixed = written(tmp_path, FAMILIES["yolov8"][0])
    with pytest.raises(UsageError, match=r"128x96 and cannot take 64x64.*dynamic"):
        pipeline.load(fixed, "ort", imgsz=64)


def test_a_classifier_that_says_so(tmp_path: Path) -> None:
    scores = np.array([[0.1, 2.0, 0.5]], np.float32)
    names = "{0: 'cat', 1: 'dog', 2: 'fox'}"
    path = written(tmp_path, planted({"output0": scores}, props={**ULTRALYTICS, "task": "classify", "names": names}))
    found = importers.import_foreign(path)
    assert found.model.heads == (Scores("output0", 3, softmax=True),) and found.model.input.resize == "crop"
    with pipeline.load(path, "ort") as detector:
        best = detector(np.zeros((40, 50, 3), np.uint8))
    assert [best.name_of(int(i)) for i in best.class_ids] == ["dog", "fox", "cat"]
    assert best.scores.sum() == pytest.approx(1)
    with pytest.raises(BadModel, match="not a supported export"):
        importers.import_foreign(written(tmp_path, planted({"output0": scores})))
    said = recognise.ImportOptions(kind="classify")
    assert importers.import_foreign(written(tmp_path, planted({"output0": scores})), said).model.task == "classify"


REFUSED = {
    "segmentation, said": ({"output0": (1, 116, cells())}, {"task": "segment"}, "segmentation masks"),
    "segmentation, seen": ({"output0": (1, 116, cells()), "output1": (1, 32, 24, 32)}, None, "segmentation masks"),
    "pose, said": ({"output0": (1, 56, cells())}, {"task": "pose"}, "poses"),
    "pose, guessed": ({"output0": (1, 56, cells())}, None, "--kind yolov8 --num-classes 52"),
    "oriented boxes": ({"output0": (1, 20, cells())}, {"task": "obb"}, "oriented boxes"),
    "end to end of how many classes": ({"output0": (1, 300, 6)}, None, "--names FILE or --num-classes N"),
    "raw heads, three": (
        {f"o{s}": (1, 255, HW[0] // s, HW[1] // s) for s in (8, 16, 32)},
        None,
        "--anchors.*yolov3, yolov4",
    ),
    "raw heads, two": ({f"o{s}": (1, 24, HW[0] // s, HW[1] // s) for s in (16, 32)}, None, "--anchors.*yolov3-tiny"),
    "rows of two kinds": ({"o": (1, cells(), 10)}, None, r"--kind yolov6\|yolov8"),
    "another count of classes": ({"o": (1, 84, cells())}, {"names": "['a', 'b']"}, "80 .yolov8.* and 2 are named"),
    "nothing we know": ({"o": (1, 17, 19)}, None, "not a supported export.*Known: YOLOv5"),
    "raw YOLOv5 heads": (
        {f"o{s}": (1, 3, HW[0] // s, HW[1] // s, 85) for s in (8, 16, 32)},
        None,
        "--anchors yolov7, yolov5",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_unclear_says_what_to_type(name: str, tmp_path: Path) -> None:
    shapes, props, words = REFUSED[name]
    data = planted({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, props=props)
    with pytest.raises(BadModel, match=words):
        importers.load(written(tmp_path, data))


def test_flags_decide(tmp_path: Path) -> None:
    rows = written(tmp_path, planted({"o": np.zeros((1, cells(), 10), np.float32)}))
    for said, kind, classes in (
        (recognise.ImportOptions(kind="yolov6"), "yolov6", 5),
        (recognise.ImportOptions(kind="YOLO11"), "yolov8", 6),
        (recognise.ImportOptions(classes=6), "yolov8", 6),
        (recognise.ImportOptions(labels=("a", "b", "c", "d", "e")), "yolov6", 5),
        (recognise.ImportOptions(kind="yolox"), "yolox", 5),
    ):
        found = importers.import_foreign(rows, said)
        assert (found.kind, len(found.model.labels)) == (kind, classes)
    assert (
        importers.import_foreign(rows, recognise.ImportOptions(kind="yolox", resize="stretch")).model.input.resize
        == "stretch"
    )
    for said, error, words in (
        (recognise.ImportOptions(kind="yolov3000"), UnknownName, "no kind is called"),
        (recognise.ImportOptions(kind="yolov5"), BadModel, "--kind yolov5 is YOLOv5"),
        (recognise.ImportOptions(classes=0), UsageError, "--num-classes 0"),
        (recognise.ImportOptions(classes=6, labels=("a",)), UsageError, "must agree"),
        (recognise.ImportOptions(classes=9), BadModel, "9 are named"),
    ):
        with pytest.raises(error, match=words):
            importers.import_foreign(rows, said)


@pytest.mark.parametrize("text", ["", "yolov99", "10", "10,20,30", "1,-2", "nan,1", "10,x"])
def test_anchors_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageError, match="--anchors"):
        recognise.parse_anchors(text)


def test_a_tiny_input_whose_sides_are_both_grids() -> None:
    """At 64 x 64 there are 84 cells, and 80 classes make 84 fields."""
    both = planted({"o": np.zeros((1, 84, 84), np.float32)}, shape=(1, 3, 64, 64))
    assert importers.parse(both).heads == (Decoded("o", 80, channels_first=True),)


def test_metadata_is_data(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    evil = f"__import__('pathlib').Path({str(trap)!r}).touch()"
    values = {"output0": decoded(cells(), False).transpose(0, 2, 1)}
    for names in (evil, "{0: 'a', 7: 'b'}", "{'x': 'y'}", "[" * 5000, "3", "{10**9: 'a'}", "x" * 2_000_000):
        found = importers.import_foreign(written(tmp_path, planted(values, props={**ULTRALYTICS, "names": names})))
        assert found.model.labels == COCO and any("'names' metadata cannot be read" in note for note in found.notes)
    assert not trap.exists()
    for names in ('["a"]', '{"0": "a"}', "{0: 'a'}", "('a',)"):
        one = planted(
            {"o": np.zeros((1, 5, cells()), np.float32)}, props={"names": names, "imgsz": "x", "stride": "[8, 16, 32]"}
        )
        found = importers.import_foreign(written(tmp_path, one))
        assert found.model.labels == ("a",) and "'imgsz'" in found.notes[0]
    licence = importers.import_foreign(written(tmp_path, FAMILIES["yolov8"][0], "yolov8n.onnx")).model
    assert licence.name == "yolov8n" and licence.origin["licence"].startswith("AGPL-3.0")
    assert licence.origin["source"] == "ONNX: yolov8n.onnx" and len(licence.origin["sha256"]) == 64


def test_notes(tmp_path: Path) -> None:
    notes = importers.import_foreign(written(tmp_path, FAMILIES["yolov8"][0])).notes
    assert any("opset 17" in note and "13" in note for note in notes)
    notes = importers.import_foreign(written(tmp_path, FAMILIES["yolov8 in float16"][0])).notes
    assert any("float16" in note for note in notes)
    notes = importers.import_foreign(written(tmp_path, FAMILIES["yolov5 of old, with its raw maps"][0])).notes
    assert any("not used: 345, 403, 461" in note for note in notes)
    assert not importers.import_foreign(written(tmp_path, FAMILIES["yolov5"][0])).notes


def test_suppression_inside(tmp_path: Path) -> None:
    def graph(op: str, shape: Tuple[Any, ...], domain: str = "") -> bytes:
        proto = onnx.load_model_from_string(planted({"output0": np.zeros((1, 300, 6), np.float32)}, props=ULTRALYTICS))
        proto.graph.node.append(helper.make_node(op, ["const1"] * 2, ["spare"], domain=domain))
        proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("output0", TensorProto.FLOAT, shape))
        return proto.SerializeToString()

    with pytest.raises(BadModel, match=r"EfficientNMS_TRT, a TensorRT plugin.*without NMS"):
        importers.import_foreign(written(tmp_path, graph("EfficientNMS_TRT", (1, 300, 6), "TRT")))
    found = importers.import_foreign(written(tmp_path, graph("NonMaxSuppression", (1, 300, 6))))
    assert found.kind == "yolov10" and any("contains NMS" in note for note in found.notes)
    with pytest.raises(BadModel, match="export it without NMS"):
        importers.import_foreign(written(tmp_path, graph("NonMaxSuppression", (1, 84, cells()))))


def test_inputs_that_are_no_picture(tmp_path: Path) -> None:
    values = {"o": np.zeros((1, 84, cells()), np.float32)}
    good = onnx.load_model_from_string(planted(values))

    def with_input(*infos: Any) -> Path:
        proto = onnx.ModelProto()
        proto.CopyFrom(good)
        del proto.graph.input[:]
        proto.graph.input.extend(infos)
        return written(tmp_path, proto.SerializeToString())

    info = helper.make_tensor_value_info
    for infos, words in (
        ([], "0 inputs"),
        ([info("images", 1, [1, 3, *HW]), info("size", 1, [1, 2])], "2 inputs .'images', 'size'"),
        ([info("images", 1, [1, *HW, 3])], "channels last"),
        ([info("images", 1, [1, 4, *HW])], "1x4x96x128"),
        ([info("images", 2, [1, 3, *HW])], "UINT8"),
        ([info("images", 99, [1, 3, *HW])], "no known type"),
        ([info("images", 1, [*HW])], "2 dimensions"),
        ([info("images", 1, None)], "0 dimensions"),
        ([info("images", 1, [1, 3, 2**40, 2**40])], "at most 8192"),
    ):
        with pytest.raises(BadModel, match=words):
            importers.import_foreign(with_input(*infos))
    # Before IR version 4 every weight is an input as well.
    weights = [info(c.name, c.data_type, c.dims) for c in good.graph.initializer]
    model = importers.import_foreign(with_input(info("images", 1, [1, 3, *HW]), *weights)).model
    assert [v.name for v in onnx.load_model_from_string(model.onnx).graph.input] == ["images"]


def test_weights_in_another_file(tmp_path: Path) -> None:
    data, other = exports.external(FAMILIES["yolov8"][0], "x.onnx.data")
    path = written(tmp_path, data)
    with pytest.raises(BadModel, match=r"x\.onnx\.data"):
        importers.load(path)
    with pytest.raises(BadModel, match="load it from its folder"):
        importers.parse(data)
    written(tmp_path, other[:100], "x.onnx.data")
    with pytest.raises(EdgecspError):
        pipeline.load(path, "ort")
    written(tmp_path, other, "x.onnx.data")
    picture = np.zeros((*PICTURE, 3), np.uint8)
    assert_boxes(detect(path, picture, recognise.ImportOptions(), conf=0.25), "ultralytics", NAMES)
    for location in ("../secret", str(tmp_path / "x.onnx.data")):
        outside = tmp_path / "folder"
        outside.mkdir(exist_ok=True)
        written(tmp_path, other, "secret")
        with pytest.raises(BadModel):
            importers.load(written(outside, exports.external(FAMILIES["yolov8"][0], location)[0]))


def test_a_lying_shape_is_found_out_at_the_first_picture(tmp_path: Path) -> None:
    data = planted({"o": np.zeros((1, 90, cells()), np.float32)}, declared={"o": (1, 84, cells())})
    with pytest.raises(EdgecspError, match=r"rows of 84|cannot build"), pipeline.load(
        written(tmp_path, data), "ort"
    ) as detector:
        detector(np.zeros((*PICTURE, 3), np.uint8))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    for data in (
        b"",
        b"hello, world\n" * 40,
        b"\x00" * 999,
        bytes(range(256)) * 20,
        b"[net]\nwidth=416\n",
        b"\x08\x07",
    ):
        with pytest.raises(BadModel):
            importers.load(written(tmp_path, data))
    with pytest.raises(SourceError, match="no model file"):
        importers.import_foreign(tmp_path / "none.onnx")
    own = importers.import_foreign(written(tmp_path, FAMILIES["yolov8"][0])).model
    onnx_model.save(own, tmp_path / "own.onnx")
    with pytest.raises(UsageError, match="describes itself already"):
        importers.import_foreign(tmp_path / "own.onnx")


@pytest.mark.parametrize("name", ["yolov8", "pytorch-YOLOv4", "yolox"])
def test_damaged_files_are_errors_and_not_crashes(name: str) -> None:
    """Cut short, or with bytes changed near either end, where the structure is: an error of ours or a model."""
    data = FAMILIES[name][0]
    rng = np.random.default_rng(1)
    cuts = [data[: int(n)] for n in (*range(0, 120, 7), *rng.integers(1, len(data), 15))]
    damaged = []
    for i in range(150):
        copy = bytearray(data)
        for place in rng.integers(0, 400, 3):
            copy[int(place) if i % 2 else -int(place) - 1] = int(rng.integers(0, 256))
        damaged.append(bytes(copy))
    for broken in (*cuts, *damaged):
        try:
            importers.parse(broken, "broken.onnx")
        except EdgecspError as error:
            assert 0 < len(str(error)) < 5000


def test_decoders_check_what_they_are_given() -> None:
    from edgecsp.processing import decode

    for head in (AnchorFree("o", 2), Decoded("o", 2), Decoded("o", 2, channels_first=True), EndToEnd("o", 2)):
        for shape in ((1, 5, 5), (2, 21, 7), (1, 20, 9)):
            with pytest.raises(BadModel, match="head o gave"):
                decode.boxes([head], [np.zeros(shape, np.float32)], (32, 32), 0.1)
    with pytest.raises(BadModel, match="1 outputs for 2"):
        decode.boxes([Decoded("o", 2)] * 2, [np.zeros((1, 3, 6), np.float32)], (32, 32), 0.1)
    with pytest.raises(UnknownName):
        Decoded("o", 2, box="wh")


@pytest.mark.parametrize("seed", range(8))
def test_decoders_are_the_oracles(seed: int) -> None:
    """Row by row in float64, with numbers that are none among them."""
    from edgecsp.processing import decode

    rng = np.random.default_rng(seed)
    hw, classes, conf = (64, 96), int(rng.integers(1, 5)), float(rng.choice([0.0, 0.2, 0.6]))
    total = cells(hw)
    values = rng.random((1, total, 5 + classes)).astype(np.float32)
    values[0, rng.integers(0, total, 20), rng.integers(0, 5 + classes, 20)] = rng.choice([np.nan, np.inf, -1e9], 20)
    relative, plain = rng.random() < 0.5, values[:, :, : 4 + classes]

    def free(i: int) -> Tuple[float, ...]:
        column, row, stride = cell_of(i, hw)
        x, y, w, h = (float(v) for v in values[0, i, :4])
        w, h = math.exp(min(w, 60)), math.exp(min(h, 60))
        return corners(tuple(v * stride for v in (x + column, y + row, w, h)))

    def scaled(i: int) -> Tuple[float, ...]:
        unit = np.array((hw[1], hw[0]) * 2) if relative else np.ones(4)
        return tuple(float(v) for v in values[0, i, :4].astype(np.float64) * unit)

    cases: List[Tuple[Any, np.ndarray, Any, int]] = [
        (AnchorFree("o", classes), values, free, 5),
        (Decoded("o", classes, objectness=True, relative=relative), values, lambda i: corners(scaled(i)), 5),
        (Decoded("o", classes, "xyxy", relative=relative), plain, scaled, 4),
        (Decoded("o", classes, "xywh", False, True, relative), plain.swapaxes(1, 2), lambda i: corners(scaled(i)), 4),
    ]  # fmt: skip
    cases += [(replace(head, multi_label=True), *rest) for head, *rest in cases]
    for head, out, box, first in cases:
        wanted = []
        for i in range(total):
            whole = [float(v) for v in values[0, i, first : first + classes]]
            if (first == 4 or not head.multi_label) and any(math.isnan(v) for v in whole):
                continue
            best = max(whole) if values[0, i, 4] >= 0 or first == 4 else min(whole)
            for k, value in enumerate(whole):
                if not head.multi_label and k != whole.index(best):
                    continue
                score = value * (float(values[0, i, 4]) if first == 5 else 1.0)
                xyxy = box(i)
                if (
                    score > conf
                    and math.isfinite(score)
                    and all(map(math.isfinite, xyxy))
                    and xyxy[0] <= xyxy[2]
                    and xyxy[1] <= xyxy[3]
                ):
                    wanted.append((*xyxy, score, k))
        found = decode.boxes([head], [out], hw, conf)
        rows = np.concatenate((found.xyxy, found.scores[:, None], found.class_ids[:, None]), 1)
        assert len(rows) == len(wanted), head
        assert np.allclose(rows, np.array(wanted).reshape(-1, 6), rtol=1e-5, atol=1e-3), head


def test_it_runs_on_every_engine_that_is_here(tmp_path: Path) -> None:
    path = written(tmp_path, FAMILIES["yolov8"][0])
    ran = 0
    for engine in backends.names():
        # OpenCV 5.0 cannot take the greatest value of a whole map, as the planted graphs do; for ncnn the operators
        # of edgecsp's own graphs alone are converted, and it names the first that is not.
        if engine == "ncnn" and not backends.unavailable_reason(engine):
            with pytest.raises(BuildFailed, match=r"operator \w+ .*not converted; another engine may take it"):
                pipeline.load(path, engine)
        elif not backends.unavailable_reason(engine) and engine not in ("null", "opencv"):
            ran += 1
            with pipeline.load(path, engine, precision="fp32", conf=0.25) as detector:
                assert_boxes(detector(np.zeros((*PICTURE, 3), np.uint8)), "ultralytics", NAMES)
    assert ran


def test_raw_heads_become_yolo_heads(tmp_path: Path) -> None:
    path = written(tmp_path, FAMILIES["darknet, YOLOv4"][0])
    heads = importers.import_foreign(
        path, recognise.ImportOptions(anchors=recognise.parse_anchors("yolov4"))
    ).model.heads
    assert [head.stride for head in heads if isinstance(head, Yolo)] == [8, 16, 32]
    assert [head.scale_xy for head in heads if isinstance(head, Yolo)] == [1.2, 1.1, 1.05]
    with pytest.raises(BadModel, match="--anchors that fit 3 heads"):
        importers.import_foreign(path, recognise.ImportOptions(anchors=recognise.parse_anchors("yolov4-tiny")))
