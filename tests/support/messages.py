"""The server's declaration that an object is of: a message, an event, a result."""

from __future__ import annotations

import importlib
from typing import Any, Dict

from edgecsp.serve import channels, schema, schemas
from edgecsp.serve.area_schemas import AREA_EVENT
from edgecsp.serve.schema import Shape

BY_TYPE = {"detections": channels.DETECTIONS_EVENT, "state": channels.STATE_EVENT, "area": channels.AREA_MESSAGE}
# A field that objects of no other declaration have; a result's comes last, for an event of detections has it too.
BY_FIELD = {
    "kind": AREA_EVENT,
    "lost": channels.LOST_EVENT,
    "counts": channels.STREAM_MESSAGE,
    "automation_type": channels.TRIGGER_MESSAGE,
    "unique_id": channels.DISCOVERY_MESSAGE,
    "schema": schemas.RESULT,
}


def shape_of(value: Dict[str, Any]) -> Shape:
    """The declaration that an object is of."""
    if value.get("type") in BY_TYPE:
        return BY_TYPE[value["type"]]
    return next(shape for name, shape in BY_FIELD.items() if name in value)


def check(value: Dict[str, Any]) -> Shape:
    """Require that an object has the fields of its declaration, and no others: -> the declaration."""
    shape = shape_of(value)
    assert schema.find_mismatch(shape, value, "the object") == "" and set(value) <= set(shape.fields)
    try:
        jsonschema: Any = importlib.import_module("jsonschema")
    except ImportError:  # the fields of fields are not compared then
        return shape
    closed = schema.JSON_SCHEMA._replace(closed=True)
    named = {each.name: schema.shape_schema(each, closed) for each in schema.components([shape])}
    jsonschema.Draft202012Validator({**schema.shape_schema(shape, closed), "$defs": named}).validate(value)
    return shape
