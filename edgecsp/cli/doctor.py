"""`edgecsp doctor`: what is here, what would run, and what mends the rest."""

from __future__ import annotations

import json as json_module
import platform
from typing import Any, Dict

import typer

from . import _print
from ._print import print
from .render import engines

NO_ENGINE = 6


def command(json: bool = typer.Option(False, "--json", help="Print JSON instead of text.")) -> None:
    """Say what is installed, which engines would run here, and what mends those that would not.

    Exit code 0 when an engine runs, 6 when none does: fit for a container's health check.
    """
    found = examined()
    if json:
        _print.data(json_module.dumps(found, indent=2))
    else:
        print(*_told(found), sep="\n")
    if not any(row["runs"] and row["real"] for row in found["engines"]):
        raise typer.Exit(NO_ENGINE)


def examined() -> Dict[str, Any]:
    """Versions, CPU, memory, engines and the automatic choice."""
    from .. import __version__
    from ..system import cpu, memory, versions

    free = memory.free()
    return {
        "edgecsp": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions.versions(),
        "cpu": dict(cpu.describe()),
        "memory": {
            "total": memory.total(),
            "available": free.available if free else None,
            "swap": free.swap if free else None,
        },
        "engines": engines.engines(),
        "auto": engines.auto(),
    }


def _told(found: Dict[str, Any]) -> Any:
    cpu, memory = found["cpu"], found["memory"]
    yield f"edgecsp {found['edgecsp']}, Python {found['python']}, {found['platform']}"
    yield ", ".join(f"{name} {version or '-'}" for name, version in found["packages"].items())
    allowed = f", {cpu['allowed']} of them for this process" if cpu["allowed"] != cpu["logical"] else ""
    limit = f", a quota of {cpu['quota']:g}" if cpu["quota"] is not None else ""
    yield (
        f"CPU: {cpu['name']} ({cpu['machine']}), {cpu['logical']} logical CPUs{allowed}, {cpu['cores']} cores{limit}: "
        f"{cpu['threads']} threads by default"
    )
    yield f"     {', '.join(cpu['isa']) or 'its instruction sets are not listed here'}"
    sizes = ((key, memory[key]) for key in ("total", "available", "swap") if memory[key] is not None)
    yield "Memory: " + (", ".join(f"{size / 2**30:.1f} GiB {key}" for key, size in sizes) or "the system does not say")
    yield ""
    yield from engines.table(found["engines"])
    yield engines.auto_line(found["auto"])
    yield from engines.tuned_lines()
