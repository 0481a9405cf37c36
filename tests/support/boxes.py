"""Detections, written as rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecsp.graph import labels
from edgecsp.types import Detections


def detections_of(*rows: Any, names: Any = labels.COCO) -> Detections:
    """Rows of (x0, y0, x1, y1, score, class id)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32), tuple(names))
