"""The report's pictures, as SVG: speed and accuracy, speed over YOLOv3-tiny's, latencies, stages.

A row is one of the report's; engine and precision have a colour and a shape, the same in every picture, and what the
paper prints is hollow.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..media.html import svg
from ..media.html.svg import Scale

WIDTH = 760.0
SHAPES = {"fp32": "circle", "fp16": "square", "int8": "diamond"}
STAGES = (("decode", "read"), ("preprocess", "preprocess"), ("inference", "inference"), ("post", "decode + NMS"))
BINS = 150
LETTERS = 28  # of a model's name beside a plot
DOTS = 40  # single samples drawn beyond p99

Row = Dict[str, Any]


def measured(rows: Sequence[Row]) -> List[Row]:
    """The rows that have figures."""
    return [row for row in rows if row.get("median_ms")]


def looks(rows: Sequence[Row], row: Row) -> Tuple[str, str]:
    """A row's shape and its classes: its engine's colour, by the order in which engines come in the report."""
    engines = list(dict.fromkeys(each["engine"] for each in rows))
    unstable = " unstable" if row.get("unstable") else ""
    return SHAPES.get(row["precision"], "circle"), f"e{engines.index(row['engine']) % 6}{unstable}"


def accuracy(rows: Sequence[Row]) -> str:
    """Frames a second and AP50, as the paper's Figure 1; "" where no row has both.

    Its height is the AP50 that was measured here, else the paper's.
    """
    able = [row for row in measured(rows) if _ap50(row) is not None]
    if not able:
        return ""
    left, right, top, bottom = 52.0, WIDTH - 222, 14.0, 440.0
    printed = [row["paper"]["fps"] for row in able if _printed(row)]
    across = svg.padded_scale([row["fps"] for row in able] + printed, left, right, log=True)
    # Whole lines of AP50 only where every one of a model's rows has the same; each has a place of its own.
    models = {(row["model"], _ap50(row)): row for row in able}
    upward = svg.padded_scale([ap50 for _, ap50 in models], bottom, top)
    lines = dict(zip(models, _dodged([upward(ap50) for _, ap50 in models])))
    parts = _grid(across, upward, "frames a second (equal steps are equal ratios)", "AP50, %")
    places = dict(zip(lines, svg.spread(list(lines.values()), 17, top + 4, bottom)))
    for (model, ap50), y in lines.items():
        mine = [row for row in able if (row["model"], _ap50(row)) == (model, ap50)]
        xs = [across(row["fps"]) for row in mine] + [across(row["paper"]["fps"]) for row in mine if _printed(row)]
        label = places[model, ap50]
        elbow = f"M{min(xs):.1f} {y:.1f}H{right + 4:.1f}L{right + 16:.1f} {label:.1f}h4"
        parts.append(svg.tag("path", d=elbow, class_="leader", data_model=model))
        parts.append(svg.text(right + 24, label + 4, _short(mine[0]["title"]), class_="name", data_model=model))
        parts += [_papers(across(row["paper"]["fps"]), y, row) for row in mine[:1] if _printed(row)]
        for row in mine:
            told = f"{named(row)}: {svg.short(row['fps'])} fps, AP50 {_ap50(row):g}{_whose(row)}"
            shape, colour = looks(rows, row)
            parts.append(svg.mark(across(row["fps"]), y, shape, colour, told, model))
    title = f"Frames a second and AP50 of {len(models)} models, measured and as the paper prints them"
    return svg.drawing(WIDTH, bottom + 46, title, parts, "accuracy")


def relative(rows: Sequence[Row]) -> str:
    """Each row's speed over YOLOv3-tiny's on the same engine, beside the paper's; "" where there is none."""
    able = [row for row in measured(rows) if row.get("relative")]
    models = list(dict.fromkeys(row["model"] for row in able))
    if len(models) < 2:
        return ""
    left, right, top, step = 216.0, WIDTH - 24, 12.0, 30.0
    bottom = top + step * len(models)
    values = [row[key] for row in able for key in ("relative", "paper_relative") if row.get(key)]
    across = svg.padded_scale(values, left, right, log=True)
    parts = _grid(across, Scale(0, 1, bottom, top), "times as fast as YOLOv3-tiny", "", crosses=False)
    parts.append(svg.line(across(1), top, across(1), bottom, "base"))
    for turn, model in enumerate(models):
        y = top + step * (turn + 0.5)
        mine = [row for row in able if row["model"] == model]
        parts.append(svg.line(left, y, right, y, "guide"))
        parts.append(
            svg.text(left - 14, y + 4, _short(mine[0]["title"]), class_="name", text_anchor="end", data_model=model)
        )
        theirs = mine[0].get("paper_relative")
        if theirs:
            parts.append(_papers(across(theirs), y, mine[0], f"{theirs:.2f} times as fast as YOLOv3-tiny"))
        for row in mine:
            shape, colour = looks(rows, row)
            told = f"{named(row)}: {row['relative']:.2f} times as fast as YOLOv3-tiny"
            parts.append(svg.mark(across(row["relative"]), y, shape, colour, told, model))
    return svg.drawing(WIDTH, bottom + 46, "Speed over YOLOv3-tiny's, here and in the paper", parts, "relative")


def latencies(rows: Sequence[Row]) -> str:
    """Every row's samples over their own median: how wide, how long a tail. "" where nothing was measured."""
    able = [row for row in measured(rows) if row.get("ms")]
    if not able:
        return ""
    left, right, top, step = 132.0, WIDTH - 178, 34.0, 24.0
    shares = [np.asarray(row["ms"], float) / row["median_ms"] for row in able]
    ends = np.array([np.percentile(share, (0.5, 99.5)) for share in shares])
    low, high = float(np.clip(ends[:, 0].min(), 0.5, 0.95)), float(np.clip(ends[:, 1].max(), 1.25, 3.0))
    across = Scale(low / 1.02, high * 1.02, left, right, log=True)
    y, body = top, []
    for _, group in groupby(zip(able, shares), key=lambda each: each[0]["model"]):
        mine = list(group)
        body.append(svg.text(left - 122, y + 15, mine[0][0]["title"], class_="name strong"))
        y += step - 2
        for row, share in mine:
            body += _violin(rows, row, share, across, y + step / 2)
            y += step
        y += 6
    parts = _grid(across, Scale(0, 1, y, top), "latency over the row's median", "", crosses=False)
    parts.append(svg.line(across(1), top, across(1), y, "base"))
    for place, said in ((right + 58, "median"), (right + 112, "p90"), (right + 166, "p99 ms")):
        parts.append(svg.text(place, 20, said, class_="tick", text_anchor="end"))
    title = f"Distribution of the latencies of {len(able)} rows, each over its own median"
    return svg.drawing(WIDTH, y + 46, title, parts + body, "latencies")


def stages(rows: Sequence[Row]) -> str:
    """Where a frame's time goes, stage by stage; "" where stages were not measured."""
    able = [row for row in measured(rows) if row.get("stages")]
    if not able:
        return ""
    left, right, top, step = 216.0, WIDTH - 112, 12.0, 30.0
    sums = [sum(float(np.mean(row["stages"][key])) for key, _ in STAGES) for row in able]
    walls = [float(np.mean(row["wall_ms"])) if row.get("wall_ms") else total for row, total in zip(able, sums)]
    bottom = top + step * len(able)
    across = Scale(0, max(sums + walls) * 1.02, left, right)
    parts = _grid(across, Scale(0, 1, bottom, top), "ms a frame, means", "", crosses=False)
    for turn, (row, total, wall) in enumerate(zip(able, sums, walls)):
        y, edge = top + step * turn + 6, 0.0
        parts.append(svg.text(left - 14, y + 8, _short(row["title"]), class_="name", text_anchor="end"))
        parts.append(svg.text(left - 14, y + 20, kind(row), class_="tick", text_anchor="end"))
        for index, (key, said) in enumerate(STAGES):
            taken = float(np.mean(row["stages"][key]))
            told = f"{named(row)}, {said}: {svg.short(taken)} ms, {taken / total:.0%}"
            parts.append(svg.bar(across(edge), across(edge + taken), y, step - 12, f"stage s{index}", told))
            edge += taken
        parts.append(svg.line(across(wall), y - 3, across(wall), y + step - 9, "wall"))
        parts.append(svg.text(right + 12, y + 14, f"{svg.short(wall)} ms wall", class_="tick"))
    return svg.drawing(WIDTH, bottom + 46, "Milliseconds a frame by stage", parts, "stages")


def named(row: Row) -> str:
    """A row as people say it."""
    return f"{row['title']}, {kind(row)}"


def kind(row: Row) -> str:
    """Engine, device where it is not the CPU, precision."""
    device = "" if row["device"] in ("cpu", None) else f" {row['device']}"
    return f"{row['engine']}{device} {row['precision']}"


def _violin(rows: Sequence[Row], row: Row, share: Any, across: Scale, y: float) -> List[str]:
    """One row's label, shape, quartiles, percentiles and furthest samples, around y."""
    _, colour = looks(rows, row)
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
    quarter, three, p99 = np.percentile(share, (25, 75, 99))
    told = svg.tag("title", f"{len(share)} samples, IQR {(three - quarter):.1%} of the median")
    far = [value for value in np.sort(share)[::-1][:DOTS] if value > p99]
    parts = [
        svg.text(across.start - 12, y + 4, kind(row), class_="tick", text_anchor="end"),
        svg.line(across.start, y, across.end, y, "guide"),
        svg.tag("path", told, d="".join(paths), class_=f"violin {colour}"),
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


def _grid(across: Scale, upward: Scale, below: str, beside: str, crosses: bool = True) -> List[str]:
    """The ticks of both axes, their lines and what they count."""
    parts, bottom, top = [], upward.start, upward.end
    for value in across.ticks():
        parts.append(svg.line(across(value), top, across(value), bottom, "grid"))
        parts.append(svg.text(across(value), bottom + 18, svg.plain(value), class_="tick", text_anchor="middle"))
    for value in upward.ticks() if crosses else ():
        parts.append(svg.line(across.start, upward(value), across.end, upward(value), "grid"))
        parts.append(svg.text(across.start - 8, upward(value) + 4, svg.plain(value), class_="tick", text_anchor="end"))
    parts.append(svg.text((across.start + across.end) / 2, bottom + 38, below, class_="axis", text_anchor="middle"))
    if beside:
        turned = f"translate(14 {(top + bottom) / 2:.0f}) rotate(-90)"
        parts.append(svg.text(0, 0, beside, class_="axis", text_anchor="middle", transform=turned))
    return parts


def _papers(x: float, y: float, row: Row, said: str = "") -> str:
    paper = row["paper"] or {}
    told = f"{row['title']} in the paper ({paper.get('on')}): {said or '{:g} fps'.format(paper.get('fps') or 0)}"
    return svg.mark(x, y, "ring", "paper", told, row["model"])


def _printed(row: Row) -> bool:
    return bool((row.get("paper") or {}).get("fps"))


def _ap50(row: Row) -> Any:
    measured_here = row.get("ap50")
    return measured_here if measured_here is not None else (row.get("paper") or {}).get("ap50")


def _whose(row: Row) -> str:
    return "" if row.get("ap50") is not None else " (the paper's)"


def _short(title: str) -> str:
    """What fits beside a plot; the table has the whole."""
    return title if len(title) <= LETTERS else title[: LETTERS - 1].rstrip(" ,.-") + "…"


def _dodged(heights: Sequence[float]) -> List[float]:
    """Models of the same AP50 drawn beside each other, not on each other: six pixels at least between two."""
    placed: List[float] = []
    for y in heights:
        while any(abs(y - other) < 9 for other in placed):
            y += 9
        placed.append(y)
    return placed
