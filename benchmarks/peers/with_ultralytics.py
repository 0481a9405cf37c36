"""ultralytics' predictor on what ultralytics exported. Licensed AGPL-3.0: it stays in its own environment.

    with_ultralytics.py --make FILE.onnx IMAGES.npy HEIGHT WIDTH BOXES CONF IOU      export yolov8n, for OpenVINO too

No weights of theirs are available, so they are random, seeded, and the bias of the classes is moved until BOXES boxes
are found in the images: what stands behind the network then has as much work as behind the one it is compared with.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Any, List, Tuple

os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")

import numpy as np
import ultralytics
from serve import Box, read_request, serve
from ultralytics.nn.autobackend import AutoBackend


def make(target: str, images: Any, hw: Tuple[int, int], count: int, conf: float, iou: float) -> None:
    """Export yolov8n with seeded weights."""
    import torch
    from ultralytics.data.augment import LetterBox

    torch.manual_seed(0)
    model = ultralytics.YOLO("yolov8n.yaml")
    lay = LetterBox(hw, auto=False)
    laid = np.stack([lay(image=image)[:, :, ::-1] for image in images])
    batch = torch.from_numpy(laid.transpose(0, 3, 1, 2).copy()).float() / 255
    network = model.model
    network.train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the plain mean of what it sees
    with torch.no_grad():
        for _ in range(2):  # the batch-norms get to know images, those behind others once these do
            network(batch)
        network.eval()
        rows = network(batch)[0].double()
        shift = shifted(rows[:, :4].numpy(), torch.logit(rows[:, 4:], 1e-12).numpy(), count, conf, iou)
        for branch in network.model[-1].cv3:
            branch[-1].bias += shift
    exported = model.export(format="onnx", imgsz=list(hw), opset=13, simplify=False)
    os.replace(exported, target)
    if importlib.util.find_spec("openvino"):
        folder = target[: -len(".onnx")] + "_openvino_model"  # it knows the format by the end of the name
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(model.export(format="openvino", imgsz=list(hw)), folder)


def shifted(xywh: Any, logits: Any, target: int, conf: float, iou: float) -> float:
    """Offset of every class's logit at which about `target` boxes stay; (P, 4, N) and (P, C, N), P images."""
    import cv2

    corners = xywh.transpose(0, 2, 1).copy()
    corners[..., :2] -= corners[..., 2:] / 2
    classes, best = logits.argmax(1), logits.max(1)
    least = np.log(conf / (1 - conf))
    low, high = least - best.max(), least - np.sort(best)[:, -min(2000, best.shape[1])].min()
    for _ in range(30):
        middle, count = (low + high) / 2, 0
        for boxes, kinds, scores in zip(corners, classes, best + (middle - least)):
            near = scores > 0
            count += len(cv2.dnn.NMSBoxesBatched(boxes[near], scores[near], kinds[near], 0.0, iou)) if near.any() else 0
        low, high = (middle, high) if count < target else (low, middle)
    return float(high)


def boxes(results: Any) -> List[Box]:
    """Boxes in the form that all peers answer with."""
    rows = results[0].boxes.data.cpu().numpy()
    return [(row[5], row[4], *row[:4]) for row in rows]


if sys.argv[1] == "--make":
    height, width, box_count = map(int, sys.argv[4:7])
    make(sys.argv[2], np.load(sys.argv[3]), (height, width), box_count, *map(float, sys.argv[7:]))
else:
    request, version = read_request(), ultralytics.__version__
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # there is no CPU build of it here, and ultralytics has an NMS of its own for that
        sys.modules.pop("torchvision", None)
        AutoBackend.warmup = lambda *_, **__: None  # on a CPU it does nothing but import torchvision
        version += ", its own NMS"
    model = ultralytics.YOLO(request["files"][request["file"]], task="detect")
    how = {"conf": request["conf"], "iou": request["iou"], "imgsz": request["hw"], "verbose": False, "device": "cpu"}
    serve(lambda frame: model.predict(frame, **how), boxes, list(np.load(request["images"])), version)
