"""OpenCV 5's dnn module on the ONNX file: it reads darknet's files no more, so its user decodes the heads."""

from __future__ import annotations

from typing import Any, List

import cv2
import numpy as np
from raw_heads import Rows, to_rows
from serve import Box, read_request, serve

request = read_request()
if request["threads"]:
    cv2.setNumThreads(request["threads"])
net = cv2.dnn.readNetFromONNX(request["files"]["onnx"])
names = net.getUnconnectedOutLayersNames()


def detect(image: Any) -> Rows:
    """Stretch, the network, sigmoid, anchors, NMS."""
    net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, tuple(reversed(request["hw"])), swapRB=True))
    return to_rows(net.forward(names), request, image)


def boxes(rows: Rows) -> List[Box]:
    """Boxes in the form that all peers answer with."""
    return [(c, s, *box) for c, s, box in zip(*rows)]


serve(detect, boxes, np.load(request["images"]), cv2.__version__)
