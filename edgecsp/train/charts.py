"""The charts of a run's report, as SVG: lines over epochs or confidences, and the confusion matrix."""

from __future__ import annotations

from html import escape
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..media.html import svg
from ..media.html.svg import Scale

POINTS = 240  # of a line; more are means of neighbours
Point = Tuple[float, float]


class Curve(NamedTuple):
    """A line of a chart: what it is, its points, and its look ("c0" to "c5", "mean", "rest")."""

    name: str
    points: Sequence[Point]
    look: str


class Axis(NamedTuple):
    """An axis: what it counts and its range (None: that of the values)."""

    name: str
    range: Optional[Point] = None
    log: bool = False


def lines(
    title: str, series: Sequence[Curve], x: Axis, y: Axis, *, guide: Optional[float] = None, wide: bool = True
) -> str:
    """Lines over common axes, with a dashed line up from `guide`; "" where no line has a point."""
    series = [each._replace(points=_thinned(each.points)) for each in series if each.points]
    if not series:
        return ""
    width, height = (760.0, 300.0) if wide else (372.0, 270.0)
    left, right, top, bottom = 52.0, width - 14, 12.0, height - 46
    across = _scale(x, [point[0] for each in series for point in each.points], left, right)
    up = _scale(y, [point[1] for each in series for point in each.points], bottom, top)
    parts = svg.grid(across, up, x.name, y.name, (8 if wide else 5, 6), left=12)
    if guide is not None:
        parts.append(svg.line(across(guide), top, across(guide), bottom, "base"))
    for each in series:
        places = [(across(a), up(b)) for a, b in each.points]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        title_tag = svg.tag("title", escape(each.name))
        parts.append(svg.tag("path", title_tag, d=path, class_=f"line {each.look}"))
        if len(places) <= 40 and each.look != "rest" and not all(p[0] == q[0] for p, q in zip(places, places[1:])):
            parts += [_dot(each, point, place) for point, place in zip(each.points, places)]
    return svg.drawing(width, height, title, parts, "lines")


def swatches(series: Sequence[Curve]) -> str:
    """The legend of some lines: list items, each name once."""
    once = {each.name: each for each in series if each.points}
    samples = {name: svg.tag("path", d="M0 8L16 8", class_=f"line {each.look}") for name, each in once.items()}
    return "".join(svg.swatch(sample, name) for name, sample in samples.items())


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A confusion matrix: a row for what is there, a column for what was found; the last of each is the background.

    Cells are shaded by their share of the row.
    """
    table = np.asarray(counts, np.int64)
    count = len(table)
    cell = float(np.clip(560 / count, 9, 44))
    words = [label if len(label) <= 22 else label[:21] + "…" for label in labels]
    left = 30.0 + 7.2 * max(map(len, words))
    head = 14.0 + 5.4 * max(map(len, words))
    letters = {} if cell >= 18 else {"class_": "tick small"}
    parts = []
    for i, word in enumerate(words):
        middle = cell * (i + 0.5)
        parts.append(svg.text(left - 8, head + middle + 4, word, text_anchor="end", **letters))
        turned = f"translate({left + middle + 4:.1f} {head - 8:.1f}) rotate(-50)"
        parts.append(svg.text(0, 0, word, transform=turned, **letters))
    frame = {"x": left, "y": head, "width": cell * count, "height": cell * count}
    parts.append(svg.tag("rect", class_="frame", **frame))
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    for i, j in zip(*(places.tolist() for places in np.nonzero(table))):
        value, share = int(table[i, j]), float(shares[i, j])
        title_tag = svg.tag("title", escape(_cell(labels, i, j, value, share, count)))
        look = "right" if i == j else "wrong"
        place = {"x": left + cell * j + 0.5, "y": head + cell * i + 0.5, "width": cell - 1, "height": cell - 1}
        opacity = f"{0.08 + 0.92 * share:.2f}"
        parts.append(svg.tag("rect", title_tag, class_=f"cell {look}", fill_opacity=opacity, **place))
        if cell >= 26:
            over = "on" if share > 0.55 else "off"
            x, y = left + cell * (j + 0.5), head + cell * (i + 0.5) + 4
            parts.append(svg.text(x, y, str(value), text_anchor="middle", class_=f"number {over}"))
    width = max(760.0, left + cell * count + 5.4 * max(map(len, words)))
    return svg.drawing(width, head + cell * count + 8, "Confusion matrix", parts, "matrix")


def _cell(labels: Sequence[str], i: int, j: int, value: int, share: float, count: int) -> str:
    if i == count - 1:
        return f"{value} times {labels[j]} was found where nothing is"
    what = "not found" if j == count - 1 else f"found as {labels[j]}"
    return f"{labels[i]} {what}: {value} ({share:.0%})"


def _dot(each: Curve, point: Point, place: Point) -> str:
    title_tag = svg.tag("title", escape(f"{each.name}: {svg.short(point[1])} at {svg.plain(round(point[0], 3))}"))
    return svg.tag("circle", title_tag, cx=place[0], cy=place[1], r=2.6, class_=f"dot {each.look}")


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> Scale:
    if axis.range is not None:
        return Scale(*axis.range, start, end)
    if axis.log:
        return svg.padded_scale([max(value, max(values) / 1e4, 1e-9) for value in values], start, end, log=True)
    low, high = min(values), max(values)
    return Scale(low, high, start, end) if high > low else Scale(low - 0.5, high + 0.5, start, end)


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most `POINTS`, means of neighbours."""
    if len(points) <= POINTS:
        return points
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in np.array_split(np.array(points), POINTS)]
