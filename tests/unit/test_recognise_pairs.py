"""Exports whose shapes alone lead to another family: RT-DETR by its metadata, YOLO-NAS by its two outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
import pytest

from edgecsp import importers, pipeline
from edgecsp.errors import BadModel, UnknownName, UsageError
from edgecsp.graph import onnx_model
from edgecsp.importers import onnx as recognise
from support.exports import ULTRALYTICS, cells, planted

NAMES = {**ULTRALYTICS, "names": str({i: f"c{i}" for i in range(9)})}
OF_2026 = {**NAMES, "head": "RTDETRDecoder", "end2end": "False"}
OF_2024 = {**NAMES, "description": "Ultralytics rtdetr-l model trained on coco.yaml"}
PICTURE = np.zeros((48, 256, 3), np.uint8)  # of a network's 96 x 128: stretched, half as high and twice as wide
WANTED = [(7, 0.9, (64.0, 18.0, 192.0, 30.0)), (3, 0.8, (51.2, 9.6, 76.8, 14.4))]
RELATIVE = [(0.5, 0.5, 0.5, 0.25), (0.25, 0.25, 0.1, 0.1)]


def detr(classes: Optional[int]) -> Dict[str, np.ndarray]:
    """Rows [cx, cy, w, h, score, class], or with `classes` [cx, cy, w, h, class ...]; the others hold nothing."""
    rows = np.zeros((1, 300, 4 + classes if classes else 6), np.float32)
    for i, ((k, score, _), box) in enumerate(zip(WANTED, RELATIVE)):
        rows[0, i, :4] = box
        rows[0, i, 4:] = np.eye(classes)[k] * score if classes else (score, k)
    return {"output0": rows}


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("props, classes", [(OF_2026, None), (OF_2024, None), (OF_2024, 9)])
def test_rtdetr_is_what_its_metadata_says(props: Dict[str, str], classes: Optional[int], tmp_path: Path) -> None:
    path = written(tmp_path, planted(detr(classes), props=props))
    found = importers.import_foreign(path)
    assert found.kind == "rtdetr" and found.model.input.resize == "stretch"
    onnx_model.save(found.model, tmp_path / "ours.onnx")
    for file in (path, tmp_path / "ours.onnx"):
        with pipeline.load(file, "ort", conf=0.5) as detector:
            got = list(detector(PICTURE))
        assert [(row.class_id, row.label, pytest.approx(row.score)) for row in got] == [
            (k, f"c{k}", score) for k, score, _ in WANTED
        ]
        for row, (_, _, box) in zip(got, WANTED):
            assert row.xyxy == pytest.approx(box, abs=1e-3)


def test_its_boxes_are_not_suppressed(tmp_path: Path) -> None:
    values = detr(9)
    values["output0"][0, 1] = values["output0"][0, 0]
    with pipeline.load(written(tmp_path, planted(values, props=OF_2024)), "ort", conf=0.5) as detector:
        assert len(detector(PICTURE)) == 2


def test_another_kind_of_an_rtdetr_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, planted(detr(None), props=OF_2026))
    with pytest.raises(UsageError, match=r"--kind yolov10 .*says that it is rtdetr"):
        importers.import_foreign(path, recognise.ImportOptions(kind="yolov10"))
    # The rows of YOLOv10 stay YOLOv10's, and who knows better says so.
    plain = written(tmp_path, planted(detr(None), props=NAMES))
    assert importers.import_foreign(plain).kind == "yolov10"
    assert importers.import_foreign(plain, recognise.ImportOptions(kind="rt-detr")).kind == "rtdetr"


def nas(names: Any = ("boxes", "scores")) -> bytes:
    boxes, scores = np.zeros((1, cells(), 4), np.float32), np.zeros((1, cells(), 80), np.float32)
    boxes[0, 20], scores[0, 20, 5] = (32, 24, 96, 72), 0.9
    return planted({name: {"boxes": boxes, "scores": scores}[name] for name in names})


def test_yolonas_gives_boxes_and_scores(tmp_path: Path) -> None:
    path = written(tmp_path, nas())
    assert importers.import_foreign(path).kind == "yolonas"
    with pipeline.load(path, "ort", conf=0.5) as detector:
        (row,) = detector(np.zeros((184, 248, 3), np.uint8))  # half of it is 92 x 124: 4 pixels of a side stay grey
    assert (row.class_id, row.label) == (5, "bus") and row.xyxy == pytest.approx((60, 44, 188, 140), abs=1e-2)


@pytest.mark.parametrize("kind", sorted({*recognise.KINDS} - {"damo", "yolonas"}))
@pytest.mark.parametrize("names", [("boxes", "scores"), ("scores", "boxes")])
def test_no_flag_makes_scores_boxes(kind: str, names: Any, tmp_path: Path) -> None:
    """As one output the 80 scores would be rows of a YOLOv8 of 76 classes."""
    with pytest.raises(BadModel, match="not a supported export"):
        importers.import_foreign(written(tmp_path, nas(names)), recognise.ImportOptions(kind=kind))


def test_scores_first_are_another_family_and_get_no_hint(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="not a supported export") as caught:
        importers.import_foreign(written(tmp_path, nas(("scores", "boxes"))))
    assert "--kind" not in str(caught.value) and "76" not in str(caught.value)


def test_a_layout_that_no_head_has(tmp_path: Path) -> None:
    from edgecsp.processing.heads.end_to_end import EndToEnd

    with pytest.raises(UnknownName, match="box layout"):
        EndToEnd("o", 3, box="yxyx")
