"""`edgecsp data`: check labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from ..errors import UsageError
from . import _json, _progress
from ._logging import inform
from ._print import print

if TYPE_CHECKING:
    from ..bench.accuracy.check import Report

app = typer.Typer(help="Check labelled images.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make this a group, with one command so far."""


@app.command("check")
def check(
    data: Path = typer.Argument(
        ..., help="data.yaml, COCO annotations (.json), darknet's .data, or a folder with text or Pascal VOC XML labels"
    ),
    images: Optional[Path] = typer.Option(None, "--image-dir", help="folder of the images of COCO annotations"),
    quick: bool = typer.Option(False, "--quick", help="read headers only: no damaged images, no near duplicates"),
    json: Optional[str] = _json.OPTION,
    html: Optional[Path] = typer.Option(None, "--html", help="a page with a contact sheet of labelled images"),
    sheet: int = typer.Option(60, "--sheet", help="how many images the page shows"),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no report"),
) -> None:
    """Check labelled images: counts, sizes, unreadable images, wrong labels, duplicates across splits.

    The exit code is 0 also with warnings, 3 if a label file is invalid or no image can be read.
    """
    from ..bench.accuracy import check as data_check
    from ..cache import files

    if sheet < 1:
        raise UsageError(f"--sheet {sheet}: must be at least 1 image")
    faults: List[str] = []
    parts = data_check.read_parts(data, images, faults)
    with _json.JsonOutput(json) as output:
        with _progress.bar("checking", sum(len(each.images) for each in parts.values()), quiet) as progress:
            report = data_check.check(parts, faults=faults, whole=not quick, progress=progress)
        output.write(report.to_dict(), indent=1)
    if html is not None:
        from ..bench.accuracy import contact_sheet as sheet_page

        with files.atomic(html) as file:
            file.write(sheet_page.html(report, sheet).encode("utf-8"))
    if not quiet:
        for line in _format_report(report):
            inform(line, prefix=False) if output.is_stdout else print(line)
        if html is not None:
            inform(f"wrote {html}", prefix=False)
    report.require_usable()


def _format_report(report: Report) -> List[str]:
    """Format the report as lines: splits, classes, crowded images, then problems."""
    lines = report.lines()
    head = lines[: len(lines) - len(report.problems)]
    width = max(map(len, report.names))
    table = [f"  {'class':{width}} " + "".join(f"{part.name:>9}" for part in report.parts)]
    table += [
        f"  {name:{width}} " + "".join(f"{part.classes[i] if i < len(part.classes) else 0:9}" for part in report.parts)
        for i, name in enumerate(report.names)
    ]
    crowded = ", ".join(f"{path} ({count})" for path, count in report.crowded[:3])
    return [
        f"{report.name}: {report.layout}",
        *head,
        *table,
        *([f"most boxes: {crowded}"] if crowded else []),
        *(lines[len(head) :] or ["no problem found"]),
    ]
