"""protobuf's wire format, field by field: what a file says of itself, without a package that parses all of it.

    for number, value in protobuf.fields(data):
        ...

Importing onnx takes longer than finding the metadata of a model. Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from typing import Iterator, Tuple, Union

from ..errors import BadModel

_FIXED = {1: 8, 5: 4}  # wire types of a fixed number of bytes


def fields(data: Union[bytes, memoryview]) -> Iterator[Tuple[int, Union[int, memoryview]]]:
    """The number and value of each field of a message: an int, or the bytes of what is no int.

    Nothing is copied. Raises `BadModel` at what is no such message.
    """
    view, at = memoryview(data), 0
    while at < len(view):
        tag, at = _varint(view, at)
        wire = tag & 7
        if wire == 0:
            number, at = _varint(view, at)
            yield tag >> 3, number
            continue
        if wire == 2:
            size, at = _varint(view, at)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise BadModel(f"a field of type {wire}, which protobuf has not")
        if at + size > len(view):
            raise BadModel(f"it ends in the middle of a field of {size:,} bytes")
        yield tag >> 3, view[at : at + size]
        at += size


def parts(data: Union[bytes, memoryview], field: int) -> Iterator[memoryview]:
    """The values of one field that are no ints. Raises `BadModel`."""
    for number, value in fields(data):
        if number == field and isinstance(value, memoryview):
            yield value


def _varint(view: memoryview, at: int) -> Tuple[int, int]:
    """A number and where it ends: seven bits a byte, the lowest first."""
    value = shift = 0
    while at < len(view) and shift < 64:
        value |= (view[at] & 127) << shift
        at += 1
        if view[at - 1] < 128:
            return value, at
        shift += 7
    raise BadModel("it ends in the middle of a number")
