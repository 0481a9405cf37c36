"""Report of `edgecsp bench` in a terminal. The paper's figures have their own columns, in another colour."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from .. import _options, _print

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ...bench import Difference

Row = Dict[str, Any]
WIDE = 200  # without a terminal
ENOUGH = 1000  # samples: with fewer, p99.9 is the slowest of them
SCENARIOS = {
    "single": "one image at a time (SingleStream: p90 counts)",
    "offline": "batches back to back (Offline: fps counts)",
    "multi": "queries of 8 images (MultiStream: p99 counts)",
}


class TableColumn(NamedTuple):
    """Column: header, cell of a row, whether it is the paper's; `latency` columns go to a second table if needed."""

    head: str
    cell: Callable[[Row], str]
    paper: bool = False
    latency: bool = False


def _number(key: str, digits: int = 2, times: float = 1.0) -> Callable[[Row], str]:
    return lambda row: "" if row[key] is None else f"{times * row[key]:.{digits}f}"


def _paper(key: str) -> Callable[[Row], str]:
    return lambda row: f"{row['paper'][key]:g}" if row["paper"] and row["paper"][key] else ""


def _power(key: str) -> Callable[[Row], str]:
    return lambda row: f"{row['power'][key]:.3g}" if row["power"] else ""


COLUMNS = (
    TableColumn("fps", lambda row: f"{row['fps']:.1f}{'?' if row['unstable'] else ''}"),
    TableColumn("ms", _number("median_ms")),
    TableColumn("p90", _number("p90_ms"), latency=True),
    TableColumn("p99", _number("p99_ms"), latency=True),
    TableColumn("p99.9", lambda row: _number("p999_ms")(row) + ("" if len(row["ms"]) >= ENOUGH else "*"), latency=True),
    TableColumn("IQR", lambda row: f"{100 * row['iqr_ms'] / row['median_ms']:.1f}%", latency=True),
    TableColumn("CPU ms", lambda row: f"{sum(row['cpu_ms']) / len(row['cpu_ms']):.2f}"),
    TableColumn("GFLOP/s", _number("gflops", 1)),
    TableColumn("of peak", lambda row: _number("of_peak", 0, 100)(row) + "%" * (row["of_peak"] is not None)),
    TableColumn("MB", _number("peak_memory_bytes", 0, 1e-6)),
    TableColumn("W", _power("watts")),
    TableColumn("J/frame", _power("joules_a_frame")),
    TableColumn("AP", _number("ap", 1)),
    TableColumn("AP50", _number("ap50", 1)),
    TableColumn("x tiny", _number("relative")),
    TableColumn("paper x tiny", _number("paper_relative"), paper=True),
    TableColumn("paper fps", _paper("fps"), paper=True),
    TableColumn("paper AP50", _paper("ap50"), paper=True),
)


def row_name(row: Row) -> str:
    """Name a row for people."""
    return f"{_model(row)} on {row['engine']} in {row['precision']}"


def _model(row: Row) -> str:
    return Path(row["model"]).name if row["weights"] == "file" else str(row["model"])


def report(summary: Dict[str, Any], *, to_stderr: bool) -> None:
    """Print the header, the tables and the notes."""
    console = console_on(to_stderr)
    for line in _header(summary):
        console.print(line, markup=False)
    rows = [row for row in summary["rows"] if row["ms"]]
    console.print()
    if rows:
        for table in _tables(rows, console.width):
            console.print(table)
        if summary["settings"]["mode"] == "pipeline":
            console.print(_stages(rows))
    for line in _notes(summary, rows):
        console.print(line, markup=False)


def differences(entries: Sequence[Difference], doubts: Sequence[str], *, to_stderr: bool) -> None:
    """Print the differences between two reports, a line per row, and whether they exceed the noise."""
    console = console_on(to_stderr)
    table = plain_table("model", "engine", "", right=("first, ms", "second, ms", "ratio", "95 %", "the second is"))
    for each in entries:
        span = f"{each.low:.3f} .. {each.high:.3f}"
        cells = (f"{each.a_ms:.2f}", f"{each.b_ms:.2f}", f"{each.ratio:.3f}", span, each.verdict)
        style = {"faster": "green", "slower": "red"}.get(each.verdict)
        table.add_row(Path(each.model).name, each.engine, each.precision, *cells, style=style)
    console.print(table)
    for doubt in doubts:
        console.print(f"note: {doubt}", markup=False)


def console_on(to_stderr: bool) -> Console:
    """Create a console for stdout or stderr, as wide as its terminal."""
    stream = sys.stderr if to_stderr else sys.stdout
    return _print.console(
        to_stderr=to_stderr, width=None if stream.isatty() else WIDE, highlight=False, soft_wrap=False
    )


def _header(summary: Dict[str, Any]) -> Iterator[str]:
    machine, settings = summary["machine"], summary["settings"]
    isa = ", ".join(machine["isa"]) or "instruction sets unknown"
    quota = f", a quota of {machine['quota']:g}" if machine["quota"] is not None else ""
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB" if machine["memory_bytes"] else "memory unknown"
    yield f"{machine['name']} ({machine['machine']}): {isa}"
    yield (
        f"{settings['threads']} thread{'s' * (settings['threads'] > 1)} on {machine['cores']} cores "
        f"({machine['allowed']} of {machine['logical']} CPUs{quota}), "
        f"governor {machine['governor'] or 'unknown'}, {memory}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    commit = f" ({machine['commit']})" if machine["commit"] else ""
    yield f"{machine['os']}, Python {machine['python']}"
    yield versions.replace(
        f"edgecsp {machine['versions']['edgecsp']}", f"edgecsp {machine['versions']['edgecsp']}{commit}"
    )
    peaks = [f"{value:.0f} in {name}" for name, value in machine["peak_gflops"].items() if value]
    if peaks:
        yield f"At most {' and '.join(peaks)} GFLOP/s: a matrix product on the fastest engine"
    if machine["board"]:
        yield from _board(machine["board"])
    yield _how(settings, summary["seconds"])
    random = dict.fromkeys(row["model"] for row in summary["rows"] if row["weights"] == "random")
    if random:
        yield f"RANDOM WEIGHTS: {_options.join_names(list(random), 3)}: untrained; the speed is the same"
    if any(row["ranges"] for row in summary["rows"]):
        yield "int8 ranges from synthetic images, only for speed; for accuracy: edgecsp quantize"


def _how(settings: Dict[str, Any], seconds: float) -> str:
    what = "inference only" if settings["mode"] == "model" else "whole pipeline from file to boxes, on one thread"
    batch = f", batch {settings['batch']}" if settings["batch"] > 1 else ""
    fed = "one repeated image" if settings["same_picture"] else "different images"
    return (
        f"On {settings['device']}, {what}, {SCENARIOS[settings['scenario']]}{batch}, {fed}; "
        f"{settings['duration_s']:g} s per row in {settings['rounds']} interleaved rounds; {seconds:.0f} s in total"
    )


def _board(board: Dict[str, Any]) -> Iterator[str]:
    clocks = ", ".join(
        f"{name} {now:.0f}" + (f"/{most:.0f}" if most else "") for name, (now, most) in board["clocks_mhz"].items()
    )
    degrees = ", ".join(f"{name} {value:.0f}" for name, value in board["temperatures_c"].items())
    throttling = ", ".join(f"{name} {value}" for name, value in board["throttling"].items()) or "no throttling"
    yield f"{board['model']}, Jetson Linux {board['l4t'] or '?'}, power mode {board['mode'] or 'unknown'}"
    yield f"MHz: {clocks}; degrees: {degrees}; {throttling}"


def _tables(rows: Sequence[Row], width: int) -> Iterator[Table]:
    """Yield one table if it fits, else speeds and latencies in as many tables as needed."""
    columns = [column for column in COLUMNS if any(column.cell(row) for row in rows)]
    parts = [columns]
    if _least(_rows_table(columns, rows)) > width:
        parts = [[column for column in columns if column.latency == late] for late in (False, True)]
    for part in parts:
        while part:
            count = len(part)
            while count > 1 and _least(_rows_table(part[:count], rows)) > width:
                count -= 1
            yield _rows_table(part[:count], rows)
            part = part[count:]


def _least(table: Table) -> int:
    from rich.console import Console

    return Console(width=1000).measure(table).maximum


def _rows_table(columns: Sequence[TableColumn], rows: Sequence[Row]) -> Table:
    table = plain_table("model", "engine", "", right=[])
    for column in columns:
        style = "cyan" if column.paper else None
        table.add_column(column.head, justify="right", style=style, header_style=style, no_wrap=True)
    before = None
    for row in rows:
        if before not in (None, row["model"]):
            table.add_section()
        model = _model(row) if row["model"] != before else ""
        cells = [column.cell(row) for column in columns]
        table.add_row(model, row["engine"], row["precision"], *cells, style="yellow" if row["unstable"] else None)
        before = row["model"]
    return table


def _stages(rows: Sequence[Row]) -> Table:
    """Build the table of stages in mean milliseconds, which add up unlike medians."""
    from ...bench import stats

    names = list(rows[0]["stages"])
    table = plain_table("model", "engine", "", right=[*(f"{name}, ms" for name in names), "sum", "wall", "sum of wall"])
    for row in rows:
        means = [stats.mean(row["stages"][name]) for name in names]
        wall = stats.mean(row["wall_ms"])
        cells = [f"{value:.2f}" for value in (*means, sum(means), wall)]
        table.add_row(_model(row), row["engine"], row["precision"], *cells, f"{100 * sum(means) / wall:.1f}%")
    return table


def plain_table(*left: str, right: Sequence[str]) -> Table:
    """Create a table without lines; `right` are the headers of numeric columns."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for head in left:
        table.add_column(head, no_wrap=True)
    for head in right:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _notes(summary: Dict[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    """Yield notes on the table."""
    machines = dict.fromkeys(row["paper"]["on"] for row in rows if row["paper"] and row["paper"]["fps"])
    if machines:
        yield (
            f"paper: Table 5, fps on {' or '.join(machines)}; on other machines only x tiny (speed relative to "
            "YOLOv3-tiny in the same column) and the order are comparable"
        )
    ranks = [
        f"{each['engine']} {each['precision']} {each['spearman']:.2f} ({each['models']} models)"
        for each in summary["rank"]
        if each["spearman"] is not None
    ]
    if ranks:
        yield f"order of speeds, Spearman's correlation with the paper's: {', '.join(ranks)}"
    if any(len(row["ms"]) < ENOUGH for row in rows):
        yield f"* with fewer than {ENOUGH} samples p99.9 is the slowest"
    for why, which in _by_reason((", ".join(row["causes"]), row) for row in rows if row["unstable"]):
        yield f"? unstable (IQR beyond 10 %, or the median uncertain by more than 3 %): {which}; likely cause: {why}"
    for words, part in (("only partly measured", rows), ("not measured", [r for r in summary["rows"] if not r["ms"]])):
        for why, which in _by_reason((row["reason"], row) for row in part if row["reason"]):
            yield f"{words}: {which}: {why}"
    if summary["stopped"]:
        yield "stopped early: these are the results so far"


def _by_reason(pairs: Any) -> Iterator[Tuple[str, str]]:
    """Group rows with the same reason; if only its numbers differ, show the largest."""
    groups: Dict[str, List[Tuple[str, Row]]] = {}
    for why, row in pairs:
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "#", why), []).append((why, row))
    for same in groups.values():
        worst = max((why for why, _ in same), key=lambda why: [float(word) for word in re.findall(r"\d+\.?\d*", why)])
        yield worst, _options.join_names([row_name(row) for _, row in same], 3)
