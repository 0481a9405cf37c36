"""ultralytics' predictor on an ONNX that ultralytics exported. Licensed AGPL-3.0: it stays in its own environment.

    with_ultralytics.py --make FILE.onnx PICTURES.npy      export yolov8n first

No weights of theirs are at hand, so they are random, seeded, and the bias of the classes is moved until some hundred
candidates of the fullest picture pass the threshold: as much work behind the network as in a crowded street.
"""

from __future__ import annotations

import os
import sys
from typing import Any, List

os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")

import numpy as np
import ultralytics
from serve import Box, asked, serve
from ultralytics.nn.autobackend import AutoBackend

CANDIDATES = 300  # whose score is at the threshold or above, in the fullest picture
SIDE = 640


def make(target: str, pictures: Any) -> None:
    """Export yolov8n with seeded weights."""
    import cv2
    import torch

    torch.manual_seed(0)
    model = ultralytics.YOLO("yolov8n.yaml")
    small = np.stack([cv2.resize(picture, (SIDE, SIDE))[:, :, ::-1] for picture in pictures])
    batch = torch.from_numpy(small.transpose(0, 3, 1, 2).copy()).float() / 255
    network = model.model
    network.train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the plain mean of what it sees
    with torch.no_grad():
        for _ in range(2):  # the batch-norms get to know pictures, those behind others once these do
            network(batch)
        network.eval()
        scores = network(batch)[0][:, 4:].amax(1)
        logits = torch.logit(scores.clamp(1e-7, 1 - 1e-7))
        shift = torch.logit(torch.tensor(0.25)) - logits.sort(1, descending=True).values[:, CANDIDATES].max()
        for branch in network.model[-1].cv3:
            branch[-1].bias += shift
    exported = model.export(format="onnx", imgsz=SIDE, opset=13, simplify=False)
    os.replace(exported, target)


def boxes(found: Any) -> List[Box]:
    """As all say them."""
    rows = found[0].boxes.data.cpu().numpy()
    return [(row[5], row[4], *row[:4]) for row in rows]


if sys.argv[1] == "--make":
    make(sys.argv[2], np.load(sys.argv[3]))
else:
    said, version = asked(), ultralytics.__version__
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # there is no CPU build of it here, and ultralytics has an NMS of its own for that
        sys.modules.pop("torchvision", None)
        AutoBackend.warmup = lambda *_, **__: None  # on a CPU it does nothing but import torchvision
        version += ", its own NMS"
    model = ultralytics.YOLO(said["files"]["onnx"], task="detect")
    how = {"conf": said["conf"], "iou": said["iou"], "imgsz": said["side"], "verbose": False, "device": "cpu"}
    serve(lambda picture: model.predict(picture, **how), boxes, list(np.load(said["pictures"])), version)
