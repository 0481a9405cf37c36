"""Readings that tie: the error shows the first boxes of each, and a PNG shows them on an image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecsp import importers
from edgecsp.errors import BadModel, SourceError
from edgecsp.importers import onnx as recognise
from support.commands import edgecsp
from support.exports import HW, cells, planted


def tied(tmp_path: Path) -> Path:
    """Rows of 10: YOLOv6 of 5 classes, or YOLOv8 of 6."""
    values = np.zeros((1, cells(), 10), np.float32)
    values[0, 7] = (40, 30, 20, 10, 0.9, 0, 0, 0.8, 0, 0)
    path = tmp_path / "x.onnx"
    path.write_bytes(planted({"o": values}))
    return path


def test_the_error_shows_the_first_rows_of_both(tmp_path: Path) -> None:
    with pytest.raises(BadModel) as caught:
        importers.import_foreign(tied(tmp_path))
    text = str(caught.value)
    assert "as yolov6 of 5 classes: class2 0.72 at 30 25 50 35" in text
    assert "as yolov8 of 6 classes: class0 0.90 at 30 25 50 35" in text
    assert r"--kind yolov6|yolov8" in text and "--debug-heads FILE.png" in text


def test_both_are_drawn_side_by_side(tmp_path: Path) -> None:
    image = np.full((96, 128, 3), 60, np.uint8)
    cv2.imwrite(str(tmp_path / "i.png"), image)
    options = recognise.ImportOptions(debug_heads=tmp_path / "out.png", debug_image=tmp_path / "i.png")
    with pytest.raises(BadModel, match=r"Of .*i\.png: as yolov6.*out\.png shows both"):
        importers.import_foreign(tied(tmp_path), options)
    drawn = cv2.imread(str(tmp_path / "out.png"))
    assert drawn.shape == (96, 2 * 128 + 8, 3)
    left, right = drawn[:, :128], drawn[:, 136:]
    for half in (left, right):
        assert (half[25:36, 30] != 60).any() and (half[60:, 80:] == 60).all()
    assert (left[20:40] != right[20:40]).any()  # of different classes


def test_a_file_that_is_certain_shows_its_boxes(tmp_path: Path) -> None:
    options = recognise.ImportOptions(kind="yolov8", debug_heads=tmp_path / "out.png")
    imported = importers.import_foreign(tied(tmp_path), options)
    assert any("class0 0.90 at 30 25 50 35" in note and "out.png shows them" in note for note in imported.notes)
    drawn = cv2.imread(str(tmp_path / "out.png"))
    assert drawn.shape == (96, 128, 3)


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    options = recognise.ImportOptions(debug_image=tmp_path / "none.png")
    with pytest.raises(SourceError, match=r"none\.png"):
        importers.import_foreign(tied(tmp_path), options)


def test_as_a_user_types_it(tmp_path: Path) -> None:
    tied(tmp_path)
    ran = edgecsp("import", "x.onnx", "--debug-heads", "out.png", cwd=tmp_path, code=3)
    assert "out.png shows both" in ran.stderr and (tmp_path / "out.png").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png", "x.onnx"]
    ran = edgecsp("import", "x.onnx", "--debug-heads", "x.onnx", cwd=tmp_path, code=2)
    assert "Traceback" not in ran.stderr
    ran = edgecsp("import", "x.cfg", "x.weights", "--debug-heads", "out.png", cwd=tmp_path, code=2)
    assert "--debug-heads is only for" in ran.stderr


def raw(tmp_path: Path) -> Path:
    """Two raw heads of three anchors and two classes with one box, which anchors make large or small."""
    maps = {f"o{stride}": np.full((1, 21, HW[0] // stride, HW[1] // stride), -20, np.float32) for stride in (16, 32)}
    maps["o16"][0, :7, 2, 3] = (0, 0, 0, 0, 9, 9, -20)
    path = tmp_path / "x.onnx"
    path.write_bytes(planted(maps))
    return path


def test_heads_without_anchors_show_what_each_published_list_would_find(tmp_path: Path) -> None:
    path = raw(tmp_path)
    with pytest.raises(BadModel) as caught:
        importers.import_foreign(path)
    text = str(caught.value)
    assert "--anchors W,H,W,H,... (finest head first) or one of yolov3-tiny, yolov4-tiny" in text
    assert "as darknet of 2 classes with --anchors yolov3-tiny: class0 1.00 at 44 26 68 54" in text
    options = recognise.ImportOptions(debug_heads=tmp_path / "out.png")
    with pytest.raises(BadModel, match=r"--anchors yolov4-tiny: class0 .*out\.png shows both"):
        importers.import_foreign(path, options)
    assert cv2.imread(str(tmp_path / "out.png")).shape == (HW[0], 2 * HW[1] + 8, 3)


def test_anchors_that_fit_nothing_are_not_tried_with_others(tmp_path: Path) -> None:
    options = recognise.ImportOptions(anchors=recognise.parse_anchors("1,2"), debug_heads=tmp_path / "out.png")
    with pytest.raises(BadModel, match="--anchors that fit 2 heads") as caught:
        importers.import_foreign(raw(tmp_path), options)
    assert " as darknet" not in str(caught.value) and not (tmp_path / "out.png").exists()
