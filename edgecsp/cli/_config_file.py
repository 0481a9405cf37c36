"""`--config FILE`: options of a command from a TOML file, also from its table in edgecsp.toml in the current folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List, Optional, Set, Tuple, Union, get_type_hints

import typer

from ..options import OPTIONS
from ..options.declaration import Option, describe_mismatch
from ._grammar import Command

FILE = "edgecsp.toml"
KINDS = {bool: "flag", int: "whole", float: "number"}  # all others are text
CONFIG: Any = typer.Option(
    None,
    "--config",
    help=f"TOML file with these options; the command line wins [default: the table [run] of {FILE} here, if any]",
)


class ConfigCommand(Command):
    """A command whose options may be in a file."""

    def parse_args(self, ctx: Any, args: List[str]) -> List[str]:
        """Parse the command line and the file."""
        return super().parse_args(ctx, add_values(self, ctx, args))


def add_values(command: Any, ctx: Any, args: List[str]) -> List[str]:
    """Add the file's values to a command line, as if they had been typed, but for those that are.

    Raises `SourceError`, or `UsageError` with file, line and key.
    """
    has_file = any(each.name == "config" for each in command.params)
    if not has_file or ctx.resilient_parsing or {"-h", "--help"} & set(args):
        return args
    typed, _, _ = command.make_parser(ctx).parse_args(args=list(args))
    path = typed.get("config")
    if path is None and not Path(FILE).is_file():
        return args
    names = {name for name, value in typed.items() if value not in ((), None)}
    return [*_read(command, str(ctx.info_name), path, names), *args]


def _read(command: Any, name: str, path: Optional[str], is_typed: Set[str]) -> Iterator[str]:
    """Yield the values of the file as words of the command line, but for parameters that are typed on it."""
    from ..cache.toml_file import TomlFile

    file = TomlFile(path or FILE)
    table: Tuple[Union[str, int], ...] = (name,) if name in file.document else ()
    if path is None and not table:
        return
    values = file.document[name] if table else file.document
    if not isinstance(values, dict):
        raise file.error(table, f"must be a table: [{name}]")
    parameters = {
        _long(each).lstrip("-").replace("-", "_"): each
        for each in command.params
        if each.name not in ("config", "help")
    }
    file.require_known(table, values, list(parameters))
    hints = get_type_hints(command.callback)
    if path is None:
        yield from ("--config", FILE)
    for key, value in values.items():
        parameter = parameters[key]
        option = OPTIONS.get(parameter.name) or _declare(parameter.name, hints[parameter.name])
        if option.kind == "texts" and parameter.name not in OPTIONS and isinstance(value, str):
            value = [value]
        mismatch = describe_mismatch(option.kind, value or None if option.kind == "texts" else value,
            option.least, option.most, option.choices)  # fmt: skip
        if mismatch:
            raise file.error((*table, key), f"{value!r} is invalid: must be {mismatch}")
        if parameter.name not in is_typed:
            yield from _to_words(option, _long(parameter), value)


def _long(parameter: Any) -> str:
    """First long spelling of an option; an argument's name."""
    name: str = next((flag for flag in parameter.opts if flag.startswith("--")), parameter.name)
    return name


def _declare(name: str, hint: Any) -> Option:
    """Declare a parameter that is no option of a detector by its type."""
    kinds = [each for each in (hint, *getattr(hint, "__args__", ())) if each is not type(None)]
    is_list = any(getattr(each, "__origin__", None) is list for each in kinds)
    return Option(name, "texts" if is_list else next((KINDS[each] for each in kinds if each in KINDS), "text"), None)


def _to_words(option: Option, flag: str, value: Any) -> List[str]:
    """Write a value as it would be typed."""
    if option.kind == "flag":
        return [flag] if value else []
    if option.kind == "sides" and isinstance(value, list):
        value = "x".join(map(str, value))
    words = [str(each) for each in (value if isinstance(value, list) else [value])]
    return [f"{flag}={each}" for each in words] if flag.startswith("-") else words
