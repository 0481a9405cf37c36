"""edgecsp's own Detector, as a peer among the others: an image in, its boxes out."""

from __future__ import annotations

from typing import Any, List

import numpy as np
from serve import Box, read_request, serve

import edgecsp

request = read_request()
chosen = {name: request[name] for name in ("engine", "threads", "precision") if request.get(name)}
detector = edgecsp.load(request["files"][request["file"]], conf=request["conf"], iou=request["iou"], **chosen)


def boxes(detections: Any) -> List[Box]:
    """Boxes in the form that all peers answer with."""
    return [(c, s, *box) for c, s, box in zip(detections.class_ids, detections.scores, detections.xyxy)]


serve(detector, boxes, np.load(request["images"]), edgecsp.__version__)
