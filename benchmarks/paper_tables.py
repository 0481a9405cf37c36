"""The paper's five tables: which row is in the zoo, by how much its cost is off, and where its layers are from.

    python -m benchmarks.paper_tables           write docs/paper-tables.md

A row without a model, without a figure, or with one that is not met says why.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from edgecsp import zoo
from edgecsp.zoo import PublishedRow

from .zoo_build import beside

REPO = Path(__file__).resolve().parents[1]
PAPER = REPO / "benchmarks" / "paper"
PAGE = REPO / "docs" / "paper-tables.md"
TABLES = {
    1: "PeleeNet and CSPPeleeNet on ImageNet",
    2: "heads on CSPPeleeNet",
    3: "classifiers on ImageNet",
    4: "detectors on COCO",
    5: "real-time detectors",
}
PARAMS, BFLOPS = 0.005, 0.01  # shares of the printed number from which a row must say why it is off
BASE = "peleenet"  # what Table 1 states changes of
Row = Dict[str, str]


def read(number: int) -> List[Row]:
    """Read the rows of a table, in its order."""
    lines = (PAPER / f"table{number}.csv").read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def page() -> str:
    """Write the five tables as Markdown."""
    lines = [
        "# The paper's tables and the zoo",
        "",
        "Written by `python -m benchmarks.paper_tables` from `benchmarks/paper` (the printed figures) and the zoo",
        "(layers, counted by the rule of [the zoo's README](../edgecsp/zoo/README.md)). A change in percent is that of",
        'BFLOPs against PeleeNet; "all" counts every stored float. published: the layers are their authors\' own;',
        "reconstructed: no cfg was published, the cost is the paper's.",
        "",
    ]
    for number, title in TABLES.items():
        lines += [f"## Table {number}: {title}", "", *table(number), ""]
    return "\n".join(lines)


def table(number: int) -> Iterator[str]:
    """Write one table, a line a row."""
    yield "| row | in the zoo | BFLOPs printed | counted | off | parameters printed | counted | off | layers | why |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---|---|"
    for row in read(number):
        yield f"| {' | '.join(cells(row))} |"


def cells(row: Row) -> List[str]:
    """Write the cells of a row; the last one says what is missing or not met."""
    title = " ".join(filter(None, [row["title"], row.get("size"), row.get("gamma") and f"gamma {row['gamma']}"]))
    if not row["model"]:
        printed = f"{row.get('bflops', '')} | | | {row.get('params_m', '')} | |"
        return [title, "no", printed, "", row["reason"]]
    record, bflops, params = figures(row)
    costs = beside(record.bflops, bflops, 3)
    if row.get("change") and record.bflops is None:
        change = bflops / zoo.get(BASE).cost().bflops - 1
        costs = f"{int(row['change']):+d}% | {100 * change:+.1f}% | "
    mark = " all" if record.count == "floats" else ""
    reasons = dict.fromkeys(filter(None, [row.get("reason"), record.miss]))
    entry = zoo.get(row["model"])
    return [
        title, f"`{entry.name}`", costs, beside(record.params_m, params, 3, mark), entry.provenance, "; ".join(reasons)
    ]  # fmt: skip


def figures(row: Row) -> Tuple[PublishedRow, float, float]:
    """The printed figures of a row's model, and its BFLOPs and millions of parameters by our count."""
    entry = zoo.get(row["model"])
    size = int(row.get("size") or entry.size)
    record = next(each for each in entry.rows if each.size == size)
    cost = entry.cost((size, size))
    return record, cost.bflops, (cost.floats if record.count == "floats" else cost.weights) / 1e6


def is_met(row: Row) -> bool:
    """Whether a row's model meets its printed figures, or there are none."""
    record, bflops, params = figures(row)
    pairs = ((record.bflops, bflops, BFLOPS), (record.params_m, params, PARAMS))
    return all(printed is None or abs(ours / printed - 1) <= limit for printed, ours, limit in pairs)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(page(), end="")
