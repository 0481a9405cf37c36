"""One file that is an image under several ids: each id has its own detections, and AP is a number."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from typer.testing import CliRunner

from edgecsp.cli import app
from support import exports


def test_each_id_has_its_detections(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(exports.finder("yolov8", (96, 128), props={"names": "['red']"}))
    image = np.zeros((96, 128, 3), np.uint8)
    image[32:64, 32:64] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "one.png"), image)
    cv2.imwrite(str(tmp_path / "other.png"), np.zeros_like(image))
    names = {7: "one.png", 8: "other.png", 9: "one.png"}
    box = [32, 32, 32, 32]
    data = {
        "images": [{"id": i, "file_name": name, "height": 96, "width": 128} for i, name in names.items()],
        "categories": [{"id": 3, "name": "red"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": box, "area": 1024}],
    }
    (tmp_path / "two.json").write_text(json.dumps(data))
    words = (
        "val",
        tmp_path / "model.onnx",
        "--data",
        tmp_path / "two.json",
        "-e",
        "ort",
        "--json",
        tmp_path / "said.json",
    )
    results = tmp_path / "results.json"
    done = CliRunner().invoke(app, [*map(str, words), "--save-json", str(results)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads(results.read_text())
    found = {i: [(row["bbox"], row["score"]) for row in rows if row["image_id"] == i] for i in names}
    assert found[7] and found[7] == found[9] and not found[8]
    averages = json.loads((tmp_path / "said.json").read_text())["rows"][0]
    assert averages["pictures"] == 3 and averages["AP"] is not None, averages
