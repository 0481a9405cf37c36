"""YOLO's text labels, one file a picture: "class x y w h" a line, centre and size in shares of the sides."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import List, Tuple

from ...errors import SourceError
from .truth import Boxes

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
SLACK = 0.01  # beyond 0..1: what rounding makes, not pixels


def read(path: Path, names: int) -> Boxes:
    """A label file -> boxes in shares of the picture's sides, clipped to it; `names` is how many classes there are.

    A line of more than five numbers is a polygon (class x y x y ...), of which the box around it is taken. Raises
    `SourceError` with file and line.
    """
    rows: List[Tuple[float, ...]] = []
    cut = 0
    for number, line in enumerate(lines(path), 1):
        if not line.split():
            continue
        try:
            class_id, corners = _row(line.split(), names)
        except ValueError as error:
            raise SourceError(f"{path}, line {number}: {error}") from None
        cut += min(corners) < -SLACK or max(corners) > 1 + SLACK
        x0, y0, x1, y1 = (min(1.0, max(0.0, value)) for value in corners)
        rows.append((class_id, x0, y0, x1 - x0, y1 - y0))
    return replace(Boxes.of(rows), cut=cut)


def lines(path: Path) -> List[str]:
    """A text file's lines, as an editor counts them. Raises `SourceError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    if data.startswith(_UTF_16):
        raise SourceError(f"{path} is no text in UTF-8 but in UTF-16; save it as UTF-8")
    try:
        found = re.split("\r\n|\r|\n", data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise SourceError(
            f"{path}, line {line} is no text in UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from None
    return found if found[-1] else found[:-1]


def _row(words: List[str], names: int) -> Tuple[float, Tuple[float, ...]]:
    """Class and (left, top, right, bottom), which may reach beyond the picture. Raises `ValueError`."""
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
    return class_id, corners
