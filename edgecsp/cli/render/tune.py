"""The report of `edgecsp tune` in a terminal: who was measured, how fast it was, why it left; and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List

from . import bench

if TYPE_CHECKING:
    from rich.table import Table

    from ...backends.tuning import CachedTuning

TITLES = {
    "latency": "latency: one picture in, boxes out, one after the other",
    "throughput": "throughput: pictures side by side, as run has them where frames may overlap",
}


def report(said: Dict[str, Any], *, to_stderr: bool) -> None:
    """The tables, the precisions that were judged, the choices beside the default, and what was not tried."""
    console = bench.console_on(to_stderr)
    for kind, title in TITLES.items():
        rows = [row for row in said["rows"] if row["kind"] == kind]
        if rows:
            console.print(f"\n{title}", markup=False)
            console.print(_table(rows, said["choices"][kind]["chosen"]))
    if any(row["dropped"] and row["rounds"] for row in said["rows"]):
        console.print(
            "who left was measured at other moments: the last column compares, its figures do not", markup=False
        )
    for line in (*_judged(said), *_chosen(said), *_untried(said)):
        console.print(line, markup=False, soft_wrap=True)


def _table(rows: List[Dict[str, Any]], chosen: Dict[str, Any]) -> Table:
    """Those that were measured to the end first, the fastest on top."""
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
        notes = ["chosen" * best, "the default" * row["default"], row["dropped"] or ""]
        cells = ["" if value is None else f"{value:.2f}" for value in figures]
        table.add_row(
            row["engine"], row["device"], row["precision"], _threads(row), *cells, str(row["rounds"]),
            "; ".join(filter(None, notes)), style="green" if best else "dim" if row["dropped"] else None,
        )  # fmt: skip
    return table


def _threads(row: Dict[str, Any]) -> str:
    share, at_once = row["threads"] // row["at_once"], row["at_once"]
    return str(share) if at_once == 1 else f"{share} a frame, {at_once} at once"


def _judged(said: Dict[str, Any]) -> Iterator[str]:
    for each in said["verdicts"]:
        what = f"{each['precision']} on {each['engine']}, {each['device']}"
        if each["refused"]:
            yield f"{what}: not taken: {each['refused']}"
        else:
            yield f"{what}: AP {each['ap']:.4f}, in {said['own']} {each['own']:.4f}: taken"
    for note in said["notes"]:
        yield f"note: {note}"


def _chosen(said: Dict[str, Any]) -> Iterator[str]:
    for kind, choice in said["choices"].items():
        best, default = choice["chosen"], choice["default"]
        line = f"{kind}: {best['engine']} on {best['device']} in {best['precision']}, {_words(best)}"
        if default is None:
            yield f"{line}: {_figure(kind, best)}; the default was not measured"
        elif choice["interval"] is None:
            yield f"{line}: {_figure(kind, best)}; that is the default, and nothing is surely faster"
        else:
            low, high = choice["interval"]
            yield (
                f"{line}: default auto {_figure(kind, default)}, tuned {_figure(kind, best)}: "
                f"{choice['times_as_fast']:.2f} times as fast ({low:.2f} to {high:.2f} with 95 %)"
            )


def _figure(kind: str, row: Dict[str, Any]) -> str:
    return f"{row['fps']:.1f} fps" if kind == "throughput" and row["kind"] == kind else f"{row['p50_ms']:.2f} ms"


def _words(row: Dict[str, Any]) -> str:
    share = row["threads"] // row["at_once"]
    each = f"{share} thread{'s' * (share > 1)}"
    return each if row["at_once"] == 1 else f"{each} a frame, {row['at_once']} at once"


def _untried(said: Dict[str, Any]) -> Iterator[str]:
    if said["own"] == "fp32" and said["data"] is None:
        again = f"edgecsp tune {said['model']} --data FOLDER"
        yield f"int8 was not tried, for it moves boxes; with labelled pictures: {again}"


def kept(each: CachedTuning) -> Iterator[str]:
    """A few lines about what is kept for a model."""
    said = each.content
    if not said:
        yield f"{each.path}: {each.stale_reason}"
        return
    size = "x".join(map(str, reversed(said["input_hw"])))
    yield f"{said['spec']} ({said['model']}, {size}), tuned on {said['date']}: {each.stale_reason or 'in use'}"
    for kind, row in said["choices"].items():
        yield f"  {kind:10} {row['engine']} on {row['device']} in {row['precision']}, {_words(row)}"
