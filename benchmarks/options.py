"""Write docs/options.md, the reference of a detector's options, from their declaration:

python -m benchmarks.options
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List

from edgecsp.options import OPTIONS, EngineOptions, InputOptions, Thresholds
from edgecsp.options.declaration import Option, list_options
from edgecsp.options.uses import USES, OptionUse, list_used_options

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"
HEAD = """\
# Options of a detector

Written by `python -m benchmarks.options` from their declaration, `edgecsp/options`.

A name is the keyword of `edgecsp.load` and of `batch.build_task`. The key is that of the site file (`edgecsp up`), of
the file of `edgecsp run --config`, and of requests: the query of `/v1/detect`, `parameters` of `/v2`, the body of
`PUT /api/streams/NAME`.
"""
GROUPS = {"Model and engine": EngineOptions, "Input": InputOptions, "Thresholds and filters": Thresholds}
KINDS = {
    "text": "text", "flag": "flag", "whole": "integer", "number": "number", "texts": "list of names or numbers",
    "sides": "one side, or height and width",
}  # fmt: skip
PLACES = {
    "load": "`edgecsp.load`", "up": "site file", "stream": "`[[streams]]` of a site file", "request": "requests",
}  # fmt: skip


def page() -> str:
    """Render the page."""
    return "\n".join([HEAD, *_tables(), *_differences()])


def _tables() -> Iterator[str]:
    for title, group in GROUPS.items():
        yield f"## {title}\n"
        yield "| name | key | command line | values | default | |\n|---|---|---|---|---|---|"
        for option in list_options(group).values():
            cells = (f"`{option.name}`", f"`{option.key}`", _spelling(option), _values(option), _default(option))
            yield f"| {' | '.join(cells)} | {option.about or option.help} |"
        yield ""


def _spelling(option: Option) -> str:
    if not any(option.name in list_used_options(use) for use in USES if use not in PLACES):
        return ""
    return ", ".join(f"`{flag}`" for flag in option.flags) + (f" {option.typed}" if option.typed else "")


def _values(option: Option) -> str:
    if option.choices:
        return ", ".join(option.choices)
    bounds = [f"from {option.least:g}"] if option.least is not None else []
    return " ".join([KINDS[option.kind], *bounds, *([f"to {option.most:g}"] if option.most is not None else [])])


def _default(option: Option) -> str:
    if option.default_help or option.default is None:
        return option.default_help
    return ("off", "on")[option.default] if option.kind == "flag" else str(option.default)


def _differences() -> Iterator[str]:
    yield "## Where an option is missing, or has another default\n"
    for name, use in USES.items():
        lines = list(_differences_of(name, use))
        if lines:
            yield f"- {PLACES.get(name, f'`edgecsp {name}`')}: {'; '.join(lines)}."
    yield ""


def _differences_of(name: str, use: OptionUse) -> Iterator[str]:
    if use.only is not None:
        yield f"only {', '.join(f'`{each}`' for each in use.only)}, since {use.reason}" if use.only else use.reason
    reasons: Dict[str, List[str]] = {}
    for option, reason in use.without.items():
        reasons.setdefault(reason, []).append(f"`{option}`")
    yield from (f"no {', '.join(options)} ({reason})" for reason, options in reasons.items())
    if use.several:
        yield f"several values of {', '.join(f'`{each}`' for each in use.several)}"
    for option, changes in use.changes.items():
        if changes.get("default") not in (None, OPTIONS[option].default) and option != "model":
            yield f"`{option}` is {changes['default']} by default"
        if "most" in changes:
            yield f"`{option}` is at most {changes['most']}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
