"""`edgecsp data`: what labelled images hold and what is wrong with them."""

from __future__ import annotations

import json as json_module
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from ..errors import UsageError
from . import _progress
from ._logging import inform
from ._print import print

if TYPE_CHECKING:
    from ..bench.accuracy.check import Report

app = typer.Typer(help="Labelled images: what they hold and what is wrong with them.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group, though it holds one command so far."""


@app.command("check")
def check(
    data: Path = typer.Argument(
        ..., help="data.yaml, COCO annotations (.json), darknet's .data, or a folder with text or Pascal VOC XML labels"
    ),
    images: Optional[Path] = typer.Option(None, "--images", help="where the images of COCO annotations are"),
    quick: bool = typer.Option(False, "--quick", help="read headers only: no damaged images, no near duplicates"),
    json: Optional[str] = typer.Option(None, "--json", help="the report as JSON; - for stdout"),
    html: Optional[Path] = typer.Option(None, "--html", help="a page with a contact sheet of labelled images"),
    sheet: int = typer.Option(60, "--sheet", help="how many images the page shows"),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no report"),
) -> None:
    """Check labelled images: counts, sizes, unreadable images, wrong labels, duplicates across splits.

    The exit code is 0 also with warnings, 3 where a label file is wrong or no image can be read.
    """
    from ..bench.accuracy import check as checking
    from ..cache import files
    from ..media.sinks.base import Text

    if sheet < 1:
        raise UsageError(f"--sheet {sheet}: a number of images, at least 1")
    faults: List[str] = []
    parts = checking.read_parts(data, images, faults)
    with ExitStack() as stack:
        figures = Text(json) if json else None
        if figures is not None:
            stack.callback(figures.abort)  # after close it does nothing
        with _progress.bar("checking", sum(len(each.images) for each in parts.values()), quiet) as progress:
            report = checking.check(parts, faults=faults, whole=not quick, progress=progress)
        if figures is not None:
            figures.write(json_module.dumps(report.to_dict(), indent=1) + "\n")
            figures.close()
    if html is not None:
        from ..bench.accuracy import contact_sheet as page

        with files.atomic(html) as file:
            file.write(page.html(report, sheet).encode("utf-8"))
    if not quiet:
        for line in _shown(report):
            inform(line, prefix=False) if json == "-" else print(line)
        if html is not None:
            inform(f"wrote {html}", prefix=False)
    report.require_usable()


def _shown(report: Report) -> List[str]:
    """The report, a line each: the parts, the classes, crowded images, the problems last."""
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
