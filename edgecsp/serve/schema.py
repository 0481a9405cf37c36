"""Declare what crosses the edge of the server: fields and shapes, from which checks, JSON schemas and pages are made.

    FILTERS = Shape("Settings", "filters of a stream", {"conf": Field("number", "confidence threshold", 0, 1)})
    check(FILTERS, {"conf": 7}, "the body")    # HTTPRequestError: conf must be a number from 0 to 1, not 7

Ours and not msgspec: its last release for Python 3.8 (0.18.6) is no longer maintained, its errors name a path and a
type where ours say what to send, and a request's JSON has to be bounded before it is parsed all the same (`_json`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Collection, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..errors import HTTPRequestError
from ..options import declaration

QUOTED = 40  # characters of a wrong value in a message


@dataclass(frozen=True)
class Field:
    """A value: its kind, bounds and meaning.

    Kinds: text, flag, whole, number, texts (names or numbers), sides (two of an image), list and map (of `of`), object
    (the shape `of`), bytes, any. `least` and `most` bound numbers, and the entries of lists and texts. `as_text`: JSON
    may also have it as text, as a query does.
    """

    kind: str
    description: str = ""
    least: Optional[float] = None
    most: Optional[float] = None
    pattern: str = ""
    choices: Tuple[str, ...] = ()
    of: Union[Field, Shape, None] = None
    nullable: bool = False
    as_text: bool = False


@dataclass(frozen=True, eq=False)
class Shape:
    """A JSON object. `entry`: what its fields are called, if no others are allowed. A name makes it a component."""

    name: str
    description: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    required: Tuple[str, ...] = ()
    entry: str = ""


Declared = Union[Field, Shape]


# -- checks ----------------------------------------------------------------------------------------------------------


def check(shape: Shape, value: Any, what: str, later: Collection[str] = ()) -> Dict[str, Any]:
    """Return an object of JSON that fits a shape. Raises `HTTPRequestError`.

    `later` are fields that the caller checks itself, as it knows better what belongs there. The time is bounded by the
    number of values, which `_json` counts, the depth by the declaration.
    """
    error = find_mismatch(shape, value, what, later)
    if error:
        raise HTTPRequestError(400, error)
    checked: Dict[str, Any] = value
    return checked


def parse_text(declared: Field, name: str, text: str) -> Any:
    """Parse a parameter of a query or a form; None when it is empty. Raises `HTTPRequestError`."""
    text = text.strip()
    if not text:
        return None
    value: Any = text
    if declared.kind == "texts":
        return [word for word in text.split(",") if word.strip()] or None
    try:
        if declared.kind == "number":
            value = float(text)
        elif declared.kind == "whole":
            value = int(text) if len(text) < 20 else text
        elif declared.kind == "flag":
            value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    except ValueError:
        value = None
    expected = describe_mismatch(declared, value)
    if expected:
        raise HTTPRequestError(400, f"{name}={text[:QUOTED]!r}: must be {expected}")
    return value


def find_mismatch(declared: Declared, value: Any, what: str, later: Collection[str] = ()) -> str:
    """Describe the first difference of a value from its declaration; "" when there is none."""
    wrong = _find(declared, value, later)
    if wrong is None:
        return ""
    path = "".join(f"[{key[1:QUOTED]}]" if key[0] == "[" else f".{key}" for key in wrong.path).lstrip(".")
    return wrong.words if wrong.is_sentence else f"{path or what}{wrong.words}"


class _Wrong(NamedTuple):
    """The path to a value that does not fit, and the words behind it, or a whole sentence."""

    path: Tuple[str, ...]
    words: str
    is_sentence: bool = False


def _find(declared: Declared, value: Any, later: Collection[str]) -> Optional[_Wrong]:
    # Paths are made on the way back, and only of what is wrong: this runs for each inference request.
    if isinstance(declared, Shape):
        return _find_in_object(declared, value, later)
    if value is None and declared.nullable:
        return None
    if isinstance(value, str) and declared.as_text:
        return _find_in_text(declared, value)
    expected = describe_mismatch(declared, value)
    if expected:
        null = ", or null" if declared.nullable else ""
        return _Wrong((), f" must be {expected}{null}, not {_quote(value)}")
    if declared.of is None:
        return None
    if declared.kind == "object":
        return _find(declared.of, value, later)
    for at, each in value.items() if declared.kind == "map" else enumerate(value):
        wrong = _find(declared.of, each, later)
        if wrong is not None:
            return wrong._replace(path=(f"[{at}", *wrong.path))
    return None


def _find_in_object(shape: Shape, value: Any, later: Collection[str]) -> Optional[_Wrong]:
    known = ", ".join
    if not isinstance(value, dict):
        return _Wrong((), f" must be a JSON object with {known(shape.fields)}; not {_quote(value)}")
    if shape.entry:
        for name in sorted(value.keys() - shape.fields.keys())[:1]:
            return _Wrong((), f"unknown {shape.entry} {name[:60]!r}; known: {known(shape.fields)}", is_sentence=True)
    for name, declared in shape.fields.items():
        if name in later:
            continue
        if name in value:
            wrong = _find(declared, value[name], later)
            if wrong is not None:
                return wrong._replace(path=(name, *wrong.path))
        elif name in shape.required:
            return _Wrong((name,), " is required" + (f": {declared.description}" if declared.description else ""))
    return None


def _find_in_text(declared: Field, text: str) -> Optional[_Wrong]:
    try:
        parse_text(declared, "", text)
    except HTTPRequestError as error:
        return _Wrong((), str(error))
    return None


def _quote(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"a list of {len(value)}" if isinstance(value, list) else "an object"
    return repr(value[:QUOTED] if isinstance(value, str) else value)[: QUOTED + 2]


def describe_mismatch(what: Field, value: Any) -> str:
    """Describe the expected value of a field, apart from what it holds; "" when the value is valid."""
    if what.kind in ("object", "bytes", "any"):
        return ""
    if what.kind == "map":
        return "" if isinstance(value, dict) else "a JSON object"
    if what.kind == "list":
        return "" if isinstance(value, list) and _has_length(what, value) else f"a list{_length(what)}"
    if what.kind == "texts" and what.least is None:
        value = value or None  # an empty list selects nothing: surely a mistake
    mismatch = declaration.describe_mismatch(what.kind, value, what.least, what.most, what.choices)
    if not mismatch and what.pattern and not re.match(what.pattern, value):
        return what.description or f"a string like {what.pattern}"
    return mismatch


def _has_length(what: Field, value: List[Any]) -> bool:
    return (what.least is None or len(value) >= what.least) and (what.most is None or len(value) <= what.most)


def _length(what: Field) -> str:
    return "" if what.least is None else f" of {what.least:g}" if what.least == what.most else " of another length"


# -- JSON schema -----------------------------------------------------------------------------------------------------


class Dialect(NamedTuple):
    """A kind of JSON schema: the prefix of references, whether null is a type, whether objects are closed."""

    reference: str
    null_is_type: bool
    closed: bool = False


OPENAPI = Dialect("#/components/schemas/", False)  # 3.0
JSON_SCHEMA = Dialect("#/$defs/", True)  # draft 2020-12


def to_schema(declared: Declared, dialect: Dialect) -> Dict[str, Any]:
    """Build the JSON schema of a field or a shape; named shapes are references."""
    if isinstance(declared, Shape):
        return {"$ref": dialect.reference + declared.name} if declared.name else shape_schema(declared, dialect)
    schema = _kind_schema(declared, dialect)
    if "$ref" in schema:  # what stands beside a reference is ignored
        if not declared.nullable:
            return schema
        return {"anyOf": [schema, {"type": "null"}]} if dialect.null_is_type else {"allOf": [schema], "nullable": True}
    if declared.description:
        schema["description"] = declared.description
    if declared.pattern:
        schema["pattern"] = declared.pattern
    if declared.choices:
        schema["enum"] = list(declared.choices)
    if declared.nullable and not dialect.null_is_type:
        schema["nullable"] = True
    others = [{"type": "string"}] if declared.as_text else []
    if declared.nullable and dialect.null_is_type:
        others.append({"type": "null"})
    return {"anyOf": [schema, *others]} if others else schema


def shape_schema(shape: Shape, dialect: Dialect) -> Dict[str, Any]:
    """Build the JSON schema of a shape itself."""
    schema: Dict[str, Any] = {
        "type": "object",
        "properties": {name: to_schema(declared, dialect) for name, declared in shape.fields.items()},
    }
    if shape.description:
        schema["description"] = shape.description
    if shape.required:
        schema["required"] = list(shape.required)
    if shape.entry or (dialect.closed and shape.fields):
        schema["additionalProperties"] = False
    return schema


def components(declared: Iterable[Declared]) -> List[Shape]:
    """List the named shapes in declarations, each once, in the order of their first use."""
    return list({shape.name: shape for each in declared for shape in _shapes(each) if shape.name}.values())


def _shapes(declared: Declared) -> Iterator[Shape]:
    inner: Iterable[Declared] = declared.fields.values() if isinstance(declared, Shape) else filter(None, [declared.of])
    if isinstance(declared, Shape):
        yield declared
    for each in inner:
        yield from _shapes(each)


def _kind_schema(what: Field, dialect: Dialect) -> Dict[str, Any]:
    numbers = {"minimum": what.least, "maximum": what.most}
    bounds = {key: value for key, value in numbers.items() if value is not None}
    entries = {key.replace("imum", "Items"): value for key, value in bounds.items()}
    name: Dict[str, Any] = {"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}
    if dialect.null_is_type:
        name = {"type": ["string", "integer"]}
    if what.kind == "object" and what.of is not None:
        return to_schema(what.of, dialect)
    of = {} if what.of is None else to_schema(what.of, dialect)
    kinds: Dict[str, Dict[str, Any]] = {
        "text": {"type": "string"},
        "flag": {"type": "boolean"},
        "whole": {"type": "integer", **bounds},
        "number": {"type": "number", **bounds},
        "texts": {"type": "array", "items": name, **({} if what.least == 0 else {"minItems": 1})},
        "sides": {
            "type": ["integer", "array"], **bounds, "items": {"type": "integer", **bounds}, "minItems": 2,
            "maxItems": 2,
        },
        "list": {"type": "array", "items": of, **entries},
        "map": {"type": "object", "additionalProperties": of},
        "bytes": {"type": "string", "format": "binary"},
        "any": {},
    }  # fmt: skip
    return kinds[what.kind]
