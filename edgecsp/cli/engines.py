"""`edgecsp engines`: which engines there are, and which of them run here."""

from __future__ import annotations

import json as json_module

import typer

from . import _print, _survey
from ._print import print


def command(json: bool = typer.Option(False, "--json", help="Print JSON instead of a table.")) -> None:
    """List the engines and say which of them can run here."""
    rows = _survey.engines()
    if json:
        _print.data(json_module.dumps(rows, indent=2))
        return
    print(*_survey.table(rows), _survey.auto_line(_survey.auto()), *_survey.tuned_lines(), sep="\n")
