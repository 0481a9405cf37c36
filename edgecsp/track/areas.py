"""Lines and zones of an image, which tracked objects cross, enter and leave."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

import numpy as np

from ..errors import UsageError
from ..types import Array
from . import polygon
from .polygon import Point

ANCHORS = ("bottom", "center")
SETTLE_S = 0.15  # two frames of a camera at 5 fps, with the jitter of its times
_NAME = re.compile(r"[\w.-]+( [\w.-]+)*")
_LINE_FORM = "NAME:x1,y1,x2,y2 in pixels, or in shares of the image's width and height where all are at most 1"
_ZONE_FORM = "NAME:x1,y1,x2,y2,x3,y3,... in pixels, or in shares of the image where all are at most 1"
_KINDS: Dict[str, Callable[[str], Any]] = {"float": float, "Optional[float]": float, "Optional[int]": int, "str": str}


@dataclass(frozen=True)
class _Area:
    """Fields that lines and zones share.

    `points` are pixels of the image, or shares of its width and height where none is above 1. `classes` are the labels
    that count, None for all. `anchor` is the point of a box that counts: "bottom", where an object stands, or
    "center". `cooldown_s`: seconds for which no second event of a kind is emitted; counts go on. `settle_s`: seconds
    for which an object must be on the other side before it counts.
    """

    name: str
    points: Sequence[Point]
    classes: Optional[Sequence[str]] = None
    anchor: str = "bottom"
    cooldown_s: float = 0.0
    settle_s: float = SETTLE_S

    def __post_init__(self) -> None:
        what = type(self).__name__.lower()
        if not isinstance(self.name, str) or len(self.name) > 64 or not _NAME.fullmatch(self.name):
            raise UsageError(f"{what} {self.name!r}: a name has letters, digits, - _ . and single spaces, at most 64")
        points = _to_points(f"{what} {self.name}", self.points)
        object.__setattr__(self, "points", points)
        if self.classes is not None:
            labels: Any = self.classes
            classes = (labels,) if isinstance(labels, str) else tuple(labels)
            if not classes or not all(isinstance(each, str) and each for each in classes):
                raise UsageError(f"{what} {self.name}: classes are labels, at least one; leave them out for all")
            object.__setattr__(self, "classes", classes)
        if self.anchor not in ANCHORS:
            raise UsageError(f"{what} {self.name}: anchor {self.anchor!r} is not one of {', '.join(ANCHORS)}")
        for field in ("cooldown_s", "settle_s"):
            self._require_number(field, getattr(self, field), least=0)

    def _require_number(self, field: str, value: Any, *, least: float) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
        if not is_number or value < least:
            what = type(self).__name__.lower()
            raise UsageError(f"{what} {self.name}: {field} {value!r} is not a number of at least {least:g}")

    @property
    def is_relative(self) -> bool:
        """Whether the points are shares of the image's width and height."""
        return max(max(point) for point in self.points) <= 1

    def to_pixels(self, wh: Tuple[int, int]) -> Tuple[Point, ...]:
        """The points in pixels of an image of this width and height."""
        if not self.is_relative:
            return tuple(self.points)
        return tuple((x * wh[0], y * wh[1]) for x, y in self.points)

    def to_relative(self, wh: Tuple[int, int]) -> Tuple[Point, ...]:
        """The points in shares of an image of this width and height, to five decimals."""
        if self.is_relative:
            return tuple(self.points)
        return tuple((round(x / wh[0], 5), round(y / wh[1], 5)) for x, y in self.points)


@dataclass(frozen=True)
class Line(_Area):
    """A line from a first to a second point, which counts objects that cross it between the two.

    "in" is from its left to its right on the way from the first to the second point: over a line that is drawn from
    left to right, "in" is downwards. The other direction is "out".

    >>> Line("door", [(0.0, 0.5), (1.0, 0.5)]).to_pixels((640, 480))
    ((0.0, 240.0), (640.0, 240.0))
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.points) != 2 or self.points[0] == self.points[1]:
            raise UsageError(f"line {self.name}: a line has two points that differ")


@dataclass(frozen=True)
class Zone(_Area):
    """A polygon, which counts objects that enter and leave it and measures how long they stay.

    `dwell_s`: an event for each object that has been inside for so many seconds. `max_count`: an event when more
    objects are inside.

    >>> Zone("ramp", [(0, 0), (0.5, 0), (0.5, 1)], dwell_s=10).to_pixels((640, 480))[-1]
    (320.0, 480.0)
    """

    dwell_s: Optional[float] = None
    max_count: Optional[int] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.points) < 3 or not polygon.area(self.points):
            raise UsageError(f"zone {self.name}: a zone has three points or more, with an area between them")
        if self.dwell_s is not None:
            self._require_number("dwell_s", self.dwell_s, least=0)
        if self.max_count is not None:
            self._require_number("max_count", self.max_count, least=0)


def parse_line(text: str) -> Line:
    """Read a line as it is typed. Raises `UsageError`.

    >>> parse_line("door:0,0.5,1,0.5,classes=cat+dog,anchor=center").classes
    ('cat', 'dog')
    """
    name, points, fields = _parse(Line, text, _LINE_FORM)
    if len(points) != 2:
        raise UsageError(f"line {text!r}: {_LINE_FORM}")
    return Line(name, tuple(points), **fields)


def parse_zone(text: str) -> Zone:
    """Read a zone as it is typed. Raises `UsageError`.

    >>> parse_zone("ramp:0,0,0.5,0,0.5,1,dwell_s=10").dwell_s
    10.0
    """
    name, points, fields = _parse(Zone, text, _ZONE_FORM)
    if len(points) < 3:
        raise UsageError(f"zone {text!r}: {_ZONE_FORM}")
    return Zone(name, tuple(points), **fields)


def _parse(kind: Type[_Area], text: str, form: str) -> Tuple[str, List[Point], Dict[str, Any]]:
    what = kind.__name__.lower()
    types = {each.name: str(each.type) for each in dataclasses.fields(kind) if each.name not in ("name", "points")}
    form = f"{form}; behind them OPTION=VALUE of {', '.join(types)}"
    name, _, rest = text.partition(":")
    numbers, values = [], {}
    for word in rest.split(","):
        key, equals, value = (part.strip() for part in word.partition("="))
        try:
            if not equals:
                numbers.append(float(word))
            elif key == "classes":
                values[key] = tuple(value.split("+"))
            else:
                values[key] = _KINDS[types[key]](value)
        except (KeyError, ValueError):
            raise UsageError(f"{what} {text!r}: {word!r} is not understood; type {form}") from None
    if not name or len(numbers) % 2:
        raise UsageError(f"{what} {text!r}: type {form}")
    return name.strip(), list(zip(numbers[::2], numbers[1::2])), values


def _to_points(what: str, points: Any) -> Tuple[Point, ...]:
    try:
        array: Array = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all() or (array < 0).any():
        raise UsageError(f"{what}: points are pairs of numbers (x, y) of at least 0, not {points!r}")
    return tuple((x, y) for x, y in array.tolist())


def require_unique(areas: Sequence[_Area]) -> None:
    """Raise `UsageError` where two lines or zones share a name."""
    names = [each.name for each in areas]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two lines or zones are called {twice!r}; each needs a name of its own")
