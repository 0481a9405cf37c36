"""Subjects that edgecsp and its peers are timed with: models, in the files that each peer reads, and eight images.

Peers that read no darknet network get a YOLOv8n of as many BFLOPs in its place (`yolov8n`).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union, cast

import av
import cv2
import numpy as np

import edgecsp
from edgecsp import backends, zoo
from edgecsp.backends import registry
from edgecsp.errors import CalibrationError
from edgecsp.graph import onnx_model, precision
from edgecsp.graph.export import RandomWeights, Weights
from edgecsp.graph.layers import Net, Tensor
from edgecsp.importers import darknet
from edgecsp.importers.darknet import writing
from edgecsp.processing import decode, nms, preprocess
from edgecsp.processing.heads.yolo import Yolo
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
SOME = 5 * COUNT  # and a model with random weights


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
        elif name in zoo.names() or (DATA / "weights" / f"{name}.weights").is_file():
            subject = _codes(name, folder, alone) if name == "codes" else _darknet(name, folder, alone)
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
    """darknet's own files, and the ONNX that edgecsp makes of them, stretched as OpenCV does.

    A zoo model whose weights are not here gets random ones, and none in int8.
    """
    weights, cfg = DATA.resolve() / "weights" / f"{name}.weights", DATA.resolve() / "weights" / f"{name}.cfg"
    cfg = cfg if cfg.is_file() else REPO / "tests" / "data" / f"{name}.cfg"
    is_random = not weights.is_file()
    if is_random:
        cfg, weights = folder / f"{name}.cfg", folder / f"{name}.weights"
        entry = zoo.get(name)
        writing.write(entry.net(), _find_some(name, frames(folder)), entry.anchors, cfg, weights)
    imported = darknet.load(cfg, weights, resize="stretch")

    def batches() -> Iterator[Array]:
        for path in image_paths():
            image = cv2.imread(str(path))
            assert image is not None, f"{path} cannot be read"
            for each in (image, np.ascontiguousarray(image[:, ::-1])):
                yield preprocess.prepare(each, imported.model.input)[0]

    files = {
        **_files(imported.model, folder, name, None if alone or is_random else batches()),
        "cfg": str(cfg),
        "weights": str(weights),
    }
    origin, more = "random" if is_random else "real", _describe_heads(imported.net, imported.model)
    return _subject(
        name, "darknet", files, imported.model.input.hw, imported.net.bflops, origin, frames(folder), **more
    )


def _yolo_heads(net: Net) -> List[Tuple[Tensor, Yolo]]:
    """The heads of a network, which darknet's files can hold: they are all YOLO's."""
    return [(tensor, cast(Yolo, head)) for tensor, head in net.heads]


class _ShiftedWeights:
    """Random weights whose heads' objectness is moved by `shift`, so that other numbers of boxes are found."""

    def __init__(self, net: Net, shift: float) -> None:
        self._random, self._shift = RandomWeights(0), shift
        self._heads = {f"layer {tensor.layer}": head for tensor, head in _yolo_heads(net)}

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """The next values, as `Weights` asks for them."""
        values = self._random.take(part, shape, at)
        if part == "bias" and at in self._heads:
            each = shape[0] // len(self._heads[at].anchors_wh)
            values = values.copy()
            values[4::each] += self._shift
        return values


def _find_some(name: str, images: Path) -> Weights:
    """Random weights with which about `SOME` boxes are found: what follows the network has as much to do."""
    net, model = zoo.get(name).net(), store.random(name)
    heads = [head for _, head in _yolo_heads(net)]
    hw = model.input.hw
    with contextlib.closing(backends.open(model, "ort")) as session:
        raw = [session.run(preprocess.prepare(image, model.input)[0]) for image in np.load(images)]

    def count(shift: float) -> int:
        boxes = 0
        for outputs in raw:
            moved = [output.copy() for output in outputs]
            for output, head in zip(moved, heads):
                output[:, 4 :: output.shape[1] // len(head.anchors_wh)] += shift
            candidates = decode.boxes(heads, moved, hw, CONF)
            if len(candidates.scores) > 100 * SOME:  # far too many, and NMS takes seconds
                return len(candidates.scores)
            boxes += len(nms.keep(candidates, IOU, input_hw=hw))
        return boxes

    low, high = -20.0, 20.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) < SOME else (low, middle)
    return _ShiftedWeights(net, high)


def _describe_heads(net: Net, model: Model) -> Dict[str, Any]:
    """What a hand-written decoder must know; each head's place in the list of all anchors is its mask."""
    heads = [head for _, head in _yolo_heads(net)]
    anchors = [tuple(wh) for head in heads for wh in head.anchors_wh]
    first = np.cumsum([0, *(len(head.anchors_wh) for head in heads)])
    return {
        "anchors": anchors,
        "masks": [list(range(begin, end)) for begin, end in zip(first[:-1].tolist(), first[1:].tolist())],
        "scale_xy": [head.scale_xy for head in heads],
        "strides": [head.stride for head in heads],
        "classes": len(model.labels),
    }


def _codes(name: str, folder: Path, alone: bool) -> Subject:
    """The bundled model, and the same as darknet's files; its int8 ranges are those of `calib`."""
    entry, model = zoo.get(name), store.resolve(name)
    cfg, weights = folder / f"{name}.cfg", folder / f"{name}.weights"
    assert entry.bundled is not None
    writing.write(entry.net(), PackedWeights(entry.bundled), entry.anchors, cfg, weights)
    ranges = None if alone else precision.load(REPO / "calib" / "codes.json")
    files = {**_files(model, folder, name, ranges), "cfg": str(cfg), "weights": str(weights)}
    hw, bflops, more = model.input.hw, entry.cost().bflops, _describe_heads(entry.net(), model)
    return _subject(name, "darknet", files, hw, bflops, "real", frames(folder, name), **more)


def _files(
    model: Model, folder: Path, name: str, ranges: Union[precision.Ranges, Iterator[Array], None]
) -> Dict[str, str]:
    """A model's files: for ncnn, ONNX in fp32 and, with its ranges or images enough to measure them on, in int8."""
    models = {"onnx": model}
    try:
        if ranges is not None:
            known = ranges if isinstance(ranges, precision.Ranges) else precision.measure_ranges(model, ranges)
            models["int8"] = precision.with_ranges(model, known)
    except CalibrationError as error:
        print(f"{name} in int8 is left out: {error}")
    files = {kind: folder / f"{name}-{kind}.onnx" for kind in models}
    for kind, each in models.items():
        onnx_model.save(each, files[kind])
    for suffix, data in registry.find("ncnn").to_files(model).items():
        path = files[suffix.rpartition(".")[2]] = folder / f"{name}{suffix}"
        path.write_bytes(data)
    return {kind: str(path) for kind, path in files.items()}


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
    files = {"onnx": str(target)}
    if (folder_of_openvino := target.with_name(f"{target.stem}_openvino_model")).is_dir():
        files["openvino"] = str(folder_of_openvino)
    return _subject("yolov8n", "yolov8", files, hw, bflops, "random", images)
