"""Options shared by several commands, and parsers of their values."""

from __future__ import annotations

import functools
import inspect
import os
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import typer

from ..errors import UsageError
from ..options import OPTIONS, Options
from ..options.choices import MAX_PIXELS
from ..options.declaration import Option
from ..options.uses import USES, list_used_options

OPENCV_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"
GROUP: Any = None  # default of a command's parameter `options`, which `takes` replaces
TYPES: Dict[str, Any] = {"text": str, "flag": bool, "whole": int, "number": float, "texts": List[str], "sides": str}


def takes(entry: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of an entry point of `options.uses`.

    They stand where its parameter `options` does; it gets one `Options` of their values. Options that take several
    values are parameters of the command itself (`several`).
    """
    alone = USES[entry].several
    return group({name: each for name, each in list_used_options(entry).items() if name not in alone}, Options)


def group(declared: Dict[str, Option], make: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command options in the place of its parameter `options`; it gets what `make` makes of their values."""

    def wrap(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command)
        parameters: List[inspect.Parameter] = []
        for each in signature.parameters.values():
            parameters += [each] if each.name != "options" else map(_to_parameter, declared.values())

        @functools.wraps(command)
        def call(**values: Any) -> Any:
            own = {name: _parse(declared[name], values.pop(name)) for name in declared}
            return command(options=make(**own), **values)

        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return wrap


def several(name: str, help: str) -> Any:
    """Make a parameter of an option that takes several values."""
    return typer.Option(None, *OPTIONS[name].flags, help=help)


@functools.lru_cache(maxsize=None)
def _to_parameter(option: Option) -> inspect.Parameter:
    kind = TYPES[option.kind] if option.default is not None else Optional[TYPES[option.kind]]
    default = typer.Option(option.default, *option.flags, help=_help(option))
    return inspect.Parameter(option.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)


def _help(option: Option) -> str:
    """Text for --help; typer adds defaults that are not None."""
    text = option.help or (_join_alternatives(option.choices) if option.choices else "")
    if option.typed:
        text += f": {option.typed}"
    note = f"[default: {option.default_help}]" if option.default_help and option.default is None else ""
    return " ".join(filter(None, (text, note)))


def _join_alternatives(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _parse(option: Option, value: Any) -> Any:
    """Parse the value of an option, and check it under the name that was typed."""
    if option.kind == "sides":
        value = parse_size(value)
    elif option.kind == "texts":
        words = split_words(value)
        if value and not words:
            raise UsageError(f"{option.flags[0]} {','.join(value)!r}: names none; leave the option out for all")
        value = words
    elif option.kind in ("whole", "number"):
        mismatch = option.mismatch(value)
        if mismatch:
            raise UsageError(f"{option.flags[0]} {value}: {mismatch}")
    return value


def limit_opencv(max_pixels: Optional[int]) -> None:
    """Set OpenCV's own pixel limit, used when a header cannot be parsed; OpenCV reads it at import.

    Without `max_pixels` the default is set, unless the user has set the variable.
    """
    if max_pixels is not None:
        os.environ[OPENCV_LIMIT] = str(max_pixels)
    else:
        os.environ.setdefault(OPENCV_LIMIT, str(MAX_PIXELS))


def parse_size(text: Optional[str]) -> Optional[Tuple[int, int]]:
    """Parse "416" or "HEIGHTxWIDTH" as (height, width)."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,5})\s*(?:[x,]\s*(\d{1,5}))?\s*", text.lower())
    if not match or "0" in (match[1], match[2]):
        raise UsageError(f"--imgsz {text!r}: must be one side (416) or HEIGHTxWIDTH (352x640), in pixels")
    return int(match[1]), int(match[2] or match[1])


def split_words(values: Optional[Sequence[str]]) -> Optional[List[str]]:
    """Join repeated and comma-separated values into one list; None without values."""
    if not values:
        return None
    return [word.strip() for text in values for word in text.split(",") if word.strip()]


def split_engines(values: Optional[Sequence[str]]) -> Optional[List[str]]:
    """Join repeated and comma-separated engines into one list, an alias as the engine's name; None without values."""
    words = split_words(values)
    if words is None:
        return None
    from ..backends import registry

    return [registry.resolve(word) for word in words]


def join_names(names: Sequence[str], most: int = 8) -> str:
    """Join names as "a, b and c"."""
    visible = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join(filter(None, (", ".join(visible[:-1]), *visible[-1:])))
