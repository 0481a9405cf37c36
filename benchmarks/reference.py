"""Write the pages of docs/reference that are made from declarations: every command's help, and the exit codes.

python -m benchmarks.reference
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import typer

from edgecsp import errors
from edgecsp.cli import app

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
COMMANDS_HEAD = """\
# Commands

Written by `python -m benchmarks.reference` from the commands themselves; `edgecsp COMMAND --help` prints the same.
The options of a detector have the same names in Python, in files and in requests: [options](../options.md).
What the exit codes mean: [exit codes](exit-codes.md).
"""
CODES_HEAD = """\
# Exit codes

Written by `python -m benchmarks.reference` from `edgecsp/errors.py`.

| code | meaning | raised in Python as |
|---|---|---|
| 0 | all done | |
"""
# Codes that no exception of the package has.
OTHER_CODES = {
    4: "partly done: some inputs could not be read, or were damaged; the others are done",
    8: "a limit that you set was passed: `verify`, `bench --fail-if`",
    129: "ended by SIGHUP",
    143: "ended by SIGTERM",
}
CODES_TAIL = """
A second Ctrl-C ends a command at once, with nothing half-written under its name. What was written before the end of a
command that exits with 4 is complete and valid.
"""
DEFAULT = re.compile(r"\s*\[default: (.*?)\]$")


def pages() -> Dict[Path, str]:
    """Render the pages, by their path."""
    return {FOLDER / "commands.md": "\n".join(_commands()), FOLDER / "exit-codes.md": _exit_codes()}


def _commands() -> Iterator[str]:
    yield COMMANDS_HEAD
    for name, command in list_commands(typer.main.get_command(app)):
        yield f"## edgecsp {name}\n"
        yield f"{_prose(command.help)}\n"
        yield f"```text\n{_usage(name, command)}\n```\n"
        rows = [_row(param) for param in command.params]
        if rows:
            yield "| | | default |\n|---|---|---|"
            yield from rows
            yield ""


def list_commands(group: Any, path: Tuple[str, ...] = ()) -> Iterator[Tuple[str, Any]]:
    """List every command of a group with its words: of a group in it "models list"."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from list_commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def _usage(name: str, command: Any) -> str:
    words: List[str] = []
    for param in command.params:
        if param.param_type_name == "argument":
            word = param.name.upper() + ("..." if param.nargs == -1 else "")
            words.append(word if param.required else f"[{word}]")
    return " ".join(["edgecsp", name, "[OPTIONS]", *words])


def _row(param: Any) -> str:
    is_argument = param.param_type_name == "argument"
    names = [param.name.upper()] if is_argument else sorted((*param.opts, *param.secondary_opts), key=len, reverse=True)
    help_text = param.help or ""
    worded = DEFAULT.search(help_text)
    default = "required" if param.required else worded[1] if worded else _default(param)
    cells = (", ".join(f"`{each}`" for each in names), _cell(DEFAULT.sub("", help_text)), _cell(default))
    return f"| {' | '.join(cells)} |"


def _default(param: Any) -> str:
    if param.default is None or callable(param.default) or getattr(param, "is_flag", False):
        return ""
    return str(param.default) if not isinstance(param.default, (list, tuple)) else ", ".join(map(str, param.default))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").strip()


def _prose(text: str) -> str:
    return _cell(re.sub(r"[ \n]*\n *\n", "\n\n", text))


def _exit_codes() -> str:
    meanings: Dict[int, List[str]] = {code: [text] for code, text in OTHER_CODES.items()}
    classes: Dict[int, List[str]] = {}
    for each in _error_classes(errors.EdgecspError):
        parent = each.__bases__[0]
        if parent is object or each.exit_code != getattr(parent, "exit_code", None) or each is errors.EdgecspError:
            summary = (each.__doc__ or "").splitlines()[0].rstrip(".")
            meanings.setdefault(each.exit_code, []).append(summary[0].lower() + summary[1:])
        classes.setdefault(each.exit_code, []).append(f"`{each.__name__}`")
    meanings[errors.EdgecspError.exit_code] = ["another error that edgecsp raises on purpose"]
    rows = (
        f"| {code} | {_cell('; '.join(meanings[code]))} | {', '.join(classes.get(code, ()))} |\n"
        for code in sorted(meanings)
    )
    return CODES_HEAD + "".join(rows) + CODES_TAIL


def _error_classes(root: Any) -> Iterator[Any]:
    yield root
    for each in root.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _error_classes(each)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, "utf-8")
