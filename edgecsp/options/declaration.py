"""Declare options as fields of dataclasses, and read them: `Option`, `option`, `list_options`, `from_keywords`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, TypeVar

from ..system.deprecation import warn_deprecated

if TYPE_CHECKING:
    from typing import ParamSpec  # with mypy's version of Python

    P = ParamSpec("P")
D = TypeVar("D")
R = TypeVar("R")

# The kind of an option by its annotation: what a file may hold, and how the command line reads it.
KINDS = {
    "str": "text", "ModelSpec": "text", "bool": "flag", "int": "whole", "float": "number", "Size": "sides",
    "Names": "texts",
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """Declaration of an option.

    `help` and `default_help` are shown by the command line, the site's schema and the reference; the last two show
    `about` where there is one. `typed` is how a value is typed on the command line when that is
    not how a file has it. Bounds are inclusive. `flags`: the long spelling first.
    """

    name: str
    kind: str
    default: Any
    help: str = ""
    default_help: str = ""
    about: str = ""
    typed: str = ""
    flags: Tuple[str, ...] = ()
    least: Optional[float] = None
    most: Optional[float] = None
    choices: Tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Key in TOML files and name in requests: the command line's spelling with underscores."""
        return self.flags[0][2:].replace("-", "_")

    def describe(self) -> str:
        """Describe the option and its default, where that is not a value, in one line."""
        note = f"default: {self.default_help}" if self.default_help else ""
        return "; ".join(filter(None, (self.about or self.help, note)))

    def mismatch(self, value: Any) -> str:
        """Describe the expected value; "" when the value is valid, or None and None is the default."""
        if value is None and self.default is None:
            return ""
        return describe_mismatch(self.kind, value, self.least, self.most, self.choices)


def describe_mismatch(
    kind: str, value: Any, least: Optional[float] = None, most: Optional[float] = None, choices: Sequence[str] = ()
) -> str:
    """Describe the values of a kind within bounds; "" when `value` is one of them."""

    def is_whole(item: Any) -> bool:
        return isinstance(item, Integral) and not isinstance(item, bool)

    def is_within(item: Any) -> bool:
        return bool((least is None or item >= least) and (most is None or item <= most))

    between = f" from {least:g} to {most:g}" if least is not None and most is not None else ""
    if kind == "text":
        is_valid, expected = isinstance(value, str), "a string"
    elif kind == "flag":
        is_valid, expected = isinstance(value, bool), "true or false"
    elif kind == "whole":
        is_valid, expected = is_whole(value) and is_within(value), f"an integer{between}"
        if is_whole(value) and least is not None and not between:
            expected = f"at least {least:g}"
    elif kind == "number":
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        is_valid, expected = is_number and value == value and is_within(value), f"a number{between}"
    elif kind == "texts":
        items = value if isinstance(value, (list, tuple)) else [None]
        is_valid = bool(items) and all(isinstance(item, str) or is_whole(item) for item in items)
        expected = 'a list of names: ["person", "car"]'
    else:
        sides = value if isinstance(value, (list, tuple)) else [value, value]
        is_valid = len(sides) == 2 and all(is_whole(side) and is_within(side) for side in sides)
        expected = "one side or [height, width] in pixels"
    if is_valid and choices and value not in choices:
        return "one of " + ", ".join(choices)
    return "" if is_valid else expected


def option(default: Any, help: str = "", *, short: str = "", flag: str = "", **declared: Any) -> Any:
    """Declare an option as a dataclass's field; `flag` is its spelling when that is not its name's."""
    return field(default=default, metadata={"help": help, "short": short, "flag": flag, **declared})


def list_options(declaration: type) -> Dict[str, Option]:
    """List the options of a dataclass by name, in their order."""
    options = {}
    for each in dataclasses.fields(declaration):
        declared = dict(each.metadata)
        flag, short = declared.pop("flag") or "--" + each.name.replace("_", "-"), declared.pop("short")
        kind = KINDS[str(each.type).replace("Optional[", "").rstrip("]")]
        options[each.name] = Option(
            each.name, kind, each.default, flags=(flag, short) if short else (flag,), **declared
        )
    return options


def from_keywords(
    declaration: Callable[P, D], *, positional: int, renamed: Mapping[str, str]
) -> Callable[[Callable[[D], R]], Callable[P, R]]:
    """Decorate a function of one object of `declaration` to take its fields as keywords.

    The first `positional` ones may be given without their names. `renamed` maps old names, which still work with a
    warning, to new ones.
    """

    def wrap(function: Callable[[D], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **keywords: P.kwargs) -> R:
            for old in [name for name in keywords if name in renamed]:
                warn_deprecated(f"{function.__name__}({old}=)", f"{renamed[old]}=", remove_in="0.3")
                keywords[renamed[old]] = keywords.pop(old)
            try:
                signature.bind(*args, **keywords)
            except TypeError as error:
                raise TypeError(f"{function.__name__}(): {error}") from None
            return function(declaration(*args, **keywords))

        parameters = [
            parameter if number < positional else parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for number, parameter in enumerate(inspect.signature(declaration).parameters.values())
        ]
        signature = inspect.signature(function).replace(parameters=parameters)
        call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    return wrap
