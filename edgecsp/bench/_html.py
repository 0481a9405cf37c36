"""`html`: the report as one page that needs nothing else, neither a network nor a script to be read.

The pictures are drawn here (`_html_plots`); `_html.js` only sorts the table, turns the lights on and off and shows one
model among the others. The page's own policy forbids it to load anything.
"""

from __future__ import annotations

import string
from html import escape
from pathlib import Path
from typing import Any, Dict, Sequence

from ..errors import UsageError
from ..media.html import digest
from ..media.html import style as page_style
from ..media.html.svg import mark, short, tag
from . import _html_plots as plots
from ._html_table import table
from .report import SCHEMA

HERE = Path(__file__).resolve().parent

Row = Dict[str, Any]


def html(report: Dict[str, Any]) -> str:
    """The page of a report of `edgecsp bench`. Raises `UsageError` for anything else."""
    if report.get("schema") != SCHEMA:
        raise UsageError(f"a report whose schema is {report.get('schema')!r}: {SCHEMA!r} is what edgecsp bench writes")
    rows = report["rows"]
    script, style = _file("_html.js"), page_style(_file("_html.css"))
    machine = report["machine"]
    return string.Template(_file("_html.html")).substitute(
        script=script,
        style=style,
        script_hash=digest(script),
        style_hash=digest(style),
        title=escape(f"edgecsp bench: {machine['name']}"),
        name=escape(machine["name"]),
        lead=escape(_lead(report)),
        cards=_cards(report),
        warnings=_warnings(rows),
        legend=_legend(rows),
        accuracy=_figure(plots.accuracy(rows), "No row has both a speed and an AP50."),
        accuracy_note=escape(_heights(rows)),
        relative=_figure(plots.relative(rows), "YOLOv3-tiny and another model must both have been measured."),
        ranks=_ranks(report),
        latencies=_figure(plots.latencies(rows), "Nothing was measured."),
        stages=_figure(plots.stages(rows), "Stages are measured with --pipeline."),
        stage_legend=_stage_legend(rows),
        table=table(rows),
        machine=_machine(report),
    )


def _lead(report: Row) -> str:
    said, machine = report["settings"], report["machine"]
    commit = (machine.get("commit") or "unknown")[:10]
    stopped = " Stopped before its end." if report.get("stopped") else ""
    what = "Inference alone" if said["mode"] == "model" else "Picture in, boxes out"
    return (
        f"{what}, scenario {said['scenario']}, batch {said['batch']}, {said['threads']} threads; "
        f"{said['rounds']} rounds of {said['duration_s']:g} s alternated between the rows. "
        f"Begun {report['started'].replace('T', ' ')[:16]} UTC, done in {report['seconds'] / 60:.1f} minutes, "
        f"commit {commit}.{stopped}"
    )


def _cards(report: Row) -> str:
    rows = report["rows"]
    able = plots.measured(rows)
    cards = [(f"{len(able)}", f"of {len(rows)} rows measured", _count(rows))]
    if able:
        best = max(able, key=lambda row: row["fps"])
        cards.insert(0, (f"{short(best['fps'])} fps", "the fastest row", plots.named(best)))
        share = max(able, key=lambda row: row.get("of_peak") or 0)
        if share.get("of_peak"):
            cards.append((f"{share['of_peak']:.0%}", "of the matrix product's peak, at most", plots.named(share)))
    ranked = [each for each in report.get("rank") or () if each.get("spearman") is not None]
    if ranked:
        best = max(ranked, key=lambda each: each["spearman"])
        said = f"{best['engine']} {best['precision']}, {best['models']} models"
        cards.append((f"{best['spearman']:.2f}", "rank correlation with the paper's speeds, at best", said))
    return "".join(
        tag("li", tag("b", escape(figure)), tag("span", escape(about)), tag("small", escape(which)))
        for figure, about, which in cards
    )


def _count(rows: Sequence[Row]) -> str:
    unstable = sum(bool(row.get("unstable")) for row in plots.measured(rows))
    return "all steady" if not unstable else f"{unstable} unstable, marked"


def _warnings(rows: Sequence[Row]) -> str:
    """What is not to be relied on, and why."""
    said = [
        (f"{plots.named(row)} is unstable: ", "; ".join(row.get("causes") or ()) or "no cause was told")
        for row in plots.measured(rows)
        if row.get("unstable")
    ]  # fmt: skip
    said += [(f"{plots.named(row)} was not measured: ", row["reason"]) for row in rows if row.get("reason")]
    if not said:
        return ""
    lines = "".join(tag("li", tag("b", escape(what)), escape(why)) for what, why in said)
    return tag(
        "details",
        tag("summary", f"To be read with care: {len(said)} of {len(rows)} rows"),
        tag("ul", lines),
        class_="care",
        open="",
    )


def _legend(rows: Sequence[Row]) -> str:
    able = {plots.kind(row): row for row in plots.measured(rows)}
    entries = []
    for said, row in able.items():
        shape, colour = plots.looks(rows, row)
        entries.append(_swatch(mark(8, 8, shape, colour.split()[0], said, ""), said))
    papers = dict.fromkeys((row["paper"] or {}).get("on") for row in rows if row.get("paper"))
    if any(papers):
        said = "the paper's: " + ", ".join(filter(None, papers))
        entries.append(_swatch(mark(8, 8, "ring", "paper", said, ""), said))
    if any(row.get("unstable") for row in plots.measured(rows)):
        entries.append(_swatch(mark(8, 8, "circle", "plain unstable", "unstable", ""), "dashed edge: unstable"))
    return "".join(entries)


def _stage_legend(rows: Sequence[Row]) -> str:
    if not any(row.get("stages") for row in rows):
        return ""
    return "".join(
        _swatch(tag("rect", x=2, y=2, width=12, height=12, class_=f"stage s{index}"), said)
        for index, (_, said) in enumerate(plots.STAGES)
    )


def _swatch(drawn: str, said: str) -> str:
    return tag("li", tag("svg", drawn, viewBox="0 0 16 16", aria_hidden="true"), escape(said))


def _figure(drawn: str, otherwise: str) -> str:
    return tag("div", drawn, class_="scroll", tabindex="0") if drawn else tag("p", escape(otherwise), class_="none")


def _heights(rows: Sequence[Row]) -> str:
    able = plots.measured(rows)
    if any(row.get("ap50") is not None for row in able):
        said = "AP50 as measured here where it was, else as the paper prints it."
    else:
        said = "AP50 is the paper's: this report measured speed, and random weights are as fast as trained ones."
    return f"{said} Models of nearly the same AP50 are drawn a little apart."


def _ranks(report: Row) -> str:
    said = [
        f"{each['engine']} {each['precision']} {each['spearman']:.2f} ({each['models']} models)"
        for each in report.get("rank") or ()
        if each.get("spearman") is not None
    ]
    return escape(f"Spearman's rank correlation with the paper's speeds: {', '.join(said)}.") if said else ""


def _machine(report: Row) -> str:
    said, peak = report["machine"], report["machine"].get("peak_gflops") or {}
    cores = f"{said['cores']} physical, {said['allowed']} of {said['logical']} logical ones allowed"
    facts = [
        ("CPU", said["name"]),
        ("cores", cores + (f", quota {said['quota']:g}" if said.get("quota") else "")),
        ("threads", said["threads"]),
        ("instructions", ", ".join([said["machine"], *said["isa"]])),
        ("governor", said.get("governor") or "not told by the system"),
        ("memory", f"{said['memory_bytes'] / 2**30:.1f} GiB" if said.get("memory_bytes") else None),
        ("matrix product", ", ".join(f"{kind} {value:,.0f} GFLOP/s" for kind, value in peak.items() if value)),
        ("system", said["os"]),
        ("Python", said["python"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in said["versions"].items() if version)),
        ("board", ", ".join(f"{name} {value}" for name, value in (said.get("board") or {}).items() if value)),
        ("commit", said.get("commit")),
        ("command", " ".join(map(str, report["command"]))),
    ]
    return "".join(tag("dt", name) + tag("dd", escape(str(value))) for name, value in facts if value)


def _file(name: str) -> str:
    return (HERE / name).read_text("utf-8")
