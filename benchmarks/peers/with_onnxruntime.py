"""Plain onnxruntime with OpenCV before it and behind it: what one writes from the documentation's examples."""

from __future__ import annotations

from typing import Any, List, Tuple

import cv2
import numpy as np
import onnxruntime
from serve import Box, read_request, serve

request = read_request()
HEIGHT, WIDTH = request["hw"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = request["threads"]
session = onnxruntime.InferenceSession(request["files"]["onnx"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
cv2.setNumThreads(request["threads"])

Rows = Tuple[Any, Any, Any]  # classes, scores, (N, 4) xyxy


def darknet(image: Any) -> Rows:
    """YOLOv3's raw heads: stretch, sigmoid, anchors."""
    batch = cv2.dnn.blobFromImage(image, 1 / 255, (WIDTH, HEIGHT), swapRB=True)
    parts = []
    for head, mask in zip(session.run(None, {name: batch}), request["masks"]):
        _, _, rows, columns = head.shape
        out = 1 / (1 + np.exp(-head.reshape(len(mask), -1, rows, columns)))
        y, x = np.mgrid[:rows, :columns]
        anchors = np.array([request["anchors"][index] for index in mask], np.float32)[:, :, None, None]
        wh = np.exp(head.reshape(len(mask), -1, rows, columns)[:, 2:4]) * anchors / [[[WIDTH]], [[HEIGHT]]]
        centre = np.stack([(out[:, 0] + x) / columns, (out[:, 1] + y) / rows], 1)
        scores = out[:, 4:5] * out[:, 5:]
        flat = np.concatenate([centre, wh, scores], 1).transpose(0, 2, 3, 1)
        parts.append(flat.reshape(-1, flat.shape[3]))
    every = np.concatenate(parts)
    rows_, classes = np.nonzero(every[:, 4:] > request["conf"])
    size = np.array(image.shape[1::-1] * 2, np.float32)
    return suppress(classes, every[rows_, 4 + classes], every[rows_, :4] * size)


def yolov8(image: Any) -> Rows:
    """YOLOv8's one output: letterbox, the best class of each box."""
    height, width = image.shape[:2]
    scale = min(HEIGHT / height, WIDTH / width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)))
    top, left = (HEIGHT - small.shape[0]) // 2, (WIDTH - small.shape[1]) // 2
    canvas = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    batch = cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)
    every = session.run(None, {name: batch})[0][0].T
    classes = every[:, 4:].argmax(1)
    scores = every[np.arange(len(every)), 4 + classes]
    stay = scores > request["conf"]
    boxes = every[stay, :4] - np.array([left, top, 0, 0], np.float32)
    return suppress(classes[stay], scores[stay], boxes / scale)


def suppress(classes: Any, scores: Any, xywh: Any) -> Rows:
    """Class by class, the best first; `xywh` are centres and sizes."""
    corners = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, 2:]], 1)
    stay = cv2.dnn.NMSBoxesBatched(corners.tolist(), scores.tolist(), classes.tolist(), request["conf"], request["iou"])
    stay = np.asarray(stay, int).reshape(-1)
    xyxy = np.concatenate([corners[stay, :2], corners[stay, :2] + corners[stay, 2:]], 1)
    return classes[stay], scores[stay], xyxy


def boxes(rows: Rows) -> List[Box]:
    """Boxes in the form that all peers answer with."""
    return [(c, s, *box) for c, s, box in zip(*rows)]


serve(
    {"darknet": darknet, "yolov8": yolov8}[request["kind"]], boxes, np.load(request["images"]), onnxruntime.__version__
)
