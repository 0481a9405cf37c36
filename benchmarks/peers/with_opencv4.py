"""OpenCV 4's DetectionModel on darknet's own files: the paper's CPU engine, as its users write it."""

from __future__ import annotations

import cv2
import numpy as np
from serve import Box, asked, serve

said = asked()
cv2.setNumThreads(said["threads"])
model = cv2.dnn.DetectionModel(cv2.dnn.readNetFromDarknet(said["files"]["cfg"], said["files"]["weights"]))
model.setInputParams(scale=1 / 255, size=tuple(reversed(said["hw"])), swapRB=True)
model.setNmsAcrossClasses(False)


def boxes(found: tuple[object, ...]) -> list[Box]:
    """Its boxes are x, y, width, height."""
    return [(c, s, x, y, x + w, y + h) for c, s, (x, y, w, h) in zip(*found)]  # type: ignore[misc]


serve(
    lambda picture: model.detect(picture, said["conf"], said["iou"]), boxes, np.load(said["pictures"]), cv2.__version__
)
