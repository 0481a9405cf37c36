"""SVG as text: elements, scales with ticks, marks. Colours are classes of the page's style sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Iterable, List, Sequence, Tuple, Union

STEPS = (1.0, 2.0, 5.0)
Attribute = Union[str, float, int]


def tag(element: str, *inside: str, **attributes: Attribute) -> str:
    """Build an element; `inside` is markup, attributes are escaped. `class_` is class, `text_anchor` text-anchor."""
    markup = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_value(value))}"' for name, value in attributes.items()
    )
    return f"<{element}{markup}>{''.join(inside)}</{element}>"


def text(x: float, y: float, content: str, **attributes: Attribute) -> str:
    """Build text with its baseline at y."""
    return tag("text", escape(content), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Build a straight line."""
    return tag("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_=class_)


def bar(x1: float, x2: float, y: float, height: float, class_: str, tooltip: str = "") -> str:
    """Build a rectangle from x1 to x2 with a tooltip."""
    title = tag("title", escape(tooltip)) if tooltip else ""
    return tag("rect", title, x=x1, y=y, width=max(x2 - x1, 0.5), height=height, class_=class_)


def drawing(width: float, height: float, title: str, parts: Iterable[str], class_: str) -> str:
    """Build an SVG image that scales with the page; `title` is for screen readers."""
    return tag(
        "svg", *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=title, class_=f"plot {class_}"
    )


def mark(x: float, y: float, shape: str, class_: str, tooltip: str, model: str) -> str:
    """Build a mark of a value at (x, y): "circle", "diamond", "square" or "ring"."""
    paths = {
        "circle": f"M{x - 5:.1f} {y:.1f}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        "ring": f"M{x - 7:.1f} {y:.1f}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0z",
        "diamond": f"M{x:.1f} {y - 6.4:.1f}l6.4 6.4l-6.4 6.4l-6.4 -6.4z",
        "square": f"M{x - 4.6:.1f} {y - 4.6:.1f}h9.2v9.2h-9.2z",
    }
    return tag("path", tag("title", escape(tooltip)), d=paths[shape], class_=f"mark {class_}", data_model=model)


@dataclass(frozen=True)
class Scale:
    """Mapping from values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Map a value to pixels, clamped to the range."""
        inside = min(max(value, self.low), self.high)
        low, high, inside = (math.log(each) if self.log else each for each in (self.low, self.high, inside))
        share = (inside - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 8) -> List[float]:
        """Return round values within the range."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            candidates = [step * 10.0**power for power in range(first, last + 1) for step in STEPS]
            inside = [value for value in candidates if self.low <= value <= self.high]
            if len(inside) >= 3:
                return inside
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(size * power for size in (*STEPS, 10.0) if size * power >= rough)
        first = math.ceil(self.low / step)
        return [round(index * step, 10) for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def padded_scale(values: Sequence[float], start: float, end: float, log: bool = False, by: float = 0.06) -> Scale:
    """Create a scale over some values with a margin on both sides."""
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** by, 1.05)
        return Scale(low / room, high * room, start, end, log)
    room = max((high - low) * by, abs(high) * 0.01, 1e-9)
    return Scale(low - room, high + room, start, end)


def grid(
    across: Scale, upward: Scale, below: str, beside: str, ticks: Tuple[int, int] = (8, 8), left: float = 14
) -> List[str]:
    """Draw the ticks, grid lines and labels of both axes; `ticks` bounds their number, across and upward.

    The label `beside` the upward axis stands at `left`.
    """
    parts, bottom, top = [], upward.start, upward.end
    for value in across.ticks(ticks[0]):
        parts.append(line(across(value), top, across(value), bottom, "grid"))
        parts.append(text(across(value), bottom + 18, plain(value), class_="tick", text_anchor="middle"))
    for value in upward.ticks(ticks[1]) if ticks[1] else ():
        parts.append(line(across.start, upward(value), across.end, upward(value), "grid"))
        parts.append(text(across.start - 8, upward(value) + 4, plain(value), class_="tick", text_anchor="end"))
    parts.append(text((across.start + across.end) / 2, bottom + 38, below, class_="axis", text_anchor="middle"))
    if beside:
        turned = f"translate({left} {(top + bottom) / 2:.0f}) rotate(-90)"
        parts.append(text(0, 0, beside, class_="axis", text_anchor="middle", transform=turned))
    return parts


def swatch(shape: str, label: str) -> str:
    """Build an entry of a legend: a list item with a small image."""
    return tag("li", tag("svg", shape, viewBox="0 0 16 16", aria_hidden="true"), escape(label))


def spread(targets: Sequence[float], least: float, low: float, high: float) -> List[float]:
    """Move label positions apart to a distance of at least `least`, in the given order."""
    order = sorted(range(len(targets)), key=lambda index: targets[index])
    places: List[float] = []
    for index in order:
        places.append(max(targets[index], places[-1] + least if places else low))
    bound = high
    for turn in range(len(places) - 1, -1, -1):
        places[turn] = min(places[turn], bound)
        bound = places[turn] - least
    return [place for _, place in sorted(zip(order, places))]


def runs(values: Sequence[float], above: float) -> List[Tuple[int, int]]:
    """Find ranges [first, end) of values greater than `above`."""
    spans: List[Tuple[int, int]] = []
    for index, value in enumerate(values):
        if value <= above:
            continue
        if spans and spans[-1][1] == index:
            spans[-1] = (spans[-1][0], index + 1)
        else:
            spans.append((index, index + 1))
    return spans


def short(value: float) -> str:
    """Format a number with three significant digits."""
    size = abs(value)
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3}f}"


def plain(value: float) -> str:
    """Format a tick's value."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _value(value: Attribute) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
