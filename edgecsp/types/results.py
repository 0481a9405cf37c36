"""Results of an image: `Result`, `Detections` with their `Detection` rows, `Classes`.

They are columns of numbers. Methods that draw, write or convert them import what they need when they are called.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..system.deprecation import RenamedAttribute
from .frames import Array, Frame, Origin
from .names import find_class_ids

if TYPE_CHECKING:
    from typing_extensions import Self  # which type checkers bring

_CROPS_NEED_BOXES = "crops need boxes; a classifier's result speaks of the whole image"


class Result:
    """The result of one image, by column, highest score first; each task has a class of its own.

    `scores` (N,) float32 in 0..1; `class_ids` (N,) int32; `names` the model's names by class id. `task` is the name
    of the task; `key` and `row_fields` are what `to_rows` is called and has in JSON; `columns_by_row` are the arrays;
    `has_boxes` says whether a row is a box of the image, or speaks of the whole image. Index it with an int, slice,
    mask, index array or names of classes to get fewer rows. `origin` is the image that it is of, None for one that was
    made otherwise; methods that need the image raise `UsageError` without it.
    """

    task: ClassVar[str]
    key: ClassVar[str]
    row_fields: ClassVar[Tuple[str, ...]] = ("class_id", "label", "score")
    columns_by_row: ClassVar[Tuple[str, ...]] = ("scores", "class_ids")
    has_boxes: ClassVar[bool]
    scores: Array
    class_ids: Array
    names: Tuple[str, ...]
    origin: Optional[Origin] = None
    label = RenamedAttribute("name_of", remove_in="0.3")

    @classmethod
    def empty(cls, names: Sequence[str] = ()) -> Self:
        """No rows."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        rows = self.headline() or ", ".join(f"{count} {label}" for label, count in self.counts().items()) or "none"
        of = f" in {self.path}, {self.orig_shape[1]}x{self.orig_shape[0]}" if self.origin else ""
        return f"<{type(self).__name__}: {rows}{of}>"

    def name_of(self, class_id: int) -> str:
        """The name of a class id."""
        return self.names[class_id] if class_id < len(self.names) else f"class{class_id}"

    @property
    def labels(self) -> Array:
        """The name of each row's class: (N,) str, so that `result[result.labels == "car"]` are the cars."""
        labels = np.empty(len(self), object)
        labels[:] = [self.name_of(int(i)) for i in self.class_ids]
        return labels

    def counts(self) -> Dict[str, int]:
        """Count the labels that the image counts for, the most frequent first."""
        return dict(Counter(self.counted()).most_common())

    def __getitem__(self, rows: Any) -> Self:
        rows = self._rows(rows)
        columns: Any = {name: getattr(self, name)[rows] for name in self.columns_by_row}
        return replace(self, **columns).with_origin(self.origin)  # type: ignore[type-var]

    def _rows(self, rows: Any) -> Any:
        """Convert an index to one that numpy takes and that keeps the columns. Raises `UnknownName` for a label."""
        if isinstance(rows, (int, np.integer)):
            return [rows]
        words = [rows] if isinstance(rows, str) else rows
        if not (isinstance(words, (list, tuple)) and words and all(isinstance(each, str) for each in words)):
            return rows
        return np.isin(self.class_ids, find_class_ids(self.names, words, "class of this result"))

    # -- its image -------------------------------------------------------------------------------------------------

    def with_origin(self, origin: Optional[Origin]) -> Self:
        """The same rows, with the image that they are of."""
        result = object.__new__(type(self))  # copy.copy takes longer than all else that a call adds
        result.__dict__.update(self.__dict__, origin=origin)
        return result

    def _known_origin(self) -> Origin:
        if self.origin is None:
            raise UsageError(
                f"this {type(self).__name__} does not know its image; those of detector(image) and "
                "detector.stream(source) do"
            )
        return self.origin

    @property
    def image(self) -> Array:
        """The image, (H, W, 3) uint8 BGR, not a copy; an image file is read again. Raises an `EdgecspError`.

        A frame of a video or a live stream is here for as long as its `Frame` is.
        """
        return self._known_origin().get_image()

    @property
    def path(self) -> str:
        """The file, URL or camera that the image is from; "image" or a number for one in memory."""
        return self._known_origin().stream.name

    @property
    def orig_shape(self) -> Tuple[int, int]:
        """Height and width of the image in pixels."""
        return self._known_origin().hw

    @property
    def speed(self) -> Mapping[str, float]:
        """Milliseconds of each stage: preprocess, inference (and the wait for the engine), postprocess."""
        return self._known_origin().speed

    def plot(self, image: Optional[Array] = None) -> Array:
        """Draw it on a copy of its image, or of another: (H, W, 3) uint8 BGR."""
        from ..media import draw

        return draw.annotate(self.image if image is None else image, self)

    def show(self, *, wait_ms: int = 0) -> None:
        """Show the annotated image in a window until a key is pressed, or for `wait_ms`. Needs a display."""
        from ..media import window

        window.show(self.plot(), self.path, wait_ms=wait_ms)

    def save(self, target: Union[str, Path], *, overwrite: bool = False) -> Path:
        """Write the annotated image to a .jpg or .png file, or into a folder under its own name; return its path.

        A file is replaced; in a folder a name in use gets a number unless `overwrite` is set. The file that the image
        was read from is never replaced. Raises `UsageError` and `OutputError`.
        """
        from ..media import sinks

        inputs = [self.path] if self._known_origin().stream.path else []
        with sinks.AnnotatedSink(target, inputs=inputs, overwrite=overwrite) as sink:
            sink.write(sinks.to_still(self._frame()), self)
        return sink.paths[0]

    def crop(self) -> List[Array]:
        """Cut out each box: copies of the image's pixels, (h, w, 3) uint8 BGR, in the order of the rows."""
        from ..media.sinks import folders

        return folders.cut(self.image, self.require_boxes(_CROPS_NEED_BOXES).xyxy)

    def save_crops(self, folder: Union[str, Path]) -> List[Path]:
        """Write each box's cut-out as folder/label/stem.jpg, under names that are free; return the paths.

        Raises `OutputError`.
        """
        from ..media.sinks import folders

        with folders.CropSink(folder) as sink:
            sink.write(self._frame(), self.require_boxes(_CROPS_NEED_BOXES))
        return sink.paths

    def _frame(self) -> Frame:
        origin = self._known_origin()
        return Frame(self.image, origin.stream, origin.index, origin.pts_s)

    # -- other forms -----------------------------------------------------------------------------------------------

    def to_rows(self) -> List[Dict[str, Any]]:
        """Convert to rows for JSON, of `row_fields` each: scores to five decimals, pixels to two."""
        return [
            {"class_id": int(i), "label": self.name_of(int(i)), "score": round(float(score), 5)}
            for i, score in zip(self.class_ids, self.scores)
        ]

    def to_dict(self) -> Dict[str, Any]:
        """Convert to the object that `edgecsp run --json` writes for an image: its source, size and rows."""
        from ..media.sinks import rows

        return rows.to_dict(self._known_origin(), self) if self.origin else {self.key: self.to_rows()}

    def to_json(self) -> str:
        """Convert to the line that `edgecsp run --json` writes for an image, without its end."""
        from ..media.sinks import rows

        return rows.line(self.to_dict()).rstrip("\n")

    def to_df(self) -> Any:
        """Convert to a pandas DataFrame, or polars' where pandas is not installed: a row each, columns as in CSV."""
        from ..media.sinks import rows

        return rows.to_table(self.origin, self)

    def to_yolo(self, *, conf: bool = False) -> str:
        """Convert to YOLO lines: class, centre and size as shares of the image's, and with `conf` the score."""
        from ..media.sinks import labels

        return labels.yolo_lines(self.require_boxes("YOLO lines need boxes"), self.orig_shape, conf=conf)

    def to_coco(self, image_id: Union[int, str, None] = None) -> List[Dict[str, Any]]:
        """Convert to COCO results, {image_id, category_id, bbox, score} each, as `edgecsp run --save-json`."""
        from ..media.sinks import rows

        boxes = self.require_boxes("COCO results need boxes")
        return rows.coco_rows(rows.image_id(self._known_origin()) if image_id is None else image_id, boxes)

    def to_labelme(self) -> Dict[str, Any]:
        """Convert to the object of a labelme file: rectangles with their labels."""
        from ..media.sinks import labels

        return labels.labelme(self.require_boxes("labelme rectangles need boxes"), self.path, self.orig_shape)

    def to_supervision(self) -> Any:
        """Convert to supervision's `Detections`; the labels are its `data["class_name"]`."""
        from ..media.sinks import rows

        boxes = self.require_boxes("supervision's Detections need boxes")
        supervision = rows.import_package("supervision")
        names = np.array([self.name_of(int(i)) for i in self.class_ids], str)
        return supervision.Detections(
            boxes.xyxy, confidence=self.scores, class_id=self.class_ids, data={"class_name": names}
        )

    def columns(self) -> Dict[str, Any]:
        """Convert to columns by the names that tensors of an answer have."""
        return {"scores": self.scores, "class_ids": self.class_ids, "labels": list(self.labels)}

    def counted(self) -> List[str]:
        """The labels that the image counts for."""
        return [self.name_of(int(i)) for i in self.regions()[1]]

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


@dataclass(frozen=True, repr=False)
class Detections(Result):
    """The detections of one image, by column, highest score first; iterate for `Detection` rows.

    `xyxy` (N, 4) float32 image pixels; `scores` (N,) float32 in 0..1; `class_ids` (N,) int32;
    `names` the model's names, indexed by class id.

    >>> xyxy = np.array([(10, 20, 50, 40), (0, 0, 8, 8)], np.float32)
    >>> boxes = Detections(xyxy, np.float32([0.9, 0.5]), np.int32([1, 0]), ("cat", "dog"))
    >>> boxes
    <Detections: 1 dog, 1 cat>
    >>> boxes["dog"].xywh.tolist(), boxes[boxes.scores > 0.6].labels.tolist()
    ([[30.0, 30.0, 40.0, 20.0]], ['dog'])
    >>> [(each.label, each.xyxy) for each in boxes[:1]]
    [('dog', (10.0, 20.0, 50.0, 40.0))]
    """

    task = "detect"
    key = "detections"
    row_fields = (*Result.row_fields, "xyxy")
    columns_by_row = ("xyxy", *Result.columns_by_row)
    has_boxes = True
    xyxy: Array
    scores: Array
    class_ids: Array
    names: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.xyxy.shape != (n, 4) or self.class_ids.shape != (n,):
            raise ValueError(
                f"columns differ: xyxy {self.xyxy.shape}, scores {self.scores.shape}, class_ids {self.class_ids.shape}"
            )

    @classmethod
    def empty(cls, names: Sequence[str] = ()) -> Self:
        """No rows."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), tuple(names))

    @classmethod
    def from_supervision(cls, detections: Any, names: Sequence[str] = ()) -> Self:
        """Convert supervision's `Detections`, highest score first; without `names` they are its `data["class_name"]`.

        A missing confidence is 1, a missing class 0.
        """
        count = len(detections)
        scores = np.ones(count) if detections.confidence is None else detections.confidence
        ids = np.zeros(count) if detections.class_id is None else detections.class_id
        by_id = {int(i): str(name) for i, name in zip(ids, detections.data.get("class_name", ()))}
        names = names or [by_id.get(i, f"class{i}") for i in range(max(by_id, default=-1) + 1)]
        order = np.argsort(-np.asarray(scores), kind="stable")
        xyxy, scores = np.asarray(detections.xyxy, np.float32)[order], np.asarray(scores, np.float32)[order]
        return cls(xyxy, scores, np.asarray(ids, np.int32)[order], tuple(names))

    def __iter__(self) -> Iterator[Detection]:
        for box, score, class_id in zip(self.xyxy, self.scores, self.class_ids):
            x0, y0, x1, y1 = (float(v) for v in box)
            yield Detection((x0, y0, x1, y1), float(score), int(class_id), self.name_of(int(class_id)))

    @property
    def xywh(self) -> Array:
        """Boxes by centre and size: (N, 4) float32 image pixels."""
        return np.concatenate(((self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2, self.xyxy[:, 2:] - self.xyxy[:, :2]), 1)

    @property
    def xyxyn(self) -> Array:
        """Boxes as shares of the image's width and height: (N, 4) float32 in 0..1."""
        height, width = self.orig_shape
        shares: Array = self.xyxy / np.array((width, height, width, height), np.float32)
        return shares

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
class Classification:
    """One row of `Classes`: score in 0..1, class id and its name."""

    score: float
    class_id: int
    label: str


@dataclass(frozen=True, repr=False)
class Classes(Result):
    """The result of a classifier for one image: the best classes, highest score first."""

    task = "classify"
    key = "classes"
    has_boxes = False
    scores: Array
    class_ids: Array
    names: Tuple[str, ...] = ()

    @classmethod
    def empty(cls, names: Sequence[str] = ()) -> Self:
        """No rows."""
        return cls(np.zeros(0, np.float32), np.zeros(0, np.int32), tuple(names))

    def __iter__(self) -> Iterator[Any]:
        """Yield `Classification` rows; for type checkers any, or no `Detections` could be `Classes`."""
        for score, class_id in zip(self.scores, self.class_ids):
            yield Classification(float(score), int(class_id), self.name_of(int(class_id)))

    def regions(self) -> Tuple[Array, Array]:
        """The best class, and for its region the whole image as a unit square."""
        best = self.class_ids[:1]
        return np.array([(0, 0, 1, 1)] * len(best), np.float32).reshape(-1, 4), best

    def headline(self) -> str:
        """The classes and their scores."""
        return ", ".join(f"{self.name_of(int(i))} {score:.3f}" for i, score in zip(self.class_ids, self.scores))
