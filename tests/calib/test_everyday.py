"""What an everyday detector is measured by: a threshold chosen on labelled images, false alarms on images without."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")

import edgecsp
from calib import everyday, photographs
from edgecsp import zoo
from edgecsp.bench import accuracy
from edgecsp.errors import UsageError
from edgecsp.types import Detections
from edgecsp.zoo import store


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


def test_the_photographs_are_those_with_people_and_pets_and_background(tmp_path: Path) -> None:
    for split, names in (("train", ("000000000007", "000000000008", "2008_000007")), ("val", ("x",))):
        for kind in ("images", "labels"):
            (tmp_path / "mine" / kind / split).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(tmp_path / "mine" / "images" / split / f"{name}.png"), np.zeros((40, 60, 3), np.uint8))
            text = "1 0.5 0.5 0.25 0.5\n0 0.5 0.5 1 1\n" if name != "000000000008" else "0 0.5 0.5 1 1\n"
            (tmp_path / "mine" / "labels" / split / f"{name}.txt").write_text(text)
    (tmp_path / "mine" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [chair, dog]\n")
    (tmp_path / "judged").mkdir()
    cv2.imwrite(str(tmp_path / "judged" / "000000000007.jpg"), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "judged" / "000000000007.txt").write_text("")
    (tmp_path / "judged" / "data.yaml").write_text("val: .\nnames: [chair, dog]\n")

    line = photographs.lay(tmp_path / "out", [tmp_path / "mine"], tmp_path / "judged")
    assert line.endswith("2 images to learn from, 1 for validation")
    learn = accuracy.read(tmp_path / "out", split="train")
    assert learn.names == photographs.CLASSES
    boxes = {Path(row.path).stem: row.with_size((40, 60)).boxes for row in learn.images}
    assert set(boxes) == {"mine_000000000008", "mine_2008_000007"} and not len(boxes["mine_000000000008"])
    assert boxes["mine_2008_000007"].class_ids.tolist() == [photographs.CLASSES.index("dog")]
    assert np.allclose(boxes["mine_2008_000007"].xywh, [(22.5, 10, 15, 20)], atol=1e-3)
    with pytest.raises(UsageError, match="out exists; name a new folder"):
        photographs.lay(tmp_path / "out", [tmp_path / "mine"])


def test_the_bundled_model_is_as_good_as_it_must_be(test_data: Path) -> None:
    data = test_data / "data"
    measured = everyday.measure(
        store.resolve("everyday"), data / "voc2012_subset" / "data.yaml", data / "coco64", precision="fp32"
    )
    assert measured["ap50"] >= 0.60 and measured["false_alarms"] <= everyday.FALSE_ALARMS, measured
    recorded = zoo.record("everyday")["test"]
    assert measured["ap50"] == pytest.approx(recorded["ap50"], abs=0.002)
    assert measured["conf"] == recorded["conf"] and measured["images_without"] == recorded["images_without"]
