"""The report's charts as SVG: speed and accuracy, speed over YOLOv3-tiny's, latencies, stages.

A row is one of the report's. An engine has a colour and a precision a shape, the same in all charts; the paper's
figures are hollow.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..media.html import svg
from ..media.html.svg import Scale
from . import stats

WIDTH = 760.0
SHAPES = {"fp32": "circle", "fp16": "square", "bf16": "square", "int8": "diamond"}
STAGES = (("decode", "read"), ("preprocess", "preprocess"), ("inference", "inference"), ("post", "decode + NMS"))
BINS = 150
LETTERS = 28  # of a model's name beside a plot
DOTS = 40  # single samples drawn beyond p99

Row = Dict[str, Any]


def select_measured(rows: Sequence[Row]) -> List[Row]:
    """Select the rows that have figures."""
    return [row for row in rows if row.get("median_ms")]


def row_style(rows: Sequence[Row], row: Row) -> Tuple[str, str]:
    """Return a row's shape and CSS classes: its engine's colour, by the order of engines in the report."""
    engines = list(dict.fromkeys(each["engine"] for each in rows))
    unstable = " unstable" if row.get("unstable") else ""
    return SHAPES.get(row["precision"], "circle"), f"e{engines.index(row['engine']) % 6}{unstable}"


def draw_accuracy(rows: Sequence[Row]) -> str:
    """Draw frames per second and AP50 like the paper's Figure 1; "" where no row has both.

    The y axis is the AP50 that was measured here, else the paper's.
    """
    measured = [row for row in select_measured(rows) if _ap50(row) is not None]
    if not measured:
        return ""
    left, right, top, bottom = 52.0, WIDTH - 222, 14.0, 440.0
    printed = [row["paper"]["fps"] for row in measured if _has_paper_fps(row)]
    across = svg.padded_scale([row["fps"] for row in measured] + printed, left, right, log=True)
    # One line per model and AP50, each at a height of its own.
    models = {(row["model"], _ap50(row)): row for row in measured}
    upward = svg.padded_scale([ap50 for _, ap50 in models], bottom, top)
    lines = dict(zip(models, _spread_heights([upward(ap50) for _, ap50 in models])))
    parts = svg.grid(across, upward, "frames per second (log scale)", "AP50, %")
    places = dict(zip(lines, svg.spread(list(lines.values()), 17, top + 4, bottom)))
    for (model, ap50), y in lines.items():
        mine = [row for row in measured if (row["model"], _ap50(row)) == (model, ap50)]
        xs = [across(row["fps"]) for row in mine] + [across(row["paper"]["fps"]) for row in mine if _has_paper_fps(row)]
        label = places[model, ap50]
        elbow = f"M{min(xs):.1f} {y:.1f}H{right + 4:.1f}L{right + 16:.1f} {label:.1f}h4"
        parts.append(svg.tag("path", d=elbow, class_="leader", data_model=model))
        parts.append(svg.text(right + 24, label + 4, _shorten(mine[0]["title"]), class_="name", data_model=model))
        parts += [_paper_mark(across(row["paper"]["fps"]), y, row) for row in mine[:1] if _has_paper_fps(row)]
        for row in mine:
            tooltip = f"{row_label(row)}: {svg.short(row['fps'])} fps, AP50 {_ap50(row):g}{_ap50_source(row)}"
            shape, colour = row_style(rows, row)
            parts.append(svg.mark(across(row["fps"]), y, shape, colour, tooltip, model))
    title = f"Frames per second and AP50 of {len(models)} models, measured and from the paper"
    return svg.drawing(WIDTH, bottom + 46, title, parts, "accuracy")


def draw_relative(rows: Sequence[Row]) -> str:
    """Draw each row's speed over YOLOv3-tiny's on the same engine, beside the paper's; "" where there is none."""
    measured = [row for row in select_measured(rows) if row.get("relative")]
    models = list(dict.fromkeys(row["model"] for row in measured))
    if len(models) < 2:
        return ""
    left, right, top, step = 216.0, WIDTH - 24, 12.0, 30.0
    bottom = top + step * len(models)
    values = [row[key] for row in measured for key in ("relative", "paper_relative") if row.get(key)]
    across = svg.padded_scale(values, left, right, log=True)
    parts = svg.grid(across, Scale(0, 1, bottom, top), "times as fast as YOLOv3-tiny", "", (8, 0))
    parts.append(svg.line(across(1), top, across(1), bottom, "base"))
    for turn, model in enumerate(models):
        y = top + step * (turn + 0.5)
        mine = [row for row in measured if row["model"] == model]
        parts.append(svg.line(left, y, right, y, "guide"))
        parts.append(
            svg.text(left - 14, y + 4, _shorten(mine[0]["title"]), class_="name", text_anchor="end", data_model=model)
        )
        theirs = mine[0].get("paper_relative")
        if theirs:
            parts.append(_paper_mark(across(theirs), y, mine[0], f"{theirs:.2f} times as fast as YOLOv3-tiny"))
        for row in mine:
            shape, colour = row_style(rows, row)
            tooltip = f"{row_label(row)}: {row['relative']:.2f} times as fast as YOLOv3-tiny"
            parts.append(svg.mark(across(row["relative"]), y, shape, colour, tooltip, model))
    return svg.drawing(WIDTH, bottom + 46, "Speed over YOLOv3-tiny's, here and in the paper", parts, "relative")


def draw_latencies(rows: Sequence[Row]) -> str:
    """Draw the distribution of every row's samples over their median; "" where nothing was measured."""
    measured = [row for row in select_measured(rows) if row.get("ms")]
    if not measured:
        return ""
    left, right, top, step = 132.0, WIDTH - 178, 34.0, 24.0
    shares = [np.asarray(row["ms"], float) / row["median_ms"] for row in measured]
    ends = np.array([stats.quantiles(share, 0.005, 0.995) for share in shares])
    low, high = float(np.clip(ends[:, 0].min(), 0.5, 0.95)), float(np.clip(ends[:, 1].max(), 1.25, 3.0))
    across = Scale(low / 1.02, high * 1.02, left, right, log=True)
    y, body = top, []
    for _, group in groupby(zip(measured, shares), key=lambda each: each[0]["model"]):
        mine = list(group)
        body.append(svg.text(left - 122, y + 15, mine[0][0]["title"], class_="name strong"))
        y += step - 2
        for row, share in mine:
            body += _violin(rows, row, share, across, y + step / 2)
            y += step
        y += 6
    parts = svg.grid(across, Scale(0, 1, y, top), "latency over the row's median", "", (8, 0))
    parts.append(svg.line(across(1), top, across(1), y, "base"))
    for place, heading in ((right + 58, "median"), (right + 112, "p90"), (right + 166, "p99 ms")):
        parts.append(svg.text(place, 20, heading, class_="tick", text_anchor="end"))
    title = f"Distribution of the latencies of {len(measured)} rows, each over its own median"
    return svg.drawing(WIDTH, y + 46, title, parts + body, "latencies")


def draw_stages(rows: Sequence[Row]) -> str:
    """Draw the time of a frame by stage; "" where stages were not measured."""
    measured = [row for row in select_measured(rows) if row.get("stages")]
    if not measured:
        return ""
    left, right, top, step = 216.0, WIDTH - 112, 12.0, 30.0
    sums = [sum(float(np.mean(row["stages"][key])) for key, _ in STAGES) for row in measured]
    walls = [float(np.mean(row["wall_ms"])) if row.get("wall_ms") else total for row, total in zip(measured, sums)]
    bottom = top + step * len(measured)
    across = Scale(0, max(sums + walls) * 1.02, left, right)
    parts = svg.grid(across, Scale(0, 1, bottom, top), "ms per frame (mean)", "", (8, 0))
    for turn, (row, total, wall) in enumerate(zip(measured, sums, walls)):
        y, edge = top + step * turn + 6, 0.0
        parts.append(svg.text(left - 14, y + 8, _shorten(row["title"]), class_="name", text_anchor="end"))
        parts.append(svg.text(left - 14, y + 20, configuration_label(row), class_="tick", text_anchor="end"))
        for index, (key, stage) in enumerate(STAGES):
            taken = float(np.mean(row["stages"][key]))
            tooltip = f"{row_label(row)}, {stage}: {svg.short(taken)} ms, {taken / total:.0%}"
            parts.append(svg.bar(across(edge), across(edge + taken), y, step - 12, f"stage s{index}", tooltip))
            edge += taken
        parts.append(svg.line(across(wall), y - 3, across(wall), y + step - 9, "wall"))
        parts.append(svg.text(right + 12, y + 14, f"{svg.short(wall)} ms wall", class_="tick"))
    return svg.drawing(WIDTH, bottom + 46, "Milliseconds per frame by stage", parts, "stages")


def row_label(row: Row) -> str:
    """A row's name for people."""
    return f"{row['title']}, {configuration_label(row)}"


def configuration_label(row: Row) -> str:
    """Engine, device where it is not the CPU, precision."""
    device = "" if row["device"] in ("cpu", None) else f" {row['device']}"
    return f"{row['engine']}{device} {row['precision']}"


def _violin(rows: Sequence[Row], row: Row, share: Any, across: Scale, y: float) -> List[str]:
    """Draw one row's label, violin, quartiles, percentiles and outliers, centred on y."""
    _, colour = row_style(rows, row)
    edges = np.geomspace(across.low, across.high, BINS + 1)
    heights = np.histogram(share, edges)[0].astype(float)
    near = np.exp(-0.5 * (np.arange(-4, 5) / 1.3) ** 2)
    heights = np.convolve(heights, near / near.sum(), "same")
    heights *= 9 / max(heights.max(), 1e-9)
    middles = [across(value) for value in np.sqrt(edges[:-1] * edges[1:])]
    paths = []
    for first, last in svg.runs(list(heights), 0.15):
        upper = [f"{middles[index]:.1f} {y - heights[index]:.1f}" for index in range(first, last)]
        lower = [f"{middles[index]:.1f} {y + heights[index]:.1f}" for index in range(last - 1, first - 1, -1)]
        paths.append("M" + "L".join(upper + lower) + "z")
    quarter, three, p99 = stats.quantiles(share, 0.25, 0.75, 0.99)
    tooltip = svg.tag("title", f"{len(share)} samples, IQR {(three - quarter):.1%} of the median")
    far = [value for value in np.sort(share)[::-1][:DOTS] if value > p99]
    parts = [
        svg.text(across.start - 12, y + 4, configuration_label(row), class_="tick", text_anchor="end"),
        svg.line(across.start, y, across.end, y, "guide"),
        svg.tag("path", tooltip, d="".join(paths), class_=f"violin {colour}"),
        svg.bar(across(quarter), across(three), y - 1.5, 3, "quartiles"),
        *(svg.tag("circle", cx=across(value), cy=y, r=1.6, class_=f"far {colour}") for value in far),
    ]
    for turn, key in enumerate(("median_ms", "p90_ms", "p99_ms")):
        parts.append(
            svg.text(across.end + 58 + 54 * turn, y + 4, svg.short(row[key]), class_="number", text_anchor="end")
        )
    if row.get("unstable"):
        parts.append(svg.tag("circle", cx=across.start - 126, cy=y, r=4, class_="warn"))
    return parts


def _paper_mark(x: float, y: float, row: Row, figure: str = "") -> str:
    paper = row["paper"] or {}
    tooltip = f"{row['title']} in the paper ({paper.get('on')}): {figure or '{:g} fps'.format(paper.get('fps') or 0)}"
    return svg.mark(x, y, "ring", "paper", tooltip, row["model"])


def _has_paper_fps(row: Row) -> bool:
    return bool((row.get("paper") or {}).get("fps"))


def _ap50(row: Row) -> Any:
    measured_here = row.get("ap50")
    return measured_here if measured_here is not None else (row.get("paper") or {}).get("ap50")


def _ap50_source(row: Row) -> str:
    return "" if row.get("ap50") is not None else " (the paper's)"


def _shorten(title: str) -> str:
    """Shorten a title to fit beside a chart; the table has it in full."""
    return title if len(title) <= LETTERS else title[: LETTERS - 1].rstrip(" ,.-") + "…"


def _spread_heights(heights: Sequence[float]) -> List[float]:
    """Spread heights so that models of the same AP50 do not overlap: nine pixels at least between two."""
    placed: List[float] = []
    for y in heights:
        while any(abs(y - other) < 9 for other in placed):
            y += 9
        placed.append(y)
    return placed
