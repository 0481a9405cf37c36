"""Real weights on real pictures, raw head by raw head: the importer and darknet's arithmetic in plain numpy.

The oracle resizes in float32 as darknet does, and computes the network in float64. Pictures of 333 rows are among them:
at 320 darknet's last row is black (see `oracle.resize_image`).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecsp import backends
from edgecsp.importers import darknet
from edgecsp.processing import preprocess
from support import oracle
from support.real_models import cfg_of


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolo-fastest-1.1-xl"])
def test_heads_are_the_oracles(name: str, test_data: Path) -> None:
    cfg = cfg_of(name, test_data)
    weights = test_data / "weights" / f"{name}.weights"
    model = darknet.load(cfg, weights).model
    session = backends.open(model, "ort")
    pictures = [cv2.imread(str(p)) for p in sorted((test_data / "data" / "coco64" / "images").glob("*.jpg"))]
    chosen = [pictures[0], next(p for p in pictures if p.shape[0] == 333)]
    for picture in chosen:
        laid = oracle.resize_image(picture[:, :, ::-1], model.input.hw).transpose(2, 0, 1) / np.float32(255)
        wanted = oracle.darknet(cfg.read_text(), laid, oracle.file_weights(weights.read_bytes()))
        batch, _ = preprocess.prepare(picture, model.input)
        for ours, theirs in zip(session.run(batch), wanted):
            assert np.abs(ours[0] - theirs).max() <= 1e-4 * np.abs(theirs).max()
    session.close()
