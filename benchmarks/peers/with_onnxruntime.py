"""Plain onnxruntime with OpenCV before it and behind it: what one writes from the documentation's examples."""

from __future__ import annotations

from typing import Any, List

import cv2
import numpy as np
import onnxruntime
from raw_heads import Rows, suppress, to_rows
from serve import Box, read_request, serve

request = read_request()
HEIGHT, WIDTH = request["hw"]
options = onnxruntime.SessionOptions()
if request["threads"]:
    options.intra_op_num_threads = request["threads"]
    cv2.setNumThreads(request["threads"])
session = onnxruntime.InferenceSession(request["files"]["onnx"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


def darknet(image: Any) -> Rows:
    """YOLOv3's raw heads: stretch, sigmoid, anchors."""
    batch = cv2.dnn.blobFromImage(image, 1 / 255, (WIDTH, HEIGHT), swapRB=True)
    return to_rows(session.run(None, {name: batch}), request, image)


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
    return suppress(classes[stay], scores[stay], boxes / scale, request)


def boxes(rows: Rows) -> List[Box]:
    """Boxes in the form that all peers answer with."""
    return [(c, s, *box) for c, s, box in zip(*rows)]


serve(
    {"darknet": darknet, "yolov8": yolov8}[request["kind"]], boxes, np.load(request["images"]), onnxruntime.__version__
)
