"""The basic types: frozen, numpy only, no I/O.

A `Frame` comes out of a source; `Geometry` remembers how it was put into the network's input;
`Detections` is what a sink gets. `Model` describes a graph: its `Input` and its heads (kinds: `processing/heads`).

Coordinates: `xyxy` are floats in pixels of the image, x right, y down, (0, 0) the top-left corner
of the top-left pixel, so a box over the whole image is (0, 0, width, height).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterator, List, Optional, Sequence, Tuple, Type

import numpy as np

from .errors import BadModel, UnknownName, UsageError
from .options.choices import RESIZES
from .system.deprecation import RenamedAttribute, moved_names

if TYPE_CHECKING:
    from typing_extensions import Self  # which type checkers bring
else:  # for them a module with __getattr__ would have every name
    __getattr__ = moved_names(__name__, "edgecsp.processing.heads", remove_in="0.3", modules={
        "Yolo": "yolo", "AnchorFree": "anchor_free", "Decoded": "decoded", "EndToEnd": "end_to_end",
        "Scores": "scores", "Raw": "two_stage",
    })  # fmt: skip

Array = np.ndarray
LETTERBOXES = ("darknet", "ultralytics", "yolox")


@dataclass(frozen=True)
class Stream:
    """The stream that frames come from.

    `name` is what results are filed under: a path, or a URL without its credentials. `kind` is "image" (one image),
    "video" (a file: every frame counts) or "live" (a camera or network stream: the newest frame alone counts).
    `frames` is their expected number, None when unknown; `pixel_aspect` a pixel's width by height if not square.
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


class Result:
    """The result of one image, by column, highest score first; each task has a class of its own.

    `scores` (N,) float32 in 0..1; `class_ids` (N,) int32; `labels` the model's names by class id. `task` is the name
    of the task; `key` and `row_fields` are what `to_rows` is called and has in JSON; `has_boxes` says whether a
    row is a box of the image, or speaks of the whole image.
    """

    task: ClassVar[str]
    key: ClassVar[str]
    row_fields: ClassVar[Tuple[str, ...]] = ("class_id", "label", "score")
    has_boxes: ClassVar[bool]
    scores: Array
    class_ids: Array
    labels: Tuple[str, ...]

    @classmethod
    def empty(cls, labels: Sequence[str] = ()) -> Self:
        """No rows."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.scores)

    def label(self, class_id: int) -> str:
        """The name of a class id."""
        return self.labels[class_id] if class_id < len(self.labels) else f"class{class_id}"

    def to_rows(self) -> List[Dict[str, Any]]:
        """Convert to rows for JSON, of `row_fields` each: scores to five decimals, pixels to two."""
        return [
            {"class_id": int(i), "label": self.label(int(i)), "score": round(float(score), 5)}
            for i, score in zip(self.class_ids, self.scores)
        ]

    def columns(self) -> Dict[str, Any]:
        """Convert to columns by the names that tensors of an answer have."""
        labels = [self.label(int(i)) for i in self.class_ids]
        return {"scores": self.scores, "class_ids": self.class_ids, "labels": labels}

    def counted(self) -> List[str]:
        """The labels that the image counts for."""
        return [self.label(int(i)) for i in self.regions()[1]]

    def regions(self) -> Tuple[Array, Array]:
        """Regions (N, 4) xyxy that the image counts for, and their class ids (N,): what two results are compared by."""
        raise NotImplementedError

    def scaled(self, scale: float) -> Self:
        """The result of the image at another size, `scale` times as large."""
        return self

    def headline(self) -> str:
        """One line for a terminal; "" for boxes, which are drawn."""
        return ""

    def require_boxes(self, problem: str = "a classifier's result has no boxes") -> Detections:
        """Return it, for what needs boxes. Raises `UsageError` with `problem` where there are none."""
        raise UsageError(problem)


@dataclass(frozen=True)
class Detections(Result):
    """The detections of one image, by column, highest score first.

    `xyxy` (N, 4) float32 image pixels; `scores` (N,) float32 in 0..1; `class_ids` (N,) int32;
    `labels` the model's names, indexed by class id. Index with an int, slice, mask or index array to
    get fewer rows; iterate for `Detection` rows.
    """

    task = "detect"
    key = "detections"
    row_fields = (*Result.row_fields, "xyxy")
    has_boxes = True
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
    def empty(cls, labels: Sequence[str] = ()) -> Self:
        """No rows."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), tuple(labels))

    def __getitem__(self, rows: Any) -> Detections:
        if isinstance(rows, (int, np.integer)):
            rows = [rows]
        return Detections(self.xyxy[rows], self.scores[rows], self.class_ids[rows], self.labels)

    def __iter__(self) -> Iterator[Detection]:
        for box, score, class_id in zip(self.xyxy, self.scores, self.class_ids):
            x0, y0, x1, y1 = (float(v) for v in box)
            yield Detection((x0, y0, x1, y1), float(score), int(class_id), self.label(int(class_id)))

    def to_rows(self) -> List[Dict[str, Any]]:
        """Convert to rows for JSON: {class_id, label, score, xyxy} each."""
        xyxy = [[round(v, 2) for v in box] for box in self.xyxy.tolist()]
        return [{**row, "xyxy": box} for row, box in zip(super().to_rows(), xyxy)]

    def columns(self) -> Dict[str, Any]:
        """Convert to columns: boxes (N, 4), scores, class_ids, labels."""
        return {"boxes": self.xyxy, **super().columns()}

    def regions(self) -> Tuple[Array, Array]:
        """Each box and its class id."""
        return self.xyxy, self.class_ids

    def scaled(self, scale: float) -> Self:
        """The detections of the image at another size."""
        return replace(self, xyxy=self.xyxy * np.float32(scale))

    def require_boxes(self, problem: str = "") -> Detections:
        """Return it: it has boxes."""
        return self


@dataclass(frozen=True)
class Detection:
    """One row of `Detections`: box in image pixels, score in 0..1, class id and its name."""

    xyxy: Tuple[float, float, float, float]
    score: float
    class_id: int
    label: str


@dataclass(frozen=True)
class Classes(Result):
    """The result of a classifier for one image: the best classes, highest score first."""

    task = "classify"
    key = "classes"
    has_boxes = False
    scores: Array
    class_ids: Array
    labels: Tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def empty(cls, labels: Sequence[str] = ()) -> Self:
        """No rows."""
        return cls(np.zeros(0, np.float32), np.zeros(0, np.int32), tuple(labels))

    def regions(self) -> Tuple[Array, Array]:
        """The best class, and for its region the whole image as a unit square."""
        best = self.class_ids[:1]
        return np.array([(0, 0, 1, 1)] * len(best), np.float32).reshape(-1, 4), best

    def headline(self) -> str:
        """The classes and their scores."""
        return ", ".join(f"{self.label(int(i))} {score:.3f}" for i, score in zip(self.class_ids, self.scores))


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
class Head:
    """One raw output of the network, `name`, of `classes` classes. A kind of head is a class in `processing/heads`.

    `kind` names it in files, where its fields are its metadata; `result` is the class of what it gives; `nms_free`
    says that its boxes have no duplicates, `is_resizable` that the network may take images of another size.
    Methods take `options.Thresholds`.
    """

    kind: ClassVar[str]
    result: ClassVar[Type[Result]] = Detections
    nms_free: ClassVar[bool] = False
    is_resizable: ClassVar[bool] = True
    name: str
    classes: int

    @property
    def shape(self) -> Tuple[int, ...]:
        """The first sides of the output that it reads, 0 being any; () for an output of any shape."""
        return ()

    @property
    def background(self) -> float:
        """A value that holds no object wherever the output has it."""
        return 0.0

    def detect(self, model: Model, outputs: Sequence[Array], options: Any) -> Any:
        """Outputs of one image -> `Candidates` that were selected, best first; none where the result has no boxes."""
        raise NotImplementedError

    def finish(self, model: Model, outputs: Sequence[Array], geometry: Geometry, options: Any) -> Result:
        """Outputs of one image -> its result. A model's first head is asked, for all of its heads."""
        raise NotImplementedError


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
        return self.result.task

    @property
    def result(self) -> Type[Result]:
        """The class of its results."""
        return self.heads[0].result

    @property
    def has_boxes(self) -> bool:
        """Whether its results are boxes."""
        return self.result.has_boxes

    def require_boxes(self, problem: str) -> None:
        """Raise `UsageError` with `problem` where its results are no boxes."""
        if not self.has_boxes:
            raise UsageError(problem)

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
