"""YOLO's text labels, one file per image: "class x y w h" per line, centre and size relative to the image."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import List, Tuple

from ...cache import files
from ...errors import SourceError
from .truth import Boxes

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
SLACK = 0.01  # beyond 0..1: what rounding makes, not pixels


def read(path: Path, names: int) -> Boxes:
    """Read a label file: boxes relative to the image, clipped to it; `names` is the number of classes.

    A line of more than five numbers is a polygon (class x y x y ...), of which the box around it is taken. Raises
    `SourceError` with file and line.
    """
    rows: List[Tuple[float, ...]] = []
    cut = 0
    for number, line in enumerate(read_lines(path), 1):
        if not line.split():
            continue
        try:
            class_id, corners = _row(line.split(), names)
        except ValueError as error:
            raise SourceError(f"{path}, line {number}: {error}") from None
        cut += min(corners) < -SLACK or max(corners) > 1 + SLACK
        x0, y0, x1, y1 = (min(1.0, max(0.0, value)) for value in corners)
        rows.append((class_id, x0, y0, x1 - x0, y1 - y0))
    return replace(Boxes.from_rows(rows), clipped=cut)


def read_lines(path: Path) -> List[str]:
    """Read a text file's lines, as an editor counts them. Raises `SourceError`."""
    data = files.read(path)
    if data.startswith(_UTF_16):
        raise SourceError(f"{path} is UTF-16 text; save it as UTF-8")
    try:
        lines = re.split("\r\n|\r|\n", data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise SourceError(
            f"{path}, line {line} is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from None
    return lines if lines[-1] else lines[:-1]


def _row(words: List[str], names: int) -> Tuple[float, Tuple[float, ...]]:
    """Parse class and (left, top, right, bottom), which may reach beyond the image. Raises `ValueError`."""
    quoted = " ".join(words)
    quoted = repr(quoted if len(quoted) < 60 else quoted[:57] + "...")
    try:
        class_id, *values = (float(word) for word in words)
    except ValueError:
        raise ValueError(f"numbers are expected, class x y w h; found {quoted}") from None
    if not class_id.is_integer():
        raise ValueError(f"the class is a whole number; found {words[0]}")
    if not 0 <= class_id < names:
        raise ValueError(f"class {int(class_id)}, and the classes are 0 to {names - 1}")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"{len(words)} numbers; class x y w h is expected, or class and a polygon's corners")
    if not all(-SLACK <= value <= 1 + SLACK for value in values):
        raise ValueError(f"x y w h are relative to the image, from 0 to 1; found {quoted}")
    if len(values) == 4:
        x, y, w, h = values
        if w <= 0 or h <= 0:
            raise ValueError(f"a box has a width and a height above 0; found {quoted}")
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    return class_id, corners
