"""AP50 of detections on the 64 COCO pictures, by pycocotools."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Mapping

import pytest

from edgecsp.core import Detection

CATEGORIES = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]


def ap50(rows: Mapping[str, Iterable[Detection]], data: Path, capsys: pytest.CaptureFixture[str]) -> float:
    """`rows` by picture's file name; pycocotools prints, and `capsys` takes it."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    from pycocotools.cocoeval import COCOeval

    truth = coco.COCO(str(data / "data" / "coco64" / "instances.json"))
    ids = {image["file_name"]: image["id"] for image in truth.loadImgs(truth.getImgIds())}
    results = [
        {
            "image_id": ids[picture],
            "category_id": CATEGORIES[row.class_id],
            "bbox": [row.xyxy[0], row.xyxy[1], row.xyxy[2] - row.xyxy[0], row.xyxy[3] - row.xyxy[1]],
            "score": row.score,
        }
        for picture, detections in rows.items()
        for row in detections
    ]
    judge = COCOeval(truth, truth.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    capsys.readouterr()
    return float(judge.stats[1])
