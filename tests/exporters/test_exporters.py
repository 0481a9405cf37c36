"""Detectors of torchvision and transformers, exported by themselves: the same boxes as by their own post-processing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, List

import cv2
import numpy as np
import pytest

from edgecsp import backends, importers
from edgecsp.options import Thresholds
from edgecsp.processing import nms, preprocess
from edgecsp.processing.decode import BoxHead, Candidates
from edgecsp.types import Array
from support.repository import child_environment

PYTHON = os.environ.get("EDGECSP_EXPORTERS_PYTHON", "")
DATA = os.environ.get("EDGECSP_TEST_DATA", "")
SCRIPT = Path(__file__).with_name("models.py")
KINDS = {
    "ssdlite": "ssd", "retinanet": "retinanet", "fcos": "retinanet", "fasterrcnn": "fasterrcnn", "rtdetr": "detr",
    "dfine": "detr", "rfdetr": "detr-vit", "yolos": "yolos", "picodet": "picodet",
}  # fmt: skip
IMAGES = 3
LEAST = 3
BEST = 150  # boxes of an image that are compared
pytestmark = [
    pytest.mark.slow,
    pytest.mark.exporters,
    pytest.mark.skipif(not PYTHON, reason="EDGECSP_EXPORTERS_PYTHON: no Python with torchvision and transformers"),
    pytest.mark.skipif(not DATA, reason="EDGECSP_TEST_DATA: no images"),
]


def script(tmp_path: Path, *words: Any) -> None:
    command = [PYTHON, str(SCRIPT), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=child_environment(), timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def images() -> List[Array]:
    paths = sorted((Path(DATA) / "data" / "coco64").rglob("*.jpg"))[:IMAGES]
    assert len(paths) == IMAGES
    return [np.asarray(cv2.imread(str(path))) for path in paths]


def page() -> Array:
    """A page with a title, two columns of lines and a figure, for a model of documents."""
    image = np.full((1000, 760, 3), 255, np.uint8)
    cv2.putText(image, "A title of a page", (150, 90), cv2.FONT_HERSHEY_DUPLEX, 1.6, (0, 0, 0), 3)
    for left in (60, 400):
        for y in range(150, 520, 22):
            cv2.putText(
                image, "some words of running text here", (left, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1
            )
    image[560:900, 120:640] = cv2.resize(images()[0], (520, 340))
    cv2.putText(image, "Figure 1: a photograph", (260, 930), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1)
    return image


def assert_in(some: Candidates, others: Candidates, floor: float) -> None:
    """Each box above `floor` is among the others: same class, IoU >= 0.99, score within 0.005."""
    sides = some.xyxy[:, 2:] - some.xyxy[:, :2]
    clear = (some.scores > floor + 0.005) & (sides > 4).all(1)  # what is cut at the edge to a line has no overlap
    assert clear.sum() >= LEAST
    overlaps = nms.overlap(some.xyxy[clear], others.xyxy)
    for row, score, class_id in zip(overlaps, some.scores[clear], some.class_ids[clear]):
        same = (others.class_ids == class_id) & (np.abs(others.scores - score) <= 0.005)
        assert (row[same] >= 0.99).any(), (score, class_id, row[same].max() if same.any() else "no such score")


@pytest.mark.parametrize("name", KINDS)
def test_the_same_boxes_as_the_exporters_own_code(name: str, tmp_path: Path) -> None:
    looked_at = [page()] if name == "picodet" else images()
    sample = [cv2.resize(image, (320, 256))[..., ::-1].transpose(2, 0, 1) / np.float32(255) for image in looked_at]
    np.save(tmp_path / "sample.npy", np.stack(sample))
    script(tmp_path, name, "sample.npy", "export", "model.onnx")
    imported = importers.import_foreign(tmp_path / "model.onnx")
    model = imported.model
    assert imported.kind == KINDS[name]
    batches = [preprocess.prepare(image, model.input)[0] for image in looked_at]
    np.save(tmp_path / "batch.npy", np.concatenate(batches))
    script(tmp_path, name, "sample.npy", "detect", "batch.npy", "rows.npz")
    theirs = np.load(tmp_path / "rows.npz")
    head = model.heads[0]
    assert isinstance(head, BoxHead)
    session = backends.open(model, "ort", device="cpu", threads=1)
    try:
        for i, batch in enumerate(batches):
            boxes, scores, labels = (theirs[f"{i}_{key}"] for key in ("boxes", "scores", "labels"))
            floor = float(np.sort(scores)[::-1][:BEST][-1])
            ours = head.detect(model, session.run(batch), Thresholds(conf=max(0.0, floor - 0.01), max_det=1000))
            expected = Candidates(boxes, scores, labels)
            assert_in(expected, ours, floor)
            assert_in(ours, expected, floor)
    finally:
        session.close()
