"""`edgecsp doctor`: show what is installed, which engines work, how to fix the others, and what to try next."""

from __future__ import annotations

import platform
from typing import Any, Dict, Optional

import typer

from . import _json
from ._print import print
from .render import engines

NO_ENGINE = 6


def command(json: Optional[str] = _json.OPTION) -> None:
    """Show what is installed, which engines work here, how to fix the others, and what to try next.

    Exit code 0 if an engine works, 6 if none does: suitable for a container's health check.
    """
    with _json.JsonOutput(json) as output:
        report = examine()
        output.write(report)
    if not output.is_stdout:
        print(*_format_machine(report), "", sep="\n")
        engines.show(report["engines"], report["auto"])
        for line in engines.faster_lines(report["faster"]):
            print(line)
        for step in report["next"]:
            print(f"{'next':10} {step['command']}: {step['why']}", style="good")
    if not any(row["runs"] and row["real"] for row in report["engines"]):
        raise typer.Exit(NO_ENGINE)


def examine() -> Dict[str, Any]:
    """Collect versions, CPU, memory, engines, the automatic choice and what to try next."""
    from .. import __version__
    from ..system import cpu, memory, versions
    from . import _next_steps

    free, auto = memory.free(), engines.auto()
    report: Dict[str, Any] = {
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
        "auto": auto,
        "faster": engines.faster(auto),
    }
    report["next"] = _next_steps.list_next_steps(report, _next_steps.inspect_machine())
    return report


def _format_machine(report: Dict[str, Any]) -> Any:
    cpu, memory = report["cpu"], report["memory"]
    yield f"edgecsp {report['edgecsp']}, Python {report['python']}, {report['platform']}"
    yield ", ".join(f"{name} {version or '-'}" for name, version in report["packages"].items())
    allowed = f", {cpu['allowed']} of them usable by this process" if cpu["allowed"] != cpu["logical"] else ""
    limit = f", a quota of {cpu['quota']:g}" if cpu["quota"] is not None else ""
    yield (
        f"CPU: {cpu['name']} ({cpu['machine']}), {cpu['logical']} logical CPUs{allowed}, {cpu['cores']} cores{limit}: "
        f"{cpu['threads']} threads by default"
    )
    yield f"     {', '.join(cpu['isa']) or 'instruction sets unknown'}"
    sizes = ((key, memory[key]) for key in ("total", "available", "swap") if memory[key] is not None)
    yield "Memory: " + (", ".join(f"{size / 2**30:.1f} GiB {key}" for key, size in sizes) or "unknown")
