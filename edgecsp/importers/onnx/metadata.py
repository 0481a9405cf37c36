"""Read an exporter's `metadata_props`: names, stride, size and task, parsed as data and never evaluated.

ultralytics writes Python literals: names "{0: 'person', 1: 'bicycle'}", imgsz "[640, 640]", stride "32",
task "detect". YOLOv5 writes the names and the stride alone, RapidAI lines of names as "character".
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

MAX_TEXT = 1 << 20
MAX_CLASSES = 100_000
_TASK_KINDS = {"classify": "classify"}  # tasks of one family


@dataclass(frozen=True)
class Props:
    """The file's own description; None and "" where it has none.

    `kind` is the family, where shapes alone would lead to another; `keypoints` how many a pose model gives, and how
    many values each has; `unreadable` lists what could not be parsed.
    """

    names: Optional[Tuple[str, ...]] = None
    hw: Optional[Tuple[int, int]] = None
    stride: Optional[int] = None
    task: str = ""
    kind: Optional[str] = None
    keypoints: Optional[Tuple[int, int]] = None
    origin: Tuple[Tuple[str, str], ...] = ()
    unreadable: Tuple[str, ...] = ()


def read(properties: Dict[str, str]) -> Props:
    """Parse the metadata. Never raises: entries that cannot be parsed are listed in `unreadable`."""
    unreadable: List[str] = []

    def value(key: str, check: Any) -> Any:
        if key not in properties:
            return None
        parsed = check(_literal(properties[key]))
        if parsed is None:
            unreadable.append(f"its {key!r} metadata cannot be read and is not used: {properties[key][:60]!r}")
        return parsed

    names, hw, stride = value("names", _names), value("imgsz", _hw), value("stride", _stride)
    keypoints = value("kpt_shape", _hw)
    if names is None and properties.get("character", "").strip():  # RapidAI writes a name a line
        names = _names(properties["character"].strip().splitlines())
    keys = (("licence", "license"), ("author", "author"), ("exporter", "version"), ("about", "description"))
    origin = tuple((key, properties[theirs][:200]) for key, theirs in keys if properties.get(theirs))
    return Props(names, hw, stride, _task(properties), _kind(properties), keypoints, origin, tuple(unreadable))


def _task(properties: Dict[str, str]) -> str:
    return properties.get("task", "").strip().lower()[:40]


def _kind(properties: Dict[str, str]) -> Optional[str]:
    """The family by the task, or RT-DETR by `head` (2026) or the description: its rows are as long as YOLOv10's."""
    detr = properties.get("head", "") == "RTDETRDecoder" or "rtdetr" in properties.get(
        "description", ""
    ).lower().replace("-", "")
    return _TASK_KINDS.get(_task(properties)) or ("rtdetr" if detr else None)


def _literal(text: str) -> Any:
    if len(text) > MAX_TEXT:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _names(names: Any) -> Optional[Tuple[str, ...]]:
    if isinstance(names, dict):
        try:
            by_id = {int(key): value for key, value in names.items()}
        except (TypeError, ValueError, OverflowError):
            return None
        if set(by_id) != set(range(len(by_id))):
            return None
        names = [by_id[i] for i in range(len(by_id))]
    if not isinstance(names, (list, tuple)) or not 0 < len(names) <= MAX_CLASSES:
        return None
    return tuple(str(name) for name in names)


def _hw(value: Any) -> Optional[Tuple[int, int]]:
    sides = [value, value] if isinstance(value, int) else value
    if not isinstance(sides, (list, tuple)) or len(sides) != 2:
        return None
    if not all(type(side) is int and side > 0 for side in sides):
        return None
    return sides[0], sides[1]


def _stride(value: Any) -> Optional[int]:
    if isinstance(value, (list, tuple)) and value:  # YOLOv7 writes every head's
        value = max(value, key=lambda side: side if isinstance(side, (int, float)) else 0)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value <= 256 else None
