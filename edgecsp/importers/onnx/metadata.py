"""What an exporter wrote into `metadata_props`: names, stride, size and task, read as data and never evaluated.

ultralytics writes Python literals: names "{0: 'person', 1: 'bicycle'}", imgsz "[640, 640]", stride "32",
task "detect". YOLOv5 writes the names and the stride alone.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

MAX_TEXT = 1 << 20
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Props:
    """What the file says of itself; None and "" where it says nothing.

    `kind` is the family, where shapes alone would lead to another; `odd` lists what could not be read.
    """

    names: Optional[Tuple[str, ...]] = None
    hw: Optional[Tuple[int, int]] = None
    stride: Optional[int] = None
    task: str = ""
    kind: Optional[str] = None
    origin: Tuple[Tuple[str, str], ...] = ()
    odd: Tuple[str, ...] = ()


def read(said: Dict[str, str]) -> Props:
    """The metadata as `Props`. Never raises: what cannot be read is listed in `odd`."""
    odd: List[str] = []

    def value(key: str, check: Any) -> Any:
        if key not in said:
            return None
        found = check(_literal(said[key]))
        if found is None:
            odd.append(f"its {key!r} metadata cannot be read and is not used: {said[key][:60]!r}")
        return found

    names, hw, stride = value("names", _names), value("imgsz", _hw), value("stride", _stride)
    keys = (("licence", "license"), ("author", "author"), ("exporter", "version"), ("about", "description"))
    origin = tuple((key, said[theirs][:200]) for key, theirs in keys if said.get(theirs))
    return Props(names, hw, stride, said.get("task", "").strip().lower()[:40], _kind(said), origin, tuple(odd))


def _kind(said: Dict[str, str]) -> Optional[str]:
    """RT-DETR's rows are as long as YOLOv10's and mean something else: `head` (2026) or the description tells."""
    detr = said.get("head", "") == "RTDETRDecoder" or "rtdetr" in said.get("description", "").lower().replace("-", "")
    return "rtdetr" if detr else None


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


def _names(found: Any) -> Optional[Tuple[str, ...]]:
    if isinstance(found, dict):
        try:
            by_id = {int(key): value for key, value in found.items()}
        except (TypeError, ValueError, OverflowError):
            return None
        if set(by_id) != set(range(len(by_id))):
            return None
        found = [by_id[i] for i in range(len(by_id))]
    if not isinstance(found, (list, tuple)) or not 0 < len(found) <= MAX_CLASSES:
        return None
    return tuple(str(name) for name in found)


def _hw(found: Any) -> Optional[Tuple[int, int]]:
    sides = [found, found] if isinstance(found, int) else found
    if not isinstance(sides, (list, tuple)) or len(sides) != 2:
        return None
    if not all(type(side) is int and side > 0 for side in sides):
        return None
    return sides[0], sides[1]


def _stride(found: Any) -> Optional[int]:
    if isinstance(found, (list, tuple)) and found:  # YOLOv7 writes every head's
        found = max(found, key=lambda side: side if isinstance(side, (int, float)) else 0)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    return found if type(found) is int and 0 < found <= 256 else None
