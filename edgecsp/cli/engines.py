"""`edgecsp engines`: which engines there are, and which of them run here."""

from __future__ import annotations

import json as json_module
from typing import Any, Dict, List

import typer


def command(json: bool = typer.Option(False, "--json", help="Print JSON instead of a table.")) -> None:
    """List the engines and say which of them can run here."""
    from .. import backends

    rows: List[Dict[str, Any]] = []
    for name in backends.names():
        module = backends.module(name)
        rows.append(
            {
                "engine": name,
                "installed": not backends.missing(name),
                "missing": backends.missing(name),
                "devices": list(module.DEVICES),
                "precisions": list(module.PRECISIONS),
                "about": (module.__doc__ or "").strip().split("\n")[0],
            }
        )
    if json:
        print(json_module.dumps(rows, indent=2))
        return
    chosen, why = backends.choose("auto", "cpu")
    for row in rows:
        state = "ready" if row["installed"] else f"needs {', '.join(row['missing'])}"
        print(f"{row['engine']:10} {state:24} {','.join(row['devices']):12} {row['about']}")
    print(f"{'auto':10} is {chosen} here: {why}")
