"""Streaming parser of multipart forms: the fields, and the image in the field `image`. Source: RFC 7578.

The client may not be authenticated yet, so the parser takes linear time and bounds the size of a part's header, a
field's value and the number of parts. The standard library's parser of header parameters (`email.message`) is
quadratic.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, NamedTuple, Optional, Tuple, cast

from ..errors import HTTPRequestError
from .body import Receive, piece

IMAGE = "image"
HEAD_BYTES = 4096  # of a part's header
VALUE_BYTES = 1000  # of a field's value; the rest is dropped
PARTS = 16
BOUNDARY = 70  # characters (RFC 2046, 5.1.1)

# A parameter of a header's value. Each match starts at the end of the last one, so parsing is linear.
_PARAMETER = re.compile(r'[;\s]+([^\s=;"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*)))?', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')


class UploadedImage(NamedTuple):
    """The image of a request and the form's other fields."""

    data: bytes
    name: str
    fields: Dict[str, str]


def parameters(value: str) -> Dict[str, str]:
    """Parse the parameters of a header's value, unquoted, by name in lower case."""
    at, parameters_by_name = value.find(";"), {}
    while at >= 0:
        match = _PARAMETER.match(value, at)
        if match is None:
            break
        name, quoted, plain = match.groups()
        parameters_by_name[name.lower()] = (plain or "").strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = match.end()
    return parameters_by_name


class Form:
    """Parser of a form that arrives in pieces. `field` is called with the name and value of each field at its end.

    Feed it, then close it. Raises `HTTPRequestError` for an invalid form.
    """

    def __init__(self, kind: str, field: Callable[[str, str], None] = lambda name, value: None) -> None:
        boundary = parameters(kind).get("boundary", "")
        if not 0 < len(boundary) <= BOUNDARY:
            raise HTTPRequestError(400, "multipart/form-data without a boundary")
        self._delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
        self._field = field
        self._waiting = bytearray(b"\r\n")  # the first delimiter may be at the very beginning
        # Not a bound method: that cycle would keep the form in memory until garbage collection.
        self._read: Callable[[Form], bool] = Form._body
        self._parts = 0
        self._name, self._filename = "", ""
        self._value = bytearray()  # of the current part; it grows in place
        self._image: Optional[Tuple[bytearray, str]] = None
        self._fields: Dict[str, str] = {}

    def feed(self, data: bytes) -> None:
        """Parse the next piece."""
        self._waiting += data
        while self._read(self):
            pass

    def close(self) -> UploadedImage:
        """Return the image and fields of a complete form."""
        if self._image is None and self._read is Form._ended:
            raise HTTPRequestError(
                400, f"the form has no field {IMAGE}; its fields: {', '.join(self._fields)[:100] or 'none'}"
            )
        if self._image is None or self._read is not Form._ended:
            raise HTTPRequestError(400, "the form ends before its last boundary")
        return UploadedImage(cast(bytes, self._image[0]), self._image[1][:200] or "picture", self._fields)

    # -- states: each consumes some of the buffer and returns whether it can go on -------------------------------------

    def _body(self) -> bool:
        at = self._waiting.find(self._delimiter)
        # Keep a rest shorter than the delimiter: it may be its first bytes.
        size = at if at >= 0 else len(self._waiting) - len(self._delimiter) + 1
        if size > 0:
            self._keep(self._waiting[:size])
            del self._waiting[:size]
        if at < 0:
            return False
        del self._waiting[: len(self._delimiter)]
        self._end_part()
        self._read = Form._head
        return True

    def _head(self) -> bool:
        if self._waiting[:2] == b"--":
            self._read = Form._ended
            return True
        size = self._waiting.find(b"\r\n\r\n", 0, HEAD_BYTES + 4)
        if size < 0:
            if len(self._waiting) >= HEAD_BYTES + 4:
                raise HTTPRequestError(400, f"the header of a part of the form is larger than {HEAD_BYTES} bytes")
            return False
        self._parts += 1
        if self._parts > PARTS:
            raise HTTPRequestError(400, f"the form has more than {PARTS} parts")
        disposition = _disposition(bytes(self._waiting[:size]))
        self._name, self._filename = disposition.get("name", ""), disposition.get("filename", "")
        del self._waiting[: size + 4]
        self._read = Form._body
        return True

    def _ended(self) -> bool:
        self._waiting.clear()
        return False

    def _keep(self, data: bytearray) -> None:
        if self._name == IMAGE:
            self._value += data
        elif self._name:
            self._value += data[: VALUE_BYTES - len(self._value)]

    def _end_part(self) -> None:
        data, self._value = self._value, bytearray()
        if self._name == IMAGE:
            self._image = data, self._filename
        elif self._name:
            value = data.decode("utf-8", "replace")
            self._fields[self._name] = value
            self._field(self._name, value)


def _disposition(head: bytes) -> Dict[str, str]:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return parameters(value)
    return {}


async def receive_form(receive: Receive, kind: str, field: Callable[[str, str], None]) -> UploadedImage:
    """Receive a request's form; `field` may raise before the rest is read. Raises `HTTPRequestError`."""
    form, more = Form(kind, field), True
    while more:
        data, more = await piece(receive)
        form.feed(data)
    return form.close()
