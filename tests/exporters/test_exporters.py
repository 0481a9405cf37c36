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
    "yolos": "yolos",
}  # fmt: skip
IMAGES = 3
BEST = 30  # boxes of an image that are compared
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


def assert_in(some: Candidates, others: Candidates, floor: float) -> None:
    """Each box above `floor` is among the others: same class, IoU >= 0.99, score within 0.005."""
    clear = some.scores > floor + 0.005
    assert clear.sum() >= 5
    overlaps = nms.overlap(some.xyxy[clear], others.xyxy)
    for row, score, class_id in zip(overlaps, some.scores[clear], some.class_ids[clear]):
        same = (others.class_ids == class_id) & (np.abs(others.scores - score) <= 0.005)
        assert (row[same] >= 0.99).any(), (score, class_id, row[same].max() if same.any() else "no such score")


@pytest.mark.parametrize("name", KINDS)
def test_the_same_boxes_as_the_exporters_own_code(name: str, tmp_path: Path) -> None:
    script(tmp_path, name, "export", "model.onnx")
    imported = importers.import_foreign(tmp_path / "model.onnx")
    model = imported.model
    assert imported.kind == KINDS[name]
    batches = [preprocess.prepare(image, model.input)[0] for image in images()]
    np.save(tmp_path / "batch.npy", np.concatenate(batches))
    script(tmp_path, name, "detect", "batch.npy", "rows.npz")
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
