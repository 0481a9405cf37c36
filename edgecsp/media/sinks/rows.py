"""Results as text: JSON Lines, CSV, COCO result JSON. Boxes in image pixels, two decimals."""

from __future__ import annotations

import csv
import importlib
import io
import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union

from ...errors import UsageError
from ...graph.labels import COCO, COCO_IDS
from ...system import text
from ...types import Detection, Detections, Frame, Origin, Result
from .annotated import ranks
from .base import Target, TextSink

SCHEMA = "edgecsp/1"
COLUMNS = ("source", "frame", "pts_s", "class_id", "label", "score", "x0", "y0", "x1", "y1")


class JsonLinesSink(TextSink):
    """One JSON object per frame and line: schema, source, frame, pts_s, width, height, and the result.

    The result is `detections` ({class_id, label, score, xyxy}) or, of a classifier, `classes`
    ({class_id, label, score}). ASCII only, for every terminal and locale.
    """

    def write(self, frame: Frame, result: Result) -> None:
        """Append a line."""
        self._text.write(line(to_dict(frame, result)))


def to_dict(frame: Union[Frame, Origin], result: Result) -> Dict[str, Any]:
    """Convert a frame and its result to the object of one JSON line."""
    height, width = frame.hw
    entry: Dict[str, Any] = {
        "schema": SCHEMA,
        "source": frame.stream.name,
        "frame": frame.index,
        "pts_s": _seconds(frame),
        "width": width,
        "height": height,
    }
    entry[result.key] = result.to_rows()
    return entry


def line(entry: Dict[str, Any]) -> str:
    """Encode an object as a line."""
    return json.dumps(entry, separators=(", ", ": "), allow_nan=False) + "\n"


class CsvSink(TextSink):
    """One row per box under a header; a classifier's rows have no box, and a frame without boxes has no row.

    `more` are further fields of a result's rows: track_id.
    """

    def __init__(self, target: Target, *, more: Sequence[str] = ()) -> None:
        super().__init__(target)
        self._more = more
        self._rows([(*COLUMNS, *more)])

    def write(self, frame: Frame, result: Result) -> None:
        """Append the rows of a frame."""
        self._rows(_table_rows(frame, result, "", self._more))

    def _rows(self, rows: Any) -> None:
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([text.cell(value) for value in row] for row in rows)
        if lines.getvalue():
            self._text.write(lines.getvalue())


def to_table(frame: Union[Frame, Origin, None], result: Result) -> Any:
    """Convert a result to a DataFrame of pandas, or of polars, with the columns of CSV. Raises `UsageError`."""
    more = [name for name in result.row_fields if name not in (*COLUMNS, "xyxy")]
    rows = _table_rows(frame, result, None, more)
    columns = {name: [row[i] for row in rows] for i, name in enumerate((*COLUMNS, *more))}
    return import_package("pandas", "polars").DataFrame(columns)


def import_package(*names: str) -> Any:
    """Import the first of other people's packages that is installed. Raises `UsageError`."""
    for name in names:
        with suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    raise UsageError(f"this conversion needs {' or '.join(names)}, not installed here; type: pip install {names[0]}")


def _table_rows(
    frame: Union[Frame, Origin, None], result: Result, nothing: Any, more: Sequence[str]
) -> List[List[Any]]:
    """The rows of a result below `COLUMNS` and `more`, with `nothing` in cells without a value."""
    pts_s = None if frame is None else _seconds(frame)
    head = [nothing, nothing] if frame is None else [frame.stream.name, frame.index]
    head.append(nothing if pts_s is None else pts_s)
    return [
        [
            *head, row["class_id"], row["label"], row["score"], *row.get("xyxy", (nothing,) * 4),
            *(row.get(name, nothing) for name in more),
        ]
        for row in result.to_rows()
    ]  # fmt: skip


class CocoSink(TextSink):
    """COCO result JSON for pycocotools: [{image_id, category_id, bbox [x, y, w, h], score}, ...].

    `image_id` is the file's stem, a number if it is all digits; of a video, stem_frame. `category_id` is
    COCO's own id when the labels are COCO's 80, else class id + 1. Of `inputs`, the files that will be read, a second
    one of the same stem is stem-2. Raises `UsageError` for a classifier.
    """

    def __init__(self, target: Target, *, inputs: Iterable[str] = ()) -> None:
        super().__init__(target)
        self._rank = ranks(inputs, lambda path: [Path(path).stem])
        self._claimed: Dict[str, str] = {}  # stem -> source
        self._stems: Dict[str, str] = {}  # source -> stem
        self._text.write("[")
        self._separator = "\n"

    def write(self, frame: Frame, result: Result) -> None:
        """Append the boxes of a frame."""
        boxes = result.require_boxes("COCO results need boxes; for a classifier, write JSON lines or CSV")
        for row in coco_rows(image_id(frame, self._stem(frame.stream.name)), boxes):
            self._text.write(self._separator + json.dumps(row, allow_nan=False))
            self._separator = ",\n"

    def _stem(self, source: str) -> str:
        """Return the unique stem of a source: its own, numbered if another source has the same."""
        if source not in self._stems:
            stem = Path(source).stem
            for number in itertools.count(self._rank.get((stem, source), 1)):
                name = f"{stem}-{number}" if number > 1 else stem
                if self._claimed.setdefault(name, source) == source:
                    self._stems[source] = name
                    break
        return self._stems[source]

    def close(self) -> None:
        """End the list and finish the file."""
        if not self._text.closed:
            self._text.write("\n]\n")
        super().close()


def coco_rows(image: Union[int, str], boxes: Detections) -> List[Dict[str, Any]]:
    """Convert the detections of an image to rows of COCO results."""
    categories = category_ids(boxes.names)
    return [coco_row(image, categories[box.class_id] if categories else box.class_id + 1, box) for box in boxes]


def coco_row(image: Union[int, str], category: int, detection: Detection) -> Dict[str, Any]:
    """Convert a detection to a row of COCO results: {image_id, category_id, bbox [x, y, w, h], score}."""
    x0, y0, x1, y1 = detection.xyxy
    box = _round((x0, y0, x1 - x0, y1 - y0))
    return {"image_id": image, "category_id": category, "bbox": box, "score": round(detection.score, 5)}


def category_ids(labels: Sequence[str]) -> Optional[Sequence[int]]:
    """Return COCO's category ids by class id if the labels are COCO's 80 in order, else None."""
    # Not all must match: some label files have motorbike for motorcycle, sofa for couch.
    same = sum(a.lower() == b for a, b in zip(labels, COCO))
    return COCO_IDS if len(labels) == len(COCO) and same >= 70 else None


def image_id(frame: Union[Frame, Origin], stem: Optional[str] = None) -> Any:
    """Return COCO's id of an image: 139 for 000000000139.jpg, else the stem; of a video, stem_frame."""
    stem = Path(frame.stream.name).stem if stem is None else stem
    if frame.stream.kind != "image":
        return f"{stem}_{frame.index}"
    return int(stem) if stem.isascii() and stem.isdigit() else stem


def _round(numbers: Sequence[float]) -> List[float]:
    return [round(number, 2) for number in numbers]


def _seconds(frame: Union[Frame, Origin]) -> Optional[float]:
    return None if frame.pts_s is None else round(frame.pts_s, 6)
