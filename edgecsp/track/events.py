"""Events of lines and zones."""

from __future__ import annotations

import secrets
import time as clock_time
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from ..system import clock

KINDS = ("cross", "enter", "leave", "dwell", "count")


def new_id() -> str:
    """Return a new id: unique, and later ones sort behind earlier ones."""
    return f"{int(clock_time.time() * 1000):011x}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Event:
    """An object crossed a line, entered a zone, left it or stayed in it, or too many are in it.

    `kind`: "cross" (with `direction` "in" or "out"), "enter", "leave" (`value`: the seconds it was inside), "dwell"
    (`value`: the seconds it has been inside) or "count" (`value`: how many are inside; no track or box). `area` is the
    name of the line or zone; `time` is UTC, `pts_s` the presentation time of the frame; `xyxy` image pixels.
    """

    kind: str
    area: str
    stream: str
    pts_s: float
    label: Optional[str] = None
    class_id: Optional[int] = None
    track_id: Optional[int] = None
    xyxy: Optional[Tuple[float, float, float, float]] = None
    direction: Optional[str] = None
    value: Optional[float] = None
    id: str = field(default_factory=new_id)
    time: str = field(default_factory=clock.now)

    def to_dict(self) -> Dict[str, Any]:
        """Convert to an object for JSON: pixels to two decimals, seconds to three."""
        return {
            "id": self.id,
            "kind": self.kind,
            "time": self.time,
            "pts_s": round(self.pts_s, 3),
            "stream": self.stream,
            "area": self.area,
            "direction": self.direction,
            "label": self.label,
            "class_id": self.class_id,
            "track_id": self.track_id,
            "xyxy": None if self.xyxy is None else [round(each, 2) for each in self.xyxy],
            "value": None if self.value is None else round(self.value, 3),
        }
