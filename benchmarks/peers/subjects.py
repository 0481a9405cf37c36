"""Subjects that edgecsp and its peers are timed with: models, in the files that each peer reads, and eight images.

Peers that read no darknet network get a YOLOv8n of as many BFLOPs in its place (`yolov8n`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import av
import cv2
import numpy as np

import edgecsp
from edgecsp import zoo
from edgecsp.errors import CalibrationError
from edgecsp.graph import onnx_model, precision
from edgecsp.importers import darknet
from edgecsp.importers.darknet import writing
from edgecsp.processing import preprocess
from edgecsp.types import Array, Model
from edgecsp.zoo import store
from edgecsp.zoo._packed import PackedWeights

from ..images import DATA, image_paths
from . import yolov8n

CONF, IOU = 0.25, 0.45
HW, COUNT = (720, 1280), 8
REPO = Path(__file__).resolve().parents[2]
DEMO_VIDEO = REPO / "benchmarks" / "codes.mp4"
BUSY = 20 * COUNT  # boxes that the YOLOv8n of its own table is made to find


@dataclass(frozen=True)
class Subject:
    """A model: `kind` says what a hand-written decoder must do, `request` is what every script is told.

    `others` are for peers that cannot read this one.
    """

    name: str
    kind: str
    about: str
    request: Dict[str, Any]
    others: Tuple[Subject, ...] = ()

    def read_by(self, kinds: Sequence[str]) -> Optional[Subject]:
        """The model itself, or the one in its place when a peer of those kinds reads that alone; None for neither."""
        return next((each for each in (self, *self.others) if each.kind in kinds), None)


def frames(folder: Path, name: str = "") -> Path:
    """The images, as cameras give them: a file of (8, 720, 1280, 3) uint8 BGR; for codes such with codes."""
    target = folder / f"images{'-codes' if name == 'codes' else ''}.npy"
    if not target.is_file():
        images = (
            _codes_shown() if name == "codes" else (cv2.imread(str(path)) for path in (image_paths() * COUNT)[:COUNT])
        )
        np.save(target, np.stack([cv2.resize(image, HW[::-1], interpolation=cv2.INTER_AREA) for image in images]))
    return target


def _codes_shown() -> List[Array]:
    """Some frames of the video, as far apart as they can be."""
    with av.open(str(DEMO_VIDEO)) as container:
        every = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    return [every[i] for i in np.linspace(0, len(every) - 1, COUNT).astype(int)]


def subjects(names: Sequence[str], folder: Path, able: Sequence[Any], alone: bool = False) -> Iterator[Subject]:
    """The models that can be had here; what is left out is said. `alone`: in fp32, and none in their place."""
    ultralytics = next((peer for peer in able if peer.name == "ultralytics"), None)
    for name in names:
        images = frames(folder, name)
        if name == "yolov8n":
            subject = _yolov8n(folder, images, ultralytics, (640, 640), BUSY)
        elif name == "codes" or (DATA / "weights" / f"{name}.weights").is_file():
            subject = (_codes if name == "codes" else _darknet)(name, folder, alone)
            if not alone:
                other_hw = yolov8n.nearest(subject.request["bflops"])
                other = _yolov8n(folder, images, ultralytics, other_hw, _count_boxes(subject, images))
                subject = replace(subject, others=(other,) if other else ())
        else:
            print(f"{name}: no weights at {DATA / 'weights'}, left out (EDGECSP_TEST_DATA names another folder)")
            continue
        if subject:
            yield subject


def _subject(
    name: str,
    kind: str,
    files: Dict[str, str],
    hw: Tuple[int, int],
    bflops: float,
    weights: str,
    images: Path,
    **more: Any,
) -> Subject:
    request = {**more, "files": files, "hw": list(hw), "bflops": bflops, "images": str(images), "kind": kind}
    return Subject(name, kind, f"{hw[1]}x{hw[0]}, {bflops:.2f} BFLOPs, {weights} weights", request)


def _darknet(name: str, folder: Path, alone: bool) -> Subject:
    """darknet's own files, and the ONNX that edgecsp makes of them, stretched as OpenCV does."""
    weights, cfg = DATA.resolve() / "weights" / f"{name}.weights", DATA.resolve() / "weights" / f"{name}.cfg"
    cfg = cfg if cfg.is_file() else REPO / "tests" / "data" / f"{name}.cfg"
    imported = darknet.load(cfg, weights, resize="stretch")

    def batches() -> Iterator[Array]:
        for path in image_paths():
            image = cv2.imread(str(path))
            assert image is not None, f"{path} cannot be read"
            for each in (image, np.ascontiguousarray(image[:, ::-1])):
                yield preprocess.prepare(each, imported.model.input)[0]

    files = {
        **_onnx(imported.model, folder, name, None if alone else batches()),
        "cfg": str(cfg),
        "weights": str(weights),
    }
    more: Dict[str, Any] = {}
    if name in zoo.names():
        more.update(masks=zoo.get(name).masks, anchors=zoo.get(name).anchors)
    hw = imported.model.input.hw
    return _subject(name, "darknet", files, hw, imported.net.bflops, "real", frames(folder), **more)


def _codes(name: str, folder: Path, alone: bool) -> Subject:
    """The bundled model, and the same as darknet's files; its int8 ranges are those of `calib`."""
    entry, model = zoo.get(name), store.resolve(name)
    cfg, weights = folder / f"{name}.cfg", folder / f"{name}.weights"
    assert entry.bundled is not None
    writing.write(entry.net(), PackedWeights(entry.bundled), entry.anchors, cfg, weights)
    ranges = None if alone else precision.load(REPO / "calib" / "codes.json")
    files = {**_onnx(model, folder, name, ranges), "cfg": str(cfg), "weights": str(weights)}
    more = {"masks": entry.masks, "anchors": entry.anchors}
    hw, bflops = model.input.hw, entry.cost().bflops
    return _subject(name, "darknet", files, hw, bflops, "real", frames(folder, name), **more)


def _onnx(
    model: Model, folder: Path, name: str, ranges: Union[precision.Ranges, Iterator[Array], None]
) -> Dict[str, str]:
    """A model's file in fp32 and, with its ranges or images enough to measure them on, in int8."""
    models = {"onnx": model}
    try:
        if ranges is not None:
            known = ranges if isinstance(ranges, precision.Ranges) else precision.measure_ranges(model, ranges)
            models["int8"] = precision.with_ranges(model, known)
    except CalibrationError as error:
        print(f"{name} in int8 is left out: {error}")
    for kind, each in models.items():
        onnx_model.save(each, folder / f"{name}-{kind}.onnx")
    return {kind: str(folder / f"{name}-{kind}.onnx") for kind in models}


def _count_boxes(subject: Subject, images: Path) -> int:
    """How many boxes edgecsp finds in the images."""
    with edgecsp.load(subject.request["files"]["onnx"], "ort", conf=CONF, iou=IOU) as detector:
        return sum(len(detector(image)) for image in np.load(images))


def _yolov8n(folder: Path, images: Path, peer: Any, hw: Tuple[int, int], boxes: int) -> Optional[Subject]:
    """An export by ultralytics itself."""
    target = folder / f"yolov8n-{hw[1]}x{hw[0]}-{boxes}.onnx"
    lacks = "no ultralytics among the peers" if peer is None else peer.lacks
    if lacks:
        print(f"yolov8n: {lacks}; left out")
        return None
    bflops = yolov8n.exported(peer, target, images, hw, boxes, (CONF, IOU))
    return _subject("yolov8n", "yolov8", {"onnx": str(target)}, hw, bflops, "random", images)
