"""What an everyday detector is measured by: a threshold chosen on labelled images, false alarms on images without."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")

import edgecsp
from calib import everyday
from edgecsp.bench import accuracy
from edgecsp.errors import UsageError
from edgecsp.types import Detections


def predicted(right: list[float], wrong: list[float], images: int = 1) -> accuracy.Predictions:
    """Predictions on images of one class; all boxes are in the first one, those of `right` on objects."""
    boxes = [(10.0 * i, 0.0, 8.0, 8.0) for i in range(len(right) + 1)]
    truth = accuracy.Boxes.from_rows([(0, *box) for box in boxes])
    empty = accuracy.Boxes.from_rows(np.zeros((0, 5)).tolist())
    predictions = accuracy.Predictions(accuracy.Data("drawn", "drawn", ("cat",), (1,), ()))
    at = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes[:-1]] + [(0, 50, 8, 58)] * len(wrong)).reshape(-1, 4)
    scores = np.array(right + wrong, np.float32)
    for i in range(images):
        some = slice(None) if i == 0 else slice(0, 0)
        detections = Detections(at[some], scores[some], np.zeros(len(scores), np.int32)[some], ("cat",))
        predictions.add(accuracy.LabelledImage(f"{i}", i, empty if i else truth, (99, 999)), detections)
    return predictions


def test_the_threshold_is_that_of_the_best_f1() -> None:
    assert everyday.choose_threshold(predicted([0.9, 0.8, 0.7], [0.3, 0.2]), 1) == 0.5


def test_but_it_lets_no_more_than_the_limit_of_wrong_detections_through() -> None:
    predictions = predicted([0.9, 0.5, 0.4], [0.7, 0.6])
    assert everyday.choose_threshold(predictions, 2) == pytest.approx(0.2)
    assert everyday.choose_threshold(predictions, 1) == pytest.approx(0.8)
    with pytest.raises(UsageError, match="no threshold can be chosen"):
        everyday.choose_threshold(predicted([], []))


def test_false_alarms_count_on_images_that_hold_none_of_the_classes(tmp_path: Path) -> None:
    marker = cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100), 7, 140)
    sheet = np.full((320, 320, 3), 255, np.uint8)
    sheet[90:230, 90:230] = marker[:, :, None]
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), sheet)
    rows = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [90, 90, 140, 140], "area": 19600, "iscrowd": 0}]
    rows.append({**rows[0], "id": 2, "image_id": 1, "category_id": 2})
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 320, "width": 320} for i in range(3)],
        "categories": [{"id": 1, "name": "marker"}, {"id": 2, "name": "chair"}],
        "annotations": rows,
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    data = accuracy.read(tmp_path / "instances.json", images=tmp_path)
    with edgecsp.load("codes", engine="ort") as detector:
        assert everyday.find_alarms(detector, data, 0.5) == {"images_without": 2, "false_alarms": 1.0}
        everywhere = accuracy.Data("x", "x", ("marker",), (1,), data.images[:1])
        with pytest.raises(UsageError, match="every image holds one of"):
            everyday.find_alarms(detector, everywhere, 0.5)
