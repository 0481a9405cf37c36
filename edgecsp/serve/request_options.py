"""Options of a detector that requests set: thresholds of an image's request, and of a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from ..errors import HTTPRequestError, UsageError
from ..options import Thresholds
from ..options.declaration import Option
from ..types import Model
from .schema import check, parse_text
from .schemas import FILTERS, REQUEST_OPTIONS, THRESHOLDS


def override(model: Model, base: Thresholds, values: Mapping[str, Any]) -> Thresholds:
    """Override thresholds with the parameters of a request: text, or JSON's values that have been checked.

    Those that are missing, null or empty stay as in `base`. Raises `HTTPRequestError`.
    """
    changes = {}
    for option in REQUEST_OPTIONS:
        value = values.get(option.key)
        if isinstance(value, str):
            value = parse_text(THRESHOLDS[option.key], option.key, value)
        if value is not None:
            changes[option.name] = _resolve(model, option, value)
    return replace(base, **changes) if changes else base


def join(pairs: Iterable[Tuple[str, str]]) -> Dict[str, str]:
    """Join the options of a query and a form: each once, but for lists. Raises `HTTPRequestError`, also for others."""
    values: Dict[str, str] = {}
    for name, text in pairs:
        if name not in THRESHOLDS:
            raise HTTPRequestError(400, f"unknown option {name[:60]!r}; known: {', '.join(THRESHOLDS)}")
        if name in values and THRESHOLDS[name].kind != "texts":
            raise HTTPRequestError(400, f"{name} is given twice")
        values[name] = f"{values[name]},{text}" if name in values else text
    return values


def change(model: Model, base: Thresholds, values: Any) -> Thresholds:
    """Change thresholds by a JSON object; null resets to the default. Raises `HTTPRequestError`."""
    values = check(FILTERS, values, "the body")
    changes = {}
    for option in REQUEST_OPTIONS:
        if option.key in values:
            value = values[option.key]
            changes[option.name] = option.default if value is None else _resolve(model, option, value)
    return replace(base, **changes) if changes else base


def resolve_classes(model: Model, words: List[str]) -> Tuple[int, ...]:
    """Look class ids up by names or numbers. Raises `HTTPRequestError`."""
    try:
        return tuple(model.class_ids(words))
    except UsageError as error:
        raise HTTPRequestError(400, str(error)[:500]) from error


def _resolve(model: Model, option: Option, value: Any) -> Any:
    return resolve_classes(model, [str(each) for each in value]) if option.name == "classes" else value
