"""`edgecsp engines`: list the engines and whether they work here."""

from __future__ import annotations

from typing import Optional

from . import _json
from .render import engines


def command(json: Optional[str] = _json.OPTION) -> None:
    """List the engines and whether they work here."""
    with _json.JsonOutput(json) as output:
        rows = engines.engines()
        output.write(rows)
    if not output.is_stdout:
        engines.show(rows, engines.auto())
