"""Report of `edgecsp tune` in a terminal: candidates, speeds, why candidates were dropped, cached choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List

from . import bench

if TYPE_CHECKING:
    from rich.table import Table

    from ...backends.tuning import CachedTuning

TITLES = {
    "latency": "latency: one image at a time",
    "throughput": "throughput: concurrent images, as in run where frames may overlap",
}


def report(summary: Dict[str, Any], *, to_stderr: bool) -> None:
    """Print the tables, the accuracy checks, the choices next to the default, and what was not tried."""
    console = bench.console_on(to_stderr)
    for kind, title in TITLES.items():
        rows = [row for row in summary["rows"] if row["kind"] == kind]
        if rows:
            console.print(f"\n{title}", markup=False)
            console.print(_table(rows, summary["choices"][kind]["chosen"]))
    if any(row["dropped"] and row["rounds"] for row in summary["rows"]):
        console.print(
            "dropped candidates were measured at other times: compare by the last column, not by their figures",
            markup=False,
        )
    for line in (*_verdict_lines(summary), *_choice_lines(summary), *_untried_lines(summary)):
        console.print(line, markup=False, soft_wrap=not console.is_terminal)


def _table(rows: List[Dict[str, Any]], chosen: Dict[str, Any]) -> Table:
    """Build the table: fully measured candidates first, the fastest on top."""
    key = "p50_ms" if rows[0]["kind"] == "latency" else "fps"
    heads = ("p50, ms", "p90, ms", "CPU ms") if key == "p50_ms" else ("fps", "CPU ms a frame")
    table = bench.plain_table("engine", "device", "", "threads", right=(*heads, "rounds"))
    table.add_column("")

    def order(row: Dict[str, Any]) -> Any:
        figure = row[key] or 0.0
        return row["dropped"] is not None, figure if key == "p50_ms" else -figure

    for row in sorted(rows, key=order):
        figures = (row["p50_ms"], row["p90_ms"], row["cpu_ms"]) if key == "p50_ms" else (row["fps"], row["cpu_ms"])
        best = all(row[name] == chosen[name] for name in ("engine", "device", "precision", "threads", "at_once"))
        notes = ["chosen" * best, "the default" * row["default"], row["dropped"] or "", "unstable" * row["unstable"]]
        cells = ["" if value is None else f"{value:.2f}" for value in figures]
        table.add_row(
            row["engine"], row["device"], row["precision"], _threads(row), *cells, str(row["rounds"]),
            "; ".join(filter(None, notes)), style="green" if best else "dim" if row["dropped"] else None,
        )  # fmt: skip
    return table


def _threads(row: Dict[str, Any]) -> str:
    share, at_once = row["threads"] // row["at_once"], row["at_once"]
    return str(share) if at_once == 1 else f"{share} per frame, {at_once} frames at once"


def _verdict_lines(summary: Dict[str, Any]) -> Iterator[str]:
    for each in summary["verdicts"]:
        what = f"{each['precision']} on {each['engine']}, {each['device']}"
        if each["refused"]:
            yield f"{what}: rejected: {each['refused']}"
        else:
            yield f"{what}: AP {each['ap']:.4f}, in {summary['own']} {each['own']:.4f}: accepted"
    for note in summary["notes"]:
        yield f"note: {note}"


def _choice_lines(summary: Dict[str, Any]) -> Iterator[str]:
    for kind, choice in summary["choices"].items():
        best, default = choice["chosen"], choice["default"]
        line = f"{kind}: {best['engine']} on {best['device']} in {best['precision']}, {_words(best)}"
        if default is None:
            yield f"{line}: {_figure(kind, best)}; the default was not measured"
        elif choice["interval"] is None:
            yield f"{line}: {_figure(kind, best)}; that is the default; nothing is faster with certainty"
        else:
            low, high = choice["interval"]
            yield (
                f"{line}: default auto {_figure(kind, default)}, tuned {_figure(kind, best)}: "
                f"{choice['times_as_fast']:.2f} times as fast (95 % interval {low:.2f} to {high:.2f})"
            )


def _figure(kind: str, row: Dict[str, Any]) -> str:
    return f"{row['fps']:.1f} fps" if kind == "throughput" and row["kind"] == kind else f"{row['p50_ms']:.2f} ms"


def _words(row: Dict[str, Any]) -> str:
    share = row["threads"] // row["at_once"]
    each = f"{share} thread{'s' * (share > 1)}"
    return each if row["at_once"] == 1 else f"{each} per frame, {row['at_once']} frames at once"


def _untried_lines(summary: Dict[str, Any]) -> Iterator[str]:
    if summary["own"] == "fp32" and summary["data"] is None:
        again = f"edgecsp tune {summary['model']} --data FOLDER"
        yield f"int8 was not tried, because it changes boxes; to check it on labelled images: {again}"


def format_cached(each: CachedTuning) -> Iterator[str]:
    """Format a cached tuning as lines."""
    entry = each.content
    if not entry:
        yield f"{each.path}: {each.stale_reason}"
        return
    size = "x".join(map(str, reversed(entry["input_hw"])))
    yield f"{entry['spec']} ({entry['model']}, {size}), tuned on {entry['date']}: {each.stale_reason or 'in use'}"
    for kind, row in entry["choices"].items():
        yield f"  {kind:10} {row['engine']} on {row['device']} in {row['precision']}, {_words(row)}"
