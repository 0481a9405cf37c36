"""Short forms of `schema.Field` and `schema.Shape`, for declarations."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from .schema import Declared, Field, Shape


def text(description: str = "", **more: Any) -> Field:
    """Declare a string."""
    return Field("text", description, **more)


def flag(description: str = "") -> Field:
    """Declare true or false."""
    return Field("flag", description)


def count(description: str = "", **more: Any) -> Field:
    """Declare an integer of at least 0."""
    return Field("whole", description, least=0, **more)


def number(description: str = "", **more: Any) -> Field:
    """Declare a number."""
    return Field("number", description, **more)


def list_of(of: Declared, description: str = "", **more: Any) -> Field:
    """Declare a list."""
    return Field("list", description, of=of, **more)


def object_of(of: Shape) -> Field:
    """Declare a field that is an object."""
    return Field("object", of=of)


def answer(name: str, description: str, fields: Mapping[str, Field], optional: Tuple[str, ...] = ()) -> Shape:
    """Declare an object whose fields are all there, but for the `optional` ones."""
    return Shape(name, description, fields, tuple(key for key in fields if key not in optional))
