"""The options of a detector, declared once: `edgecsp.load`, the command line, files and requests are made from them.

    @dataclass(frozen=True)
    class Thresholds:
        conf: Optional[float] = option(None, "confidence threshold", least=0, most=1)

A field is an option: its name is the keyword of `load`, `--max-det` its spelling on the command line, `max_det` its
key in files and its name in requests. `uses` says which options each entry point takes, and why not the others.
Nothing heavy is imported here: `edgecsp --help` reads it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple, Union

from ..errors import UsageError
from ..system.deprecation import RenamedAttribute
from .choices import BUNDLED_MODEL, MAX_PIXELS, REQUESTED_PRECISIONS, RESIZES
from .declaration import describe_mismatch, list_options, option

if TYPE_CHECKING:
    from ..types import Model

ModelSpec = Union[str, Path, "Model"]
Size = Union[int, Tuple[int, int]]
Names = Sequence[Union[str, int]]


@dataclass(frozen=True, init=False, repr=False, eq=False)
class EngineOptions:
    """A model, and how it is opened on an engine."""

    model: Optional[ModelSpec] = option(
        None, "a name (edgecsp models list), or an ONNX file", short="-m", default_help="codes"
    )
    engine: str = option("auto", "see: edgecsp engines", short="-e", about="engine that computes the network")
    weights: Optional[str] = option(None, "random: untrained weights, for timing; only for names")
    device: str = option("auto", "cpu, cuda, or another device of the engine")
    threads: Optional[int] = option(
        None, default_help="one per physical core", least=1, most=1024, about="threads that the engine computes with"
    )
    precision: Optional[str] = option(
        "auto", choices=REQUESTED_PRECISIONS,
        about="what the network computes in; auto: bf16 where CPU and engine compute it natively, else the graph's",
    )  # fmt: skip
    concurrency: int = option(1, "images that are computed side by side, if the engine can", least=1)
    accepts_uint8: bool = option(True, "give the engine an image's bytes, if it can scale them itself")


@dataclass(frozen=True, init=False, repr=False, eq=False)
class InputOptions:
    """Ways of making an image the network's input."""

    imgsz: Optional[Size] = option(
        None, "input size", typed="416 or HEIGHTxWIDTH", default_help="the model's", least=1, most=99999,
        about="size of the network's input: one side, or height and width",
    )  # fmt: skip
    resize: Optional[str] = option(
        None, default_help="the model's", choices=RESIZES, about="how an image is laid into the network's input"
    )
    max_pixels: Optional[int] = option(
        None, "pixel limit of an image, width x height", default_help=str(MAX_PIXELS), least=1
    )


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and filters for detections. None means the model's own value.

    `classes` keeps those classes alone: one or several, numbers, or names where a model is there to resolve them.
    `agnostic` lets boxes of different classes suppress each other; `plain_nms` goes by IoU alone whatever the model
    declares. Each may be set for a call, a stream and a request. Raises `UsageError` for a value out of its range.

    >>> Thresholds(conf=0.4, classes="qr")
    Thresholds(conf=0.4, iou=None, classes=('qr',), max_det=300, agnostic=False, plain_nms=False)
    >>> Thresholds(conf=40)
    Traceback (most recent call last):
    edgecsp.errors.UsageError: conf 40: a number from 0 to 1
    """

    conf: Optional[float] = option(None, "confidence threshold", default_help="the model's, 0.25", least=0, most=1)
    iou: Optional[float] = option(None, "NMS IoU threshold", default_help="the model's, 0.45", least=0, most=1)
    classes: Optional[Names] = option(
        None,
        "class names or numbers to detect",
        typed="person,car",
        about="detect these classes alone: names or numbers",
    )
    max_det: int = option(300, "maximum number of boxes per image", least=1)
    agnostic: bool = option(False, "boxes of different classes suppress each other", flag="--agnostic-nms")
    plain_nms: bool = option(False, "plain IoU NMS, ignoring the cfg's nms_kind")

    class_ids = RenamedAttribute("classes", remove_in="0.3")

    def __post_init__(self) -> None:
        if isinstance(self.classes, (str, int)):
            object.__setattr__(self, "classes", (self.classes,))
        check(self)


@dataclass(frozen=True)
class Options(Thresholds, InputOptions, EngineOptions):
    """All options of a detector, as `edgecsp.load` takes them. Raises `UsageError` for a value out of its range.

    >>> Options(model="codes", imgsz=416, conf=0.3).thresholds.conf
    0.3
    """

    @property
    def thresholds(self) -> Thresholds:
        """The options of each image's result."""
        return Thresholds(**{each.name: getattr(self, each.name) for each in dataclasses.fields(Thresholds)})

    @property
    def hw(self) -> Optional[Tuple[int, int]]:
        """The size of the network's input as (height, width); None for the model's."""
        return (self.imgsz, self.imgsz) if isinstance(self.imgsz, int) else self.imgsz

    @property
    def model_name(self) -> str:
        """The model as it was named, for messages."""
        return str(self.model or BUNDLED_MODEL)

    def to_keywords(self) -> Dict[str, Any]:
        """The options as keywords of `load`."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}


OPTIONS = list_options(Options)
THRESHOLDS = list_options(Thresholds)

if TYPE_CHECKING:
    from typing_extensions import TypedDict  # which type checkers bring

    class Changes(TypedDict, total=False):
        """Fields of `Thresholds` as keywords, for type checkers and editors, which cannot read them from there."""

        conf: Optional[float]
        iou: Optional[float]
        classes: Optional[Names]
        max_det: int
        agnostic: bool
        plain_nms: bool


def check(values: Any) -> None:
    """Raise `UsageError` for the first number, size or list of a declaration's instance that is out of its range."""
    for name, value in values.__dict__.items():
        declared = OPTIONS[name]
        if value is not None and value is not declared.default and declared.kind not in ("text", "flag"):
            mismatch = describe_mismatch(declared.kind, value, declared.least, declared.most)
            if mismatch:
                raise UsageError(f"{name} {value}: {mismatch}")


def thresholds_to_dict(thresholds: Thresholds) -> Dict[str, Any]:
    """Thresholds as JSON of reports and settings, where classes are `class_ids`."""
    values = {OPTIONS[each.name].key: getattr(thresholds, each.name) for each in dataclasses.fields(Thresholds)}
    ids = values.pop("classes")
    return {**values, "class_ids": None if ids is None else list(ids)}
