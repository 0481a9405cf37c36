"""A model: its input, its heads and what it knows of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple, Type

from ..errors import BadModel, UnknownName, UsageError
from ..options.choices import RESIZES
from .frames import Array, Geometry
from .names import find_class_ids
from .results import Detections, Result

LETTERBOXES = ("darknet", "ultralytics", "yolox", "imagenet", "mit", "yolonas", "mmdet")


@dataclass(frozen=True)
class Input:
    """The network's input, (1, 3, height, width) float32, and how an image becomes it.

    `resize`: "darknet" and "stretch" ignore the aspect ratio, the one sampling from corner pixel to corner
    pixel as darknet does, the other from pixel centre to pixel centre as OpenCV does; "letterbox" keeps it
    and pads with one colour; "crop" scales the short side and cuts the centre (darknet's classifiers). `letterbox`
    says whose letterbox it is: the colour, the image's place in it and the rounding (see `preprocess`). `colour`
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
        return find_class_ids(self.labels, names, f"class of {self.name}")
