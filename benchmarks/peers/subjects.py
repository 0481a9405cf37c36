"""What edgecsp and its peers are timed with: two models, each in the files that everybody reads, and eight pictures."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import cv2
import numpy as np

from edgecsp import darknet, onnx_model, zoo

from ..pictures import DATA, pictures

CONF, IOU = 0.25, 0.45
HW, COUNT = (720, 1280), 8
REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Subject:
    """A model: `kind` says what a hand-written decoder must do, `request` is what every script is told."""

    name: str
    kind: str
    about: str
    request: Dict[str, Any]


def frames(folder: Path) -> Path:
    """The pictures, as cameras give them: a file of (8, 720, 1280, 3) uint8 BGR."""
    found: List[Any] = []
    for path in (pictures() * COUNT)[:COUNT]:
        image = cv2.imread(str(path))
        found.append(cv2.resize(image, HW[::-1], interpolation=cv2.INTER_AREA))
    target = folder / "pictures.npy"
    np.save(target, np.stack(found))
    return target


def subjects(names: Sequence[str], folder: Path, shown: Path, able: Sequence[Any]) -> Iterator[Subject]:
    """The models that can be had here; what is left out is said."""
    for name in names:
        if name == "yolov8n":
            made = _yolov8n(folder, shown, next(peer for peer in able if peer.name == "ultralytics"))
        elif (DATA / "weights" / f"{name}.weights").is_file():
            made = _darknet(name, folder)
        else:
            print(f"{name}: no weights at {DATA / 'weights'}, left out (EDGECSP_TEST_DATA names another folder)")
            continue
        if made:
            yield Subject(made.name, made.kind, made.about, {**made.request, "pictures": str(shown), "kind": made.kind})


def _darknet(name: str, folder: Path) -> Any:
    """darknet's own files, and the ONNX that edgecsp makes of them, stretched as OpenCV does."""
    weights, cfg = DATA.resolve() / "weights" / f"{name}.weights", DATA.resolve() / "weights" / f"{name}.cfg"
    cfg = cfg if cfg.is_file() else REPO / "tests" / "data" / f"{name}.cfg"
    model = darknet.load(cfg, weights, resize="stretch").model
    target = folder / f"{name}.onnx"
    onnx_model.save(model, target)
    files = {"onnx": str(target), "cfg": str(cfg), "weights": str(weights)}
    request: Dict[str, Any] = {"files": files, "side": model.input.hw[0]}
    if name in zoo.names():
        request.update(masks=zoo.get(name).masks, anchors=zoo.get(name).anchors)
    return Subject(name, "darknet", f"{model.input.hw[1]}x{model.input.hw[0]}, real weights", request)


def _yolov8n(folder: Path, shown: Path, peer: Any) -> Any:
    """An export by ultralytics itself."""
    if peer.lacks:
        print(f"yolov8n: {peer.lacks}; left out")
        return None
    target = folder / "yolov8n.onnx"
    command = [peer.python, str(Path(__file__).with_name(peer.script)), "--make", str(target), str(shown)]
    env = {**os.environ, "YOLO_CONFIG_DIR": str(folder), "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ultralytics exported nothing: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return Subject("yolov8n", "yolov8", "640x640, random weights", {"files": {"onnx": str(target)}, "side": 640})
