"""The basic types: frozen, numpy only, no I/O.

A `Frame` comes out of a source; `Geometry` remembers how it was put into the network's input;
`Detections` is what a sink gets. `Model` describes a graph: its `Input` and its heads.

Coordinates: `xyxy` are floats in pixels of the image, x right, y down, (0, 0) the top-left corner
of the top-left pixel, so a box over the whole image is (0, 0, width, height).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from .errors import BadModel, UnknownName
from .options.choices import RESIZES
from .system.deprecation import RenamedAttribute

Array = np.ndarray
LETTERBOXES = ("darknet", "ultralytics", "yolox")


@dataclass(frozen=True)
class Stream:
    """The stream that frames come from.

    `name` is what results are filed under: a path, or a URL without its credentials. `kind` is "image"
    (one image), "video" (a file: every frame counts) or "live" (a camera or network stream: only the
    newest frame counts). `frames` is the expected number of frames, None when unknown. `pixel_aspect` is a
    pixel's width by its height where it is not square.
    """

    name: str
    kind: str = "image"
    fps: Optional[float] = None
    frames: Optional[int] = None
    pixel_aspect: Optional[Fraction] = None


@dataclass(frozen=True)
class Frame:
    """One image: (H, W, 3) uint8 BGR (OpenCV's order), C-contiguous, upright.

    `index` counts from 0 within its stream, in frames of the stream (a stride leaves gaps).
    `pts_s` is the presentation time in seconds, None for a still image.
    """

    image: Array
    stream: Stream = field(default=Stream("image"))
    index: int = 0
    pts_s: Optional[float] = None

    @property
    def hw(self) -> Tuple[int, int]:
        """Height and width in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])


@dataclass(frozen=True)
class Geometry:
    """The place of an image in the network's input: network_xy = image_xy * scale_xy + offset_xy.

    Kept from the forward step, never worked out a second time: the inverse is exact by construction.
    """

    scale_xy: Tuple[float, float]
    offset_xy: Tuple[float, float]
    image_hw: Tuple[int, int]
    picture_hw = RenamedAttribute("image_hw", remove_in="0.3")
    to_picture = RenamedAttribute("to_image", remove_in="0.3")

    def to_image(self, xyxy: Array) -> Array:
        """Boxes (N, 4) in network pixels -> (N, 4) float32 image pixels, clipped to the image."""
        scale = np.array(self.scale_xy * 2, np.float32)
        offset = np.array(self.offset_xy * 2, np.float32)
        height, width = self.image_hw
        boxes: Array = (np.asarray(xyxy, np.float32) - offset) / scale
        limit = np.array((width, height, width, height), np.float32)
        clipped: Array = np.clip(boxes, np.float32(0), limit)
        return clipped

    def to_network(self, xyxy: Array) -> Array:
        """Boxes (N, 4) in image pixels -> (N, 4) float32 network pixels."""
        scale = np.array(self.scale_xy * 2, np.float32)
        offset = np.array(self.offset_xy * 2, np.float32)
        boxes: Array = np.asarray(xyxy, np.float32) * scale + offset
        return boxes


@dataclass(frozen=True)
class Detections:
    """The detections of one image, by column, highest score first.

    `xyxy` (N, 4) float32 image pixels; `scores` (N,) float32 in 0..1; `class_ids` (N,) int32;
    `labels` the model's names, indexed by class id. Index with an int, slice, mask or index array to
    get fewer rows; iterate for `Detection` rows.
    """

    xyxy: Array
    scores: Array
    class_ids: Array
    labels: Tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.xyxy.shape != (n, 4) or self.class_ids.shape != (n,):
            raise ValueError(
                f"columns differ: xyxy {self.xyxy.shape}, scores {self.scores.shape}, class_ids {self.class_ids.shape}"
            )

    @classmethod
    def empty(cls, labels: Sequence[str] = ()) -> Detections:
        """No rows."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), tuple(labels))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Any) -> Detections:
        if isinstance(rows, (int, np.integer)):
            rows = [rows]
        return Detections(self.xyxy[rows], self.scores[rows], self.class_ids[rows], self.labels)

    def __iter__(self) -> Iterator[Detection]:
        for box, score, class_id in zip(self.xyxy, self.scores, self.class_ids):
            x0, y0, x1, y1 = (float(v) for v in box)
            yield Detection((x0, y0, x1, y1), float(score), int(class_id), self.label(int(class_id)))

    def label(self, class_id: int) -> str:
        """The name of a class id."""
        return self.labels[class_id] if class_id < len(self.labels) else f"class{class_id}"

    def counted(self) -> List[str]:
        """The labels that the image counts for: each box's."""
        return [self.label(int(i)) for i in self.class_ids]


@dataclass(frozen=True)
class Detection:
    """One row of `Detections`: box in image pixels, score in 0..1, class id and its name."""

    xyxy: Tuple[float, float, float, float]
    score: float
    class_id: int
    label: str


@dataclass(frozen=True)
class Classes:
    """The result of a classifier for one image: the best classes, highest score first.

    `scores` (K,) float32 in 0..1; `class_ids` (K,) int32; `labels` the model's names by class id.
    """

    scores: Array
    class_ids: Array
    labels: Tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.scores)

    def label(self, class_id: int) -> str:
        """The name of a class id."""
        return self.labels[class_id] if class_id < len(self.labels) else f"class{class_id}"

    def counted(self) -> List[str]:
        """The labels that the image counts for: the best one."""
        return [self.label(int(i)) for i in self.class_ids[:1]]


Result = Union[Detections, Classes]


@dataclass(frozen=True)
class Input:
    """The network's input, (1, 3, height, width) float32, and how an image becomes it.

    `resize`: "darknet" and "stretch" ignore the aspect ratio, the one sampling from corner pixel to corner
    pixel as darknet does, the other from pixel centre to pixel centre as OpenCV does; "letterbox" keeps it
    and pads with grey; "crop" scales the short side and cuts the centre (darknet's classifiers). `letterbox`
    says whose letterbox it is: the grey, the image's place in it and the rounding (see `preprocess`). `colour`
    is the channel order the graph was trained on, "rgb" or "bgr". value = (byte * `scale` - `mean`) / `std`.
    """

    hw: Tuple[int, int]
    resize: str = "darknet"
    colour: str = "rgb"
    scale: float = 1 / 255
    mean: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: int = 3
    letterbox: str = "darknet"

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise UnknownName("resize mode", self.resize, RESIZES)
        if self.letterbox not in LETTERBOXES:
            raise UnknownName("letterbox", self.letterbox, LETTERBOXES)
        if self.colour not in ("rgb", "bgr"):
            raise UnknownName("colour order", self.colour, ("rgb", "bgr"))
        # Images have 1 or 3 channels; a second stage reads a column of samples, 1 x 1.
        odd = self.channels not in (1, 3) and self.hw != (1, 1)
        if min(self.hw) < 1 or odd or self.scale <= 0 or min(self.std) <= 0:
            raise BadModel(f"an input has sides, 1 or 3 channels, a scale and a std above 0; found {self}")


@dataclass(frozen=True)
class Yolo:
    """A darknet YOLO head: output `name`, (1, A * (5 + classes), H, W), anchor-major [x, y, w, h, obj, ...].

    `anchors_wh` are pixels of the network's input, `mask` their places in the cfg's list.
    x = (col + s * sigmoid(tx) - (s - 1) / 2) * input_w / W with s = `scale_xy`, w = exp(tw) * anchor_w.
    `stride` is input_w / W rounded, for people. With `new_coords` (Scaled-YOLOv4) the graph has applied the
    sigmoid itself and w = (2 * tw)^2 * anchor_w. Source: YOLOv3 paper 2.1; darknet yolo_layer.c.
    """

    kind = "yolo"
    nms_free = False
    name: str
    classes: int
    stride: int
    anchors_wh: Tuple[Tuple[float, float], ...]
    scale_xy: float = 1.0
    new_coords: bool = False
    mask: Tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.classes < 1 or self.stride < 1 or not self.anchors_wh or self.scale_xy <= 0:
            raise BadModel(f"head {self.name!r} needs classes, a stride, anchors and a scale_xy above 0")
        if not all(0 < side <= 1e6 for anchor in self.anchors_wh for side in anchor):
            raise BadModel(f"head {self.name!r} has an anchor of an invalid size: {self.anchors_wh[:9]}")


@dataclass(frozen=True)
class AnchorFree:
    """YOLOX's head: output `name`, (1, N, 5 + classes), rows [x, y, w, h, obj, class ...].

    The rows are the cells of every stride in turn, row by row. x = (col + tx) * stride, w = exp(tw) * stride in
    network pixels; the graph has applied the sigmoid to obj and the classes. With `multi_label` a row gives a box for
    every class that passes, else for its best class alone. Source: YOLOX, `decode_outputs`.
    """

    kind = "anchor-free"
    nms_free = False
    name: str
    classes: int
    strides: Tuple[int, ...] = (8, 16, 32)
    multi_label: bool = False


def _check_layout(box: str) -> None:
    if box not in ("xywh", "xyxy"):
        raise UnknownName("box layout", box, ("xywh", "xyxy"))


@dataclass(frozen=True)
class Decoded:
    """Boxes that the graph itself has decoded: output `name`, (1, N, 4 + classes), rows [box, class ...].

    `box`: "xywh" (centre and size) or "xyxy", in network pixels, or in 0..1 of the input's sides with `relative`.
    With `objectness` a row is [box, obj, class ...] and a score obj * class; with `channels_first` the output
    is (1, 4 + classes, N). All scores are in 0..1. With `multi_label` a row gives a box for every class that passes,
    else for its best class alone, as the predictors of YOLOv5 to v12, YOLOX and pytorch-YOLOv4 do.
    """

    kind = "decoded"
    nms_free = False
    name: str
    classes: int
    box: str = "xywh"
    objectness: bool = False
    channels_first: bool = False
    relative: bool = False
    multi_label: bool = False

    def __post_init__(self) -> None:
        _check_layout(self.box)


@dataclass(frozen=True)
class EndToEnd:
    """Boxes that need no suppression: output `name`, (1, N, 6), rows [box, score, class].

    `box` and `relative` are as of `Decoded`; rows that hold nothing have a score near 0. Source: YOLOv10's one-to-one
    head (corners in network pixels); ultralytics' RT-DETR (centre and size, relative).
    """

    kind = "end-to-end"
    nms_free = True
    name: str
    classes: int
    box: str = "xyxy"
    relative: bool = False

    def __post_init__(self) -> None:
        _check_layout(self.box)


@dataclass(frozen=True)
class Scores:
    """A classifier's output `name`, (1, classes) or (1, classes, 1, 1).

    `softmax` says that the values are logits and a softmax is still to be applied.
    """

    kind = "scores"
    nms_free = True
    name: str
    classes: int
    softmax: bool = False


@dataclass(frozen=True)
class Raw:
    """An output `name` that a later step reads and that is no box yet: a detector's of two stages.

    `stride` is input pixels per place of a map (0: not a map), `anchors_wh` the boxes tried at each place, in
    input pixels.
    """

    kind = "raw"
    nms_free = False
    name: str
    classes: int
    stride: int = 0
    anchors_wh: Tuple[Tuple[float, float], ...] = ()


Head = Union[Yolo, AnchorFree, Decoded, EndToEnd, Scores, Raw]
HEADS = {cls.kind: cls for cls in (Yolo, AnchorFree, Decoded, EndToEnd, Scores, Raw)}


@dataclass(frozen=True)
class Model:
    """A graph and everything needed to use it.

    `onnx` is the serialised ONNX file: its single input is `Input`, its outputs are the heads, in order.
    `conf` and `iou` are the thresholds it was meant to be run at; with `nms_beta` above 0, suppression goes
    by IoU - (d / c)^nms_beta instead of IoU (see `nms`). `origin` says where the weights came
    from: {"source": ..., "sha256": ..., "licence": ...}; {"weights": "random"} marks a timing dummy. A
    detector of two stages carries the graph of its `second` inside (see `two_stage`).
    """

    name: str
    input: Input
    heads: Tuple[Head, ...]
    labels: Tuple[str, ...]
    conf: float = 0.25
    iou: float = 0.45
    nms_beta: float = 0.0
    origin: Dict[str, str] = field(default_factory=dict)
    second: Optional[Model] = None
    onnx: bytes = field(default=b"", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.heads:
            raise BadModel(f"model {self.name!r} has no head")
        classes = {head.classes for head in self.heads}
        if len(classes) > 1:
            raise BadModel(f"model {self.name!r} has heads of {sorted(classes)} classes; they must agree")
        if len(self.labels) != self.heads[0].classes:
            raise BadModel(
                f"model {self.name!r} has {self.heads[0].classes} classes and {len(self.labels)} labels; "
                "give as many names as classes"
            )
        if not (0 <= self.conf <= 1 and 0 <= self.iou <= 1 and 0 <= self.nms_beta <= 100):
            raise BadModel(f"model {self.name!r} has conf {self.conf:g}, iou {self.iou:g}, nms_beta {self.nms_beta:g}")

    @property
    def task(self) -> str:
        """ "detect" or "classify"."""
        return "classify" if isinstance(self.heads[0], Scores) else "detect"

    @property
    def nms_free(self) -> bool:
        """Whether its boxes come without duplicates, so that suppression is left out."""
        return all(head.nms_free for head in self.heads)

    def class_ids(self, names: Sequence[str]) -> List[int]:
        """Class ids for names or numbers; raises `UnknownName` for what the model does not know."""
        ids = []
        by_name = {label.lower(): i for i, label in reversed(list(enumerate(self.labels)))}
        for word in names:
            key = word.strip().lower()
            if key in by_name:
                ids.append(by_name[key])
            elif key.isdecimal() and int(key) < len(self.labels):
                ids.append(int(key))
            else:
                raise UnknownName(f"class of {self.name}", word.strip(), by_name)
        return ids
