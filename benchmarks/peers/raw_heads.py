"""From a YOLO network's raw heads to boxes: numpy and OpenCV, what one writes from the documentation's examples."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

import cv2
import numpy as np

Rows = Tuple[Any, Any, Any]  # classes, scores, (N, 4) xyxy


def to_rows(heads: Sequence[Any], request: Dict[str, Any], image: Any) -> Rows:
    """YOLOv3's raw heads (1, A * (5 + C), H, W) of a stretched image: sigmoid, anchors, NMS."""
    height, width = request["hw"]
    parts = []
    for head, mask, scale in zip(heads, request["masks"], request["scale_xy"]):
        _, _, rows, columns = head.shape
        out = 1 / (1 + np.exp(-head.reshape(len(mask), -1, rows, columns)))
        y, x = np.mgrid[:rows, :columns]
        anchors = np.array([request["anchors"][index] for index in mask], np.float32)[:, :, None, None]
        wh = np.exp(head.reshape(len(mask), -1, rows, columns)[:, 2:4]) * anchors / [[[width]], [[height]]]
        xy = out[:, :2] * scale - (scale - 1) / 2
        centre = np.stack([(xy[:, 0] + x) / columns, (xy[:, 1] + y) / rows], 1)
        scores = out[:, 4:5] * out[:, 5:]
        flat = np.concatenate([centre, wh, scores], 1).transpose(0, 2, 3, 1)
        parts.append(flat.reshape(-1, flat.shape[3]))
    every = np.concatenate(parts)
    places, classes = np.nonzero(every[:, 4:] > request["conf"])
    size = np.array(image.shape[1::-1] * 2, np.float32)
    return suppress(classes, every[places, 4 + classes], every[places, :4] * size, request)


def suppress(classes: Any, scores: Any, xywh: Any, request: Dict[str, Any]) -> Rows:
    """Class by class, the best first; `xywh` are centres and sizes."""
    corners = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, 2:]], 1)
    best = cv2.dnn.NMSBoxesBatched(corners.tolist(), scores.tolist(), classes.tolist(), request["conf"], request["iou"])
    stay = np.asarray(best, int).reshape(-1)
    xyxy = np.concatenate([corners[stay, :2], corners[stay, :2] + corners[stay, 2:]], 1)
    return classes[stay], scores[stay], xyxy
