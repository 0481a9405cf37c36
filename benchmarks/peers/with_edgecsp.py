"""edgecsp's own Detector, as a peer among the others: one of its engines, a picture in, its boxes out."""

from __future__ import annotations

from typing import Any, List

import numpy as np
from serve import Box, asked, serve

import edgecsp

said = asked()
detector = edgecsp.load(
    said["files"][said["file"]], engine=said["engine"], threads=said["threads"], conf=said["conf"], iou=said["iou"]
)


def boxes(found: Any) -> List[Box]:
    """As all say them."""
    return [(c, s, *box) for c, s, box in zip(found.class_ids, found.scores, found.xyxy)]


serve(detector, boxes, np.load(said["pictures"]), edgecsp.__version__)
