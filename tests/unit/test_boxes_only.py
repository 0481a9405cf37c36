"""Masks, keypoints and oriented boxes: refused by name, or their boxes read alone when asked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
import pytest

from edgecsp import importers, pipeline
from edgecsp.errors import BadModel, UsageError
from edgecsp.importers import onnx as recognise
from support import families
from support.exports import HW, ULTRALYTICS, cells, planted

BOX, SCORE, CLASS = (40.0, 30.0, 24.0, 20.0), 0.9, 3
CORNERS = families.corners(BOX)


def rows(classes: int, extra: int, *, turned: bool = True, objectness: bool = False, total: int = 0) -> np.ndarray:
    """Rows [box, (objectness,) classes, extra], fields first when `turned`; what is no box is 7."""
    first = 5 if objectness else 4
    values = np.zeros((1, total or cells(), first + classes + extra), np.float32)
    values[0, :, first + classes :] = 7
    values[0, 9, :4], values[0, 9, first + CLASS] = BOX, SCORE
    if objectness:
        values[0, 9, 4] = 1
    return values.transpose(0, 2, 1).copy() if turned else values


def ends(extra: int) -> np.ndarray:
    values = np.full((1, 300, 6 + extra), 7, np.float32)
    values[..., 4] = 0
    values[0, 0, :6] = (*CORNERS, SCORE, CLASS)
    return values


def props(task: str, classes: int = 9, **more: str) -> Dict[str, str]:
    return {**ULTRALYTICS, "task": task, "names": str({i: f"c{i}" for i in range(classes)}), **more}


MASKS = {"output1": np.zeros((1, 32, HW[0] // 4, HW[1] // 4), np.float32)}
FILES: Dict[str, Tuple[Dict[str, np.ndarray], Optional[Dict[str, str]], str, str]] = {
    "YOLOv8-seg": ({"output0": rows(9, 32), **MASKS}, props("segment"), "yolov8", "segmentation masks"),
    "YOLOv8-seg without metadata": ({"output0": rows(80, 32), **MASKS}, None, "yolov8", "segmentation masks"),
    "YOLOv5-seg": (
        {"output0": rows(80, 32, turned=False, objectness=True, total=3 * cells()), **MASKS}, None, "yolov5",
        "segmentation masks",
    ),
    "YOLO26-seg": ({"output0": ends(32), **MASKS}, props("segment"), "yolov10", "segmentation masks"),
    "YOLOv8-pose": (
        {"output0": rows(9, 8)}, props("pose", kpt_shape="[4, 2]"), "yolov8", "poses .keypoints.",
    ),
    "YOLO26-pose": ({"output0": ends(51)}, props("pose", kpt_shape="[17, 3]"), "yolov10", "poses .keypoints."),
}  # fmt: skip


def written(tmp_path: Path, outputs: Dict[str, np.ndarray], said: Optional[Dict[str, str]]) -> Path:
    (tmp_path / "x.onnx").write_bytes(planted(outputs, props=said))
    return tmp_path / "x.onnx"


def detect(path: Path, **options: Any) -> Any:
    model = importers.import_foreign(path, recognise.ImportOptions(boxes_only=True, **options)).model
    with pipeline.load(model, "ort", conf=0.5) as detector:
        return list(detector(np.zeros((*HW, 3), np.uint8)))


@pytest.mark.parametrize("name", FILES)
def test_boxes_are_read_when_asked_and_the_rest_is_not(name: str, tmp_path: Path) -> None:
    outputs, said, kind, words = FILES[name]
    path = written(tmp_path, outputs, said)
    with pytest.raises(BadModel, match=rf"{words}.*edgecsp import .*x\.onnx --boxes-only"):
        importers.import_foreign(path)
    imported = importers.import_foreign(path, recognise.ImportOptions(boxes_only=True))
    assert imported.kind == kind
    assert any("not used: output1" in note for note in imported.notes) == ("output1" in outputs)
    (row,) = detect(path)
    assert row.class_id == CLASS and row.score == pytest.approx(SCORE) and row.xyxy == pytest.approx(CORNERS, abs=1e-3)


def test_a_pose_model_of_one_class_without_metadata(tmp_path: Path) -> None:
    values = np.full((1, 56, cells()), 7, np.float32)
    values[0, 4] = 0
    values[0, :5, 9] = (*BOX, SCORE)
    path = written(tmp_path, {"output0": values}, None)
    with pytest.raises(BadModel, match="--boxes-only; if it is a detector of 52 classes"):
        importers.import_foreign(path)
    (row,) = detect(path)
    assert row.class_id == 0 and row.xyxy == pytest.approx(CORNERS, abs=1e-3)


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, -60])
@pytest.mark.parametrize("is_grid", [True, False])
def test_an_oriented_box_becomes_the_upright_one_around_it(degrees: int, is_grid: bool, tmp_path: Path) -> None:
    angle = math.radians(degrees)
    if is_grid:
        values = rows(9, 1)
        values[0, -1, 9] = angle
    else:
        values = ends(1)
        values[0, 0, :4], values[0, 0, 6] = BOX, angle
    path = written(tmp_path, {"output0": values}, props("obb"))
    with pytest.raises(BadModel, match="oriented boxes"):
        importers.import_foreign(path)
    (row,) = detect(path)
    x, y, w, h = BOX
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = np.array([(w, h), (-w, h), (w, -h), (-w, -h)]) / 2 @ turn.T + (x, y)
    assert row.xyxy == pytest.approx((*points.min(0), *points.max(0)), abs=1e-2)


def test_a_mask_rcnn_by_the_names_of_its_outputs(tmp_path: Path) -> None:
    data = families.plain(
        {
            "boxes": np.array([CORNERS], np.float32), "labels": np.array([CLASS]),
            "scores": np.array([SCORE], np.float32), "masks": np.zeros((1, 1, 28, 28), np.float32),
        },
        ["RoiAlign"], shape=(3, *HW),
    )  # fmt: skip
    (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(BadModel, match="segmentation masks"):
        importers.import_foreign(tmp_path / "x.onnx")
    (row,) = detect(tmp_path / "x.onnx")
    assert row.class_id == CLASS and row.xyxy == pytest.approx(CORNERS, abs=1e-3)


def test_a_detector_has_nothing_to_leave_out(tmp_path: Path) -> None:
    path = written(tmp_path, {"output0": rows(80, 0)}, None)
    with pytest.raises(UsageError, match="omit --boxes-only"):
        importers.import_foreign(path, recognise.ImportOptions(boxes_only=True))
