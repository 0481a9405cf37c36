"""`html`: the report as one self-contained page that is readable without network and scripts.

The charts are rendered here (`_html_plots`); `_html.js` only sorts the table, switches between light and dark and
highlights one model. The page's own content security policy forbids it to load anything.
"""

from __future__ import annotations

import string
from html import escape
from pathlib import Path
from typing import Any, Dict, Sequence

from ..errors import UsageError
from ..media.html import cards as page_cards
from ..media.html import digest
from ..media.html import facts as page_facts
from ..media.html import style as page_style
from ..media.html.svg import mark, short, swatch, tag
from . import _html_plots as plots
from ._html_table import table
from .report import SCHEMA

HERE = Path(__file__).resolve().parent

Row = Dict[str, Any]


def html(report: Dict[str, Any]) -> str:
    """Render a report of `edgecsp bench`. Raises `UsageError` for anything else."""
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
        accuracy=_figure(plots.draw_accuracy(rows), "No row has both speed and AP50."),
        accuracy_note=escape(_ap50_note(rows)),
        relative=_figure(plots.draw_relative(rows), "YOLOv3-tiny and another model must both have been measured."),
        ranks=_ranks(report),
        latencies=_figure(plots.draw_latencies(rows), "Nothing was measured."),
        stages=_figure(plots.draw_stages(rows), "Stages are measured with --pipeline."),
        stage_legend=_stage_legend(rows),
        table=table(rows),
        machine=_machine(report),
    )


def _lead(report: Row) -> str:
    settings, machine = report["settings"], report["machine"]
    commit = (machine.get("commit") or "unknown")[:10]
    stopped = " Stopped early." if report.get("stopped") else ""
    what = "Inference only" if settings["mode"] == "model" else "Whole pipeline, image to boxes"
    return (
        f"{what}, scenario {settings['scenario']}, batch {settings['batch']}, {settings['threads']} threads; "
        f"{settings['rounds']} rounds of {settings['duration_s']:g} s alternated between the rows. "
        f"Started {report['started'].replace('T', ' ')[:16]} UTC, took {report['seconds'] / 60:.1f} minutes, "
        f"commit {commit}.{stopped}"
    )


def _cards(report: Row) -> str:
    rows = report["rows"]
    measured = plots.select_measured(rows)
    cards = [(f"{len(measured)}", f"of {len(rows)} rows measured", _count(rows))]
    if measured:
        best = max(measured, key=lambda row: row["fps"])
        cards.insert(0, (f"{short(best['fps'])} fps", "the fastest row", plots.row_label(best)))
        share = max(measured, key=lambda row: row.get("of_peak") or 0)
        if share.get("of_peak"):
            cards.append(
                (f"{share['of_peak']:.0%}", "of the matrix product's peak, the best row", plots.row_label(share))
            )
    ranked = [each for each in report.get("rank") or () if each.get("spearman") is not None]
    if ranked:
        best = max(ranked, key=lambda each: each["spearman"])
        note = f"{best['engine']} {best['precision']}, {best['models']} models"
        cards.append((f"{best['spearman']:.2f}", "rank correlation with the paper's speeds, the best", note))
    return page_cards(cards)


def _count(rows: Sequence[Row]) -> str:
    unstable = sum(bool(row.get("unstable")) for row in plots.select_measured(rows))
    return "all stable" if not unstable else f"{unstable} unstable (marked)"


def _warnings(rows: Sequence[Row]) -> str:
    """Render the rows that are unreliable, and why."""
    items = [
        (f"{plots.row_label(row)} is unstable: ", "; ".join(row.get("causes") or ()) or "cause unknown")
        for row in plots.select_measured(rows)
        if row.get("unstable")
    ]  # fmt: skip
    items += [(f"{plots.row_label(row)} was not measured: ", row["reason"]) for row in rows if row.get("reason")]
    if not items:
        return ""
    lines = "".join(tag("li", tag("b", escape(what)), escape(why)) for what, why in items)
    return tag(
        "details",
        tag("summary", f"Unreliable or missing: {len(items)} of {len(rows)} rows"),
        tag("ul", lines),
        class_="care",
        open="",
    )


def _legend(rows: Sequence[Row]) -> str:
    measured = {plots.configuration_label(row): row for row in plots.select_measured(rows)}
    entries = []
    for label, row in measured.items():
        shape, colour = plots.row_style(rows, row)
        entries.append(swatch(mark(8, 8, shape, colour.split()[0], label, ""), label))
    papers = dict.fromkeys((row["paper"] or {}).get("on") for row in rows if row.get("paper"))
    if any(papers):
        label = "the paper's: " + ", ".join(filter(None, papers))
        entries.append(swatch(mark(8, 8, "ring", "paper", label, ""), label))
    if any(row.get("unstable") for row in plots.select_measured(rows)):
        entries.append(swatch(mark(8, 8, "circle", "plain unstable", "unstable", ""), "dashed edge: unstable"))
    return "".join(entries)


def _stage_legend(rows: Sequence[Row]) -> str:
    if not any(row.get("stages") for row in rows):
        return ""
    return "".join(
        swatch(tag("rect", x=2, y=2, width=12, height=12, class_=f"stage s{index}"), label)
        for index, (_, label) in enumerate(plots.STAGES)
    )


def _figure(chart: str, fallback: str) -> str:
    return tag("div", chart, class_="scroll", tabindex="0") if chart else tag("p", escape(fallback), class_="none")


def _ap50_note(rows: Sequence[Row]) -> str:
    measured = plots.select_measured(rows)
    if any(row.get("ap50") is not None for row in measured):
        source = "AP50 as measured here where available, else the paper's."
    else:
        source = "AP50 is the paper's: this report measured speed only, and random weights are as fast as trained ones."
    return f"{source} Models of nearly the same AP50 are drawn slightly apart."


def _ranks(report: Row) -> str:
    parts = [
        f"{each['engine']} {each['precision']} {each['spearman']:.2f} ({each['models']} models)"
        for each in report.get("rank") or ()
        if each.get("spearman") is not None
    ]
    return escape(f"Spearman's rank correlation with the paper's speeds: {', '.join(parts)}.") if parts else ""


def _machine(report: Row) -> str:
    machine, peak = report["machine"], report["machine"].get("peak_gflops") or {}
    cores = f"{machine['cores']} physical, {machine['allowed']} of {machine['logical']} logical ones allowed"
    facts = [
        ("CPU", machine["name"]),
        ("cores", cores + (f", quota {machine['quota']:g}" if machine.get("quota") else "")),
        ("threads", machine["threads"]),
        ("instructions", ", ".join([machine["machine"], *machine["isa"]])),
        ("governor", machine.get("governor") or "not reported by the system"),
        ("memory", f"{machine['memory_bytes'] / 2**30:.1f} GiB" if machine.get("memory_bytes") else None),
        ("matrix product", ", ".join(f"{kind} {value:,.0f} GFLOP/s" for kind, value in peak.items() if value)),
        ("system", machine["os"]),
        ("Python", machine["python"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)),
        ("board", ", ".join(f"{name} {value}" for name, value in (machine.get("board") or {}).items() if value)),
        ("commit", machine.get("commit")),
        ("command", " ".join(map(str, report["command"]))),
    ]
    return page_facts(facts)


def _file(name: str) -> str:
    return (HERE / name).read_text("utf-8")
