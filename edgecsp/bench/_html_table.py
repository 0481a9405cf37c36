"""The report's table: one column per figure; the paper's figures have columns of their own."""

from __future__ import annotations

from html import escape
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..media.html.svg import short, tag
from . import _html_plots as plots

Row = Dict[str, Any]


class Column(NamedTuple):
    """A column of the table: heading, tooltip, how to read a row's value, and how to format it."""

    head: str
    about: str
    value: Callable[[Row], Any]
    show: Callable[[Any], str] = short


COLUMNS = (
    Column("median ms", "half of the calls were slower", lambda row: row["median_ms"]),
    Column("p90", "ms; MLPerf's figure for SingleStream", lambda row: row["p90_ms"]),
    Column("p99", "ms", lambda row: row["p99_ms"]),
    Column("p99.9", "ms", lambda row: row["p999_ms"]),
    Column("IQR", "quartile range over the median", lambda row: _ratio(row, "iqr_ms", "median_ms"), "{:.1%}".format),
    Column("fps", "frames per second", lambda row: row["fps"]),
    Column("CPU ms", "CPU time of all threads per call", lambda row: _median(row.get("cpu_ms"))),
    Column("GFLOP/s", "the model's operations per second", lambda row: row.get("gflops")),
    Column("of peak", "share of the measured matrix product's", lambda row: row.get("of_peak"), "{:.0%}".format),
    Column("x tiny", "speed over YOLOv3-tiny's on the same engine", lambda row: row.get("relative"), "{:.2f}".format),
    Column("paper x", "the same from the paper's figures", lambda row: row.get("paper_relative"), "{:.2f}".format),
    Column("paper fps", "on the paper's machine", lambda row: _paper(row, "fps"), "{:g}".format),
    Column("AP50", "measured here, %", lambda row: row.get("ap50"), "{:.1f}".format),
    Column("paper AP50", "COCO test-dev, %", lambda row: _paper(row, "ap50"), "{:.1f}".format),
    Column("BFLOPs", "per image, as the paper counts", lambda row: row.get("bflops"), "{:.2f}".format),
    Column("MB", "peak memory of the process", lambda row: _ratio(row, "peak_memory_bytes", 1e6), "{:.0f}".format),
    Column("load s", "until the first result", lambda row: row.get("load_s"), "{:.2f}".format),
    Column("W", "mean power", lambda row: (row.get("power") or {}).get("watts"), "{:.1f}".format),
    Column("J a frame", "energy", lambda row: (row.get("power") or {}).get("joules_a_frame"), "{:.3f}".format),
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Render head and body; a column without values is left out."""
    columns = [
        column for column in COLUMNS if any(column.value(row) is not None for row in plots.select_measured(rows))
    ]
    heads = [("model", "", "text"), ("engine", "", "text")] + [(each.head, each.about, "number") for each in columns]
    top = "".join(
        tag("th", tag("button", escape(head), type="button", title=about), scope="col", class_=kind, aria_sort="none")
        for head, about, kind in [*heads, ("notes", "", "text")]
    )
    return tag("thead", tag("tr", top)) + tag("tbody", *(_table_row(row, columns) for row in rows))


def _table_row(row: Row, columns: Sequence[Column]) -> str:
    size = "x".join(str(side) for side in reversed(row["input_hw"]))
    cells = [
        tag("th", escape(row["title"]), tag("small", f" {size}"), scope="row", data_sort=row["title"].lower()),
        tag(
            "td",
            escape(plots.configuration_label(row)),
            _badge(row),
            class_="text",
            data_sort=plots.configuration_label(row),
        ),
    ]
    if row.get("median_ms"):
        for column in columns:
            value = column.value(row)
            text = "" if value is None else column.show(value)
            cells.append(tag("td", escape(text), data_sort="" if value is None else repr(float(value))))
    else:
        cells += [tag("td", data_sort="")] * len(columns)
    cells.append(tag("td", _notes(row), class_="text notes", data_sort=_sort_key(row)))
    return tag("tr", *cells, class_="" if row.get("median_ms") else "missing", data_model=row["model"])


def _badge(row: Row) -> str:
    if row.get("reason"):
        return " " + tag("span", "not measured", class_="badge none")
    return " " + tag("span", "unstable", class_="badge") if row.get("unstable") else ""


def _notes(row: Row) -> str:
    if row.get("reason"):
        return escape(row["reason"])
    return escape("; ".join([*(row.get("causes") or ()), f"weights: {row.get('weights')}"]))


def _sort_key(row: Row) -> str:
    return "2" if row.get("reason") else "1" if row.get("unstable") else "0"


def _paper(row: Row, key: str) -> Optional[float]:
    return (row.get("paper") or {}).get(key)


def _ratio(row: Row, key: str, by: Any) -> Optional[float]:
    value, other = row.get(key), row.get(by) if isinstance(by, str) else by
    return None if value is None or not other else float(value) / float(other)


def _median(values: Optional[List[float]]) -> Optional[float]:
    return sorted(values)[len(values) // 2] if values else None
