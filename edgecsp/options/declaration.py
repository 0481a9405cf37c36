"""Declare options as fields of dataclasses, read them, and take them as keywords: `option`, `list_options`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from dataclasses import field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

from ..system.deprecation import warn_deprecated

if TYPE_CHECKING:
    from typing_extensions import ParamSpec  # for type checkers, which bring it

    P = ParamSpec("P")
D = TypeVar("D")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

# The kind of an option by its annotation: what a file may hold, and how the command line reads it.
KINDS = {
    "str": "text", "ModelSpec": "text", "bool": "flag", "int": "whole", "float": "number", "Size": "sides",
    "Names": "texts",
}  # fmt: skip


class Option(NamedTuple):
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
    if _is_valid(kind, value, least, most):
        return "" if not choices or value in choices else "one of " + ", ".join(choices)
    between = f" from {least:g} to {most:g}" if least is not None and most is not None else ""
    if kind == "whole" and _is_whole(value) and not between:
        return f"at least {least:g}"
    return {
        "text": "a string", "flag": "true or false", "whole": f"an integer{between}", "number": f"a number{between}",
        "texts": 'a list of names: ["person", "car"]', "sides": "one side or [height, width] in pixels",
    }[kind]  # fmt: skip


def _is_valid(kind: str, value: Any, least: Optional[float], most: Optional[float]) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if kind == "flag" or isinstance(value, bool):
        return kind == "flag" and isinstance(value, bool)
    if kind == "number":
        return isinstance(value, Real) and _is_within(value, least, most)
    if kind == "whole":
        return _is_whole(value) and _is_within(value, least, most)
    if kind == "texts":
        return isinstance(value, (list, tuple)) and all(isinstance(each, str) or _is_whole(each) for each in value)
    sides = value if isinstance(value, (list, tuple)) else (value, value)
    return len(sides) == 2 and all(_is_whole(side) and _is_within(side, least, most) for side in sides)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_within(value: Any, least: Optional[float], most: Optional[float]) -> bool:
    """Whether a number is within bounds; NaN is not."""
    return bool((least is None or value >= least) and (most is None or value <= most))


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


def shows_options(declaration: type) -> Callable[[F], F]:
    """Decorate a function that takes fields of `declaration` as keywords to have them in its signature, for help.

    Their default there is `...`, for what the function works on has values of its own.
    """

    def wrap(function: F) -> F:
        own = inspect.signature(function)
        parameters = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        options = inspect.signature(declaration).parameters.values()
        parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=...) for each in options]
        function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return wrap
