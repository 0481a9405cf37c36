"""The report's table: a column a figure, the paper's beside the measured ones and never among them."""

from __future__ import annotations

from html import escape
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..media.html.svg import short, tag
from . import _html_plots as plots

Row = Dict[str, Any]


class Column(NamedTuple):
    """A column of the table: its head, what the head says when pointed at, and a row's value and how it is shown."""

    head: str
    about: str
    value: Callable[[Row], Any]
    show: Callable[[Any], str] = short


COLUMNS = (
    Column("median ms", "half of the calls took longer", lambda row: row["median_ms"]),
    Column("p90", "ms; MLPerf's figure for SingleStream", lambda row: row["p90_ms"]),
    Column("p99", "ms", lambda row: row["p99_ms"]),
    Column("p99.9", "ms", lambda row: row["p999_ms"]),
    Column("IQR", "the middle half over the median", lambda row: _over(row, "iqr_ms", "median_ms"), "{:.1%}".format),
    Column("fps", "frames a second", lambda row: row["fps"]),
    Column("CPU ms", "what all threads computed a call", lambda row: _middle(row.get("cpu_ms"))),
    Column("GFLOP/s", "the model's operations a second", lambda row: row.get("gflops")),
    Column("of peak", "over the measured matrix product's", lambda row: row.get("of_peak"), "{:.0%}".format),
    Column("x tiny", "times as fast as YOLOv3-tiny, same engine", lambda row: row.get("relative"), "{:.2f}".format),
    Column("paper x", "the same in the paper's column", lambda row: row.get("paper_relative"), "{:.2f}".format),
    Column("paper fps", "on the paper's machine", lambda row: _paper(row, "fps"), "{:g}".format),
    Column("AP50", "measured here, %", lambda row: row.get("ap50"), "{:.1f}".format),
    Column("paper AP50", "COCO test-dev, %", lambda row: _paper(row, "ap50"), "{:.1f}".format),
    Column("BFLOPs", "a picture, as the paper counts", lambda row: row.get("bflops"), "{:.2f}".format),
    Column("MB", "peak memory of the row's process", lambda row: _over(row, "peak_memory_bytes", 1e6), "{:.0f}".format),
    Column("load s", "until the first result", lambda row: row.get("load_s"), "{:.2f}".format),
    Column("W", "mean power", lambda row: (row.get("power") or {}).get("watts"), "{:.1f}".format),
    Column("J a frame", "energy", lambda row: (row.get("power") or {}).get("joules_a_frame"), "{:.3f}".format),
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Head and body; a column in which no row has anything is left out."""
    columns = [column for column in COLUMNS if any(column.value(row) is not None for row in plots.measured(rows))]
    heads = [("model", "", "text"), ("engine", "", "text")] + [(each.head, each.about, "number") for each in columns]
    top = "".join(
        tag("th", tag("button", escape(head), type="button", title=about), scope="col", class_=kind, aria_sort="none")
        for head, about, kind in [*heads, ("notes", "", "text")]
    )
    return tag("thead", tag("tr", top)) + tag("tbody", *(_line(row, columns) for row in rows))


def _line(row: Row, columns: Sequence[Column]) -> str:
    size = "x".join(str(side) for side in reversed(row["input_hw"]))
    cells = [
        tag("th", escape(row["title"]), tag("small", f" {size}"), scope="row", data_sort=row["title"].lower()),
        tag("td", escape(plots.kind(row)), _badge(row), class_="text", data_sort=plots.kind(row)),
    ]
    if row.get("median_ms"):
        for column in columns:
            value = column.value(row)
            shown = "" if value is None else column.show(value)
            cells.append(tag("td", escape(shown), data_sort="" if value is None else repr(float(value))))
    else:
        cells += [tag("td", data_sort="")] * len(columns)
    cells.append(tag("td", _notes(row), class_="text notes", data_sort=_sorted_by(row)))
    return tag("tr", *cells, class_="" if row.get("median_ms") else "missing", data_model=row["model"])


def _badge(row: Row) -> str:
    if row.get("reason"):
        return " " + tag("span", "not measured", class_="badge none")
    return " " + tag("span", "unstable", class_="badge") if row.get("unstable") else ""


def _notes(row: Row) -> str:
    if row.get("reason"):
        return escape(row["reason"])
    return escape("; ".join([*(row.get("causes") or ()), f"weights: {row.get('weights')}"]))


def _sorted_by(row: Row) -> str:
    return "2" if row.get("reason") else "1" if row.get("unstable") else "0"


def _paper(row: Row, key: str) -> Optional[float]:
    return (row.get("paper") or {}).get(key)


def _over(row: Row, key: str, by: Any) -> Optional[float]:
    value, other = row.get(key), row.get(by) if isinstance(by, str) else by
    return None if value is None or not other else float(value) / float(other)


def _middle(values: Optional[List[float]]) -> Optional[float]:
    return sorted(values)[len(values) // 2] if values else None
