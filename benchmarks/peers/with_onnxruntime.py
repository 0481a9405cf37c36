"""Plain onnxruntime with OpenCV before it and behind it: what one writes from the documentation's examples."""

from __future__ import annotations

from typing import Any, List, Tuple

import cv2
import numpy as np
import onnxruntime
from serve import Box, asked, serve

said = asked()
HEIGHT, WIDTH = said["hw"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = said["threads"]
session = onnxruntime.InferenceSession(said["files"]["onnx"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
cv2.setNumThreads(said["threads"])

Found = Tuple[Any, Any, Any]  # classes, scores, (N, 4) xyxy


def darknet(picture: Any) -> Found:
    """YOLOv3's raw heads: stretch, sigmoid, anchors."""
    batch = cv2.dnn.blobFromImage(picture, 1 / 255, (WIDTH, HEIGHT), swapRB=True)
    parts = []
    for head, mask in zip(session.run(None, {name: batch}), said["masks"]):
        _, _, rows, columns = head.shape
        out = 1 / (1 + np.exp(-head.reshape(len(mask), -1, rows, columns)))
        y, x = np.mgrid[:rows, :columns]
        anchors = np.array([said["anchors"][index] for index in mask], np.float32)[:, :, None, None]
        wh = np.exp(head.reshape(len(mask), -1, rows, columns)[:, 2:4]) * anchors / [[[WIDTH]], [[HEIGHT]]]
        centre = np.stack([(out[:, 0] + x) / columns, (out[:, 1] + y) / rows], 1)
        scores = out[:, 4:5] * out[:, 5:]
        flat = np.concatenate([centre, wh, scores], 1).transpose(0, 2, 3, 1)
        parts.append(flat.reshape(-1, flat.shape[3]))
    every = np.concatenate(parts)
    rows_, classes = np.nonzero(every[:, 4:] > said["conf"])
    size = np.array(picture.shape[1::-1] * 2, np.float32)
    return kept(classes, every[rows_, 4 + classes], every[rows_, :4] * size)


def yolov8(picture: Any) -> Found:
    """YOLOv8's one output: letterbox, the best class of each box."""
    height, width = picture.shape[:2]
    scale = min(HEIGHT / height, WIDTH / width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)))
    top, left = (HEIGHT - small.shape[0]) // 2, (WIDTH - small.shape[1]) // 2
    canvas = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    batch = cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)
    every = session.run(None, {name: batch})[0][0].T
    classes = every[:, 4:].argmax(1)
    scores = every[np.arange(len(every)), 4 + classes]
    stay = scores > said["conf"]
    boxes = every[stay, :4] - np.array([left, top, 0, 0], np.float32)
    return kept(classes[stay], scores[stay], boxes / scale)


def kept(classes: Any, scores: Any, xywh: Any) -> Found:
    """Class by class, the best first; `xywh` are centres and sizes."""
    corners = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, 2:]], 1)
    stay = cv2.dnn.NMSBoxesBatched(corners.tolist(), scores.tolist(), classes.tolist(), said["conf"], said["iou"])
    stay = np.asarray(stay, int).reshape(-1)
    xyxy = np.concatenate([corners[stay, :2], corners[stay, :2] + corners[stay, 2:]], 1)
    return classes[stay], scores[stay], xyxy


def boxes(found: Found) -> List[Box]:
    """As all say them."""
    return [(c, s, *box) for c, s, box in zip(*found)]


serve({"darknet": darknet, "yolov8": yolov8}[said["kind"]], boxes, np.load(said["pictures"]), onnxruntime.__version__)
