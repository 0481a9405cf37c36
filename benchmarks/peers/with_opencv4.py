"""OpenCV 4's DetectionModel on darknet's own files: the paper's CPU engine, as its users write it."""

from __future__ import annotations

import cv2
import numpy as np
from serve import Box, read_request, serve

request = read_request()
if request["threads"]:
    cv2.setNumThreads(request["threads"])
model = cv2.dnn.DetectionModel(cv2.dnn.readNetFromDarknet(request["files"]["cfg"], request["files"]["weights"]))
model.setInputParams(scale=1 / 255, size=tuple(reversed(request["hw"])), swapRB=True)
model.setNmsAcrossClasses(False)


def boxes(result: tuple[object, ...]) -> list[Box]:
    """Its boxes are x, y, width, height."""
    return [(c, s, x, y, x + w, y + h) for c, s, (x, y, w, h) in zip(*result)]  # type: ignore[misc]


serve(
    lambda image: model.detect(image, request["conf"], request["iou"]),
    boxes,
    np.load(request["images"]),
    cv2.__version__,
)
