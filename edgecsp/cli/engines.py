"""`edgecsp engines`: list the engines and whether they work here."""

from __future__ import annotations

import json as json_module

import typer

from . import _print
from ._print import print
from .render import engines


def command(json: bool = typer.Option(False, "--json", help="Print JSON instead of a table.")) -> None:
    """List the engines and whether they work here."""
    rows = engines.engines()
    if json:
        _print.data(json_module.dumps(rows, indent=2))
        return
    print(*engines.table(rows), engines.auto_line(engines.auto()), *engines.tuned_lines(), sep="\n")
