"""Options of a detector that requests set: thresholds of an image's request, and of a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Tuple

from ..errors import HTTPRequestError, UsageError
from ..options import Thresholds
from ..options.declaration import Option
from ..options.uses import list_used_options
from ..types import Model

OPTIONS = tuple(list_used_options("request").values())
WORDS = {"true": True, "1": True, "false": False, "0": False}


def override(model: Model, base: Thresholds, values: Mapping[str, Any]) -> Thresholds:
    """Override thresholds with the parameters of a request: text, or JSON's numbers and lists.

    Those that are missing, null or empty stay as in `base`. Raises `HTTPRequestError`.
    """
    changes = {}
    for option in OPTIONS:
        value = values.get(option.key)
        if isinstance(value, str):
            value = _parse_text(option, value)
        if value is not None:
            changes[option.name] = _resolve(model, option, value, "")
    return replace(base, **changes) if changes else base


def change(model: Model, base: Thresholds, values: Mapping[str, Any]) -> Thresholds:
    """Change thresholds by a JSON object; null resets to the default. Raises `HTTPRequestError`."""
    known = {option.key: option for option in OPTIONS}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise HTTPRequestError(400, f"unknown setting {unknown[0][:60]!r}; known: {', '.join(known)}")
    changes = {}
    for key, value in values.items():
        option = known[key]
        changes[option.name] = option.default if value is None else _resolve(model, option, value, ", or null")
    return replace(base, **changes) if changes else base


def schemas(*, nullable: bool = False) -> Dict[str, Dict[str, Any]]:
    """List the parameters as OpenAPI's schemas: of a JSON object with `nullable`, else of a query."""
    kinds = {"number": "number", "whole": "integer", "flag": "boolean", "text": "string"}
    result = {}
    for option in OPTIONS:
        schema: Dict[str, Any] = {"type": kinds.get(option.kind, "string")}
        if option.kind == "texts" and nullable:
            schema = {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}}
        limits = {"minimum": option.least, "maximum": option.most, "enum": list(option.choices) or None}
        schema.update({name: limit for name, limit in limits.items() if limit is not None})
        result[option.key] = {**schema, "nullable": True} if nullable else schema
    return result


def resolve_classes(model: Model, words: List[str]) -> Tuple[int, ...]:
    """Look class ids up by names or numbers. Raises `HTTPRequestError`."""
    try:
        return tuple(model.class_ids(words))
    except UsageError as error:
        raise HTTPRequestError(400, str(error)[:500]) from error


def _parse_text(option: Option, text: str) -> Any:
    """Parse a value of a query; None when empty, the text itself when it is none of the option's."""
    if not text.strip():
        return None
    try:
        if option.kind == "texts":
            return [word for word in text.split(",") if word.strip()] or None
        if option.kind == "flag":
            return WORDS.get(text.strip().lower(), text)
        return {"number": float, "whole": int}.get(option.kind, str)(text)
    except ValueError:
        return text


def _resolve(model: Model, option: Option, value: Any, or_null: str) -> Any:
    mismatch = option.mismatch(value)
    if mismatch:
        raise HTTPRequestError(400, f"{option.key}={str(value)[:40]!r}: must be {mismatch}{or_null}")
    return resolve_classes(model, [str(each) for each in value]) if option.name == "classes" else value
