"""YOLO's text labels, one file a picture: "class x y w h" a line, centre and size in shares of the sides."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

from ..errors import SourceError
from .truth import Boxes

SLACK = 0.01  # beyond 0..1: what rounding makes, not pixels


def label_file(picture: str) -> Optional[Path]:
    """Where a picture's labels are: its last folder `images` (or JPEGImages) turned into `labels`, else beside it."""
    places = label_places(picture)
    return next((place for place in places if place.is_file()), None)


def label_places(picture: str) -> List[Path]:
    """Where a picture's labels may be, the likeliest first."""
    path = Path(picture)
    beside = path.with_suffix(".txt")
    parts = list(beside.parts)
    for name in ("images", "JPEGImages"):
        if name in parts[:-1]:
            last = len(parts) - 1 - parts[::-1].index(name)
            return [Path(*parts[:last], "labels", *parts[last + 1 :]), beside]
    return [beside]


def read(path: Path, names: int) -> Boxes:
    """A label file -> boxes in shares of the picture's sides, clipped to it; `names` is how many classes there are.

    A line of more than five numbers is a polygon (class x y x y ...), of which the box around it is taken. Raises
    `SourceError` with file and line.
    """
    rows: List[Tuple[float, ...]] = []
    for number, line in enumerate(lines(path), 1):
        if not line.split():
            continue
        try:
            rows.append(_row(line.split(), names))
        except ValueError as error:
            raise SourceError(f"{path}, line {number}: {error}") from None
    return Boxes.of(rows)


def lines(path: Path) -> List[str]:
    """A text file's lines. Raises `SourceError`."""
    try:
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def _row(words: List[str], names: int) -> Tuple[float, ...]:
    """(class, left, top, width, height). Raises `ValueError` with what is wrong."""
    shown = " ".join(words)
    shown = repr(shown if len(shown) < 60 else shown[:57] + "...")
    try:
        class_id, *values = (float(word) for word in words)
    except ValueError:
        raise ValueError(f"numbers are expected, class x y w h; found {shown}") from None
    if not class_id.is_integer():
        raise ValueError(f"the class is a whole number; found {words[0]}")
    if not 0 <= class_id < names:
        raise ValueError(f"class {int(class_id)}, and the classes are 0 to {names - 1}")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"{len(words)} numbers; class x y w h is expected, or class and a polygon's corners")
    if not all(-SLACK <= value <= 1 + SLACK for value in values):
        raise ValueError(f"x y w h are shares of the picture's sides, from 0 to 1; found {shown}")
    if len(values) == 4:
        x, y, w, h = values
        if w <= 0 or h <= 0:
            raise ValueError(f"a box has a width and a height above 0; found {shown}")
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    x0, y0, x1, y1 = (min(1.0, max(0.0, value)) for value in corners)
    return class_id, x0, y0, x1 - x0, y1 - y0
