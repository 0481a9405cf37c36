"""Lines, zones, their counts and events, as the site file, requests, answers and messages have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict

from ..track.areas import ANCHORS, SETTLE_S
from ..track.events import KINDS
from .areas import COOLDOWN_S, MOST, MOST_POINTS
from .fields import answer, count, flag, list_of, number, object_of, text
from .schema import Field, Shape

_POINT = list_of(number(), least=2, most=2)
_POINTS = "[x, y] pairs in pixels of the image, or in shares of its width and height where all are at most 1"
_ANY_AREA: Dict[str, Field] = {
    "classes": Field("texts", "labels that count; default: all"),
    "anchor": text("the point of a box that counts; default: bottom, where an object stands", choices=ANCHORS),
    "cooldown_s": number(
        f"seconds without a second event of a kind; counts go on; default: {COOLDOWN_S:g}", least=0, most=86400
    ),
    "settle_s": number(f"seconds on the other side before an object counts; default: {SETTLE_S:g}", least=0, most=60),
}
_NAME = "letters, digits, - _ . and single spaces; one line or zone of a stream has it"
LINE_FIELDS: Dict[str, Field] = {
    "name": text(_NAME),
    "points": list_of(_POINT, f"two {_POINTS}; in: from its left to its right", least=2, most=2),
    **_ANY_AREA,
}
ZONE_FIELDS: Dict[str, Field] = {
    "name": text(_NAME),
    "points": list_of(_POINT, f"three or more {_POINTS}", least=3, most=MOST_POINTS),
    **_ANY_AREA,
    "dwell_s": number("an event when an object has been inside for so many seconds", least=0, most=86400),
    "max_count": count("an event when more objects are inside", most=10000),
}
REQUIRED = ("name", "points")


def _nullable(fields: Dict[str, Field]) -> Dict[str, Field]:
    return {name: replace(each, nullable=name not in REQUIRED) for name, each in fields.items()}


LINE = Shape("Line", "a line that objects cross", _nullable(LINE_FIELDS), REQUIRED, entry="field of a line")
ZONE = Shape("Zone", "a zone that objects enter and leave", _nullable(ZONE_FIELDS), REQUIRED, entry="field of a zone")
AREAS_CHANGE = Shape(
    "AreasChange",
    "lines and zones in the place of the present ones; those that are missing stay",
    {"lines": list_of(LINE, least=0, most=MOST), "zones": list_of(ZONE, least=0, most=MOST)},
    entry="list",
)
_BY_LABEL = Field("map", "objects by label", of=count())
_CROSSED = answer("", "", {"in": _BY_LABEL, "out": _BY_LABEL})
_IN_ZONE = answer("", "", {
    "inside": replace(_BY_LABEL, description="by label: objects that are inside"),
    "entered": replace(_BY_LABEL, description="by label: objects that have entered"),
    "left": replace(_BY_LABEL, description="by label: objects that have left"),
    "time_s": Field("map", "by label: seconds that objects were inside, summed", of=number()),
    "most": count("objects that were inside at once at most"),
})  # fmt: skip
COUNTS = answer("AreaCounts", "counts since the start", {
    "lines": Field("map", "by line: in and out, by label", of=_CROSSED),
    "zones": Field("map", "by zone: inside, entered, left, time_s, most", of=_IN_ZONE),
})  # fmt: skip
AREAS = answer("Areas", "lines and zones of a stream, their points in shares of the image, and what they counted", {
    "track": flag("whether the stream is tracked; if not, nothing is counted"),
    "editable": flag("whether PUT may change the lines and zones"),
    "lines": list_of(LINE), "zones": list_of(ZONE), "counts": object_of(COUNTS),
})  # fmt: skip
AREAS_REFUSED = answer("AreasRefused", "lines and zones are fixed by the site file", {
    "error": text("for people"), "toml": text("the request as text for the site file, behind its stream"),
}, ("toml",))  # fmt: skip

AREA_EVENT = answer("Event", "what happened at a line or in a zone", {
    "id": text("unique; later ones sort behind earlier ones"),
    "kind": text(choices=KINDS),
    "time": text("UTC, ISO 8601"),
    "pts_s": number("presentation time of the frame in seconds"),
    "stream": text("its name"),
    "area": text("name of the line or zone"),
    "direction": text("in or out, of a line", nullable=True),
    "label": text("of the object", nullable=True),
    "class_id": count(nullable=True),
    "track_id": count("of the object, unique in its stream", nullable=True),
    "xyxy": list_of(number(), "left, top, right, bottom in pixels of the image", least=4, most=4, nullable=True),
    "value": number("leave, dwell: seconds inside; count: objects inside", nullable=True),
    "snapshot": text("path of the JPEG", nullable=True),
    "clip": text("path of the mp4, once it is written", nullable=True),
})  # fmt: skip
EVENTS = answer("Events", "events, newest first", {"events": list_of(AREA_EVENT)})
