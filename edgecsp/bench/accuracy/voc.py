"""Pascal VOC's XML labels, one file per image, as LabelImg, CVAT and Roboflow also write them.

Sources: the development kits of VOC2007 and VOC2012 (section "Annotation file format"), LabelImg's pascal_voc_io.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, NamedTuple, NoReturn, Optional, Tuple
from xml.parsers import expat

import numpy as np

from ...cache import files
from ...errors import SourceError
from .truth import Boxes

MAX_BYTES = 16 << 20
MAX_DEPTH = 32
MAX_TEXT = 1000  # characters of one element: names and numbers are shorter


class VocObject(NamedTuple):
    """An object of a label file: class, (left, top, width, height) in pixels, "difficult" flag, line number."""

    name: str
    xywh: Tuple[float, float, float, float]
    difficult: bool
    line: int


class Annotation(NamedTuple):
    """A label file: the image's (height, width) if given, and its objects."""

    hw: Optional[Tuple[int, int]]
    objects: Tuple[VocObject, ...]


def read(path: Path) -> Annotation:
    """Read a label file. Raises `SourceError` with file and line.

    Document types and entities are refused: labels need none, and entities can grow without bounds or name other files.
    """
    root = _parse(path)
    if root.name != "annotation":
        raise _error(path, root, f"<{root.name}> is not a Pascal VOC label file; <annotation> is expected")
    # The kits count pixels from 1 and include the last; other programs write the corners as they are.
    one_based = "VOC20" in root.value("source", "database")
    return Annotation(_size(root), tuple(_object(path, each, one_based) for each in root.children("object")))


def to_boxes(annotation: Annotation, path: Path, numbers: Dict[str, int]) -> Boxes:
    """Convert objects to boxes, difficult ones as ignored regions. Raises `SourceError`.

    `numbers` are the classes' by name.
    """
    for each in annotation.objects:
        if each.name not in numbers:
            known = ", ".join(list(numbers)[:12]) + (", ..." if len(numbers) > 12 else "")
            raise SourceError(f"{path}, line {each.line}: class {each.name!r} is none of the data's classes: {known}")
    boxes = Boxes.from_rows([(numbers[each.name], *each.xywh) for each in annotation.objects])
    crowd = np.array([each.difficult for each in annotation.objects], bool)
    return Boxes(boxes.xywh, boxes.class_ids, crowd, boxes.areas)


@dataclass
class _Node:
    name: str
    line: int
    text: str = ""
    inner: List[_Node] = field(default_factory=list)

    def children(self, name: str) -> List[_Node]:
        return [each for each in self.inner if each.name == name]

    def first(self, name: str) -> Optional[_Node]:
        return next((each for each in self.inner if each.name == name), None)

    def value(self, *names: str) -> str:
        """Return the text of the element at this path of names, "" if there is none."""
        node: Optional[_Node] = self
        for name in names:
            node = node.first(name) if node else None
        return node.text.strip() if node else ""


def _parse(path: Path) -> _Node:
    data = files.read(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SourceError(f"{path} is larger than {MAX_BYTES >> 20} MiB, too large for the labels of one image")
    if not data.strip():
        raise SourceError(f"{path}, line 1: the file is empty; an image without objects has an empty <annotation>")
    parser = expat.ParserCreate()
    parser.buffer_text = True
    outer = _Node("", 1)
    open_ = [outer]

    def begin(name: str, _: Dict[str, str]) -> None:
        if len(open_) > MAX_DEPTH:
            raise SourceError(f"{path}, line {parser.CurrentLineNumber}: elements lie more than {MAX_DEPTH} deep")
        node = _Node(name, parser.CurrentLineNumber)
        open_[-1].inner.append(node)
        open_.append(node)

    def text(value: str) -> None:
        if len(open_[-1].text) < MAX_TEXT:
            open_[-1].text += value[:MAX_TEXT]

    def refuse(*_: object) -> NoReturn:
        raise SourceError(
            f"{path}, line {parser.CurrentLineNumber}: it declares a document type or entities, which are not read "
            "(they can grow without bounds or name other files); remove the <!DOCTYPE ...>"
        )

    parser.StartElementHandler, parser.EndElementHandler = begin, lambda _: open_.pop() and None
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise SourceError(f"{path}, line {error.lineno}: {expat.ErrorString(error.code)}; it is not XML") from None
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise SourceError(f"{path}, line 1: {error}; its XML cannot be read") from None
    return outer.inner[0]


def _error(path: Path, node: _Node, text: str) -> SourceError:
    return SourceError(f"{path}, line {node.line}: {text}")


def _size(root: _Node) -> Optional[Tuple[int, int]]:
    """Read (height, width); None where it is missing or 0."""
    words = [root.value("size", name) for name in ("height", "width")]
    if not all(word.isdecimal() and len(word) < 10 and int(word) for word in words):
        return None
    return int(words[0]), int(words[1])


def _object(path: Path, node: _Node, one_based: bool) -> VocObject:
    name = node.value("name")
    if not name:
        raise _error(path, node, "an <object> without a <name>")
    box = node.first("bndbox")
    if box is None:
        raise _error(path, node, f"the <object> {name!r} has no <bndbox>; polygons and masks are not read")
    left, top, right, bottom = (_number(path, box, name) for name in ("xmin", "ymin", "xmax", "ymax"))
    for low, high, names in ((left, right, "xmin {:g} and xmax {:g}"), (top, bottom, "ymin {:g} and ymax {:g}")):
        if low > high:
            raise _error(path, box, f"{names.format(low, high)} of {name!r}: the first is at most the second")
    if one_based:
        left, top = left - 1, top - 1
    difficult = node.value("difficult").lower() in ("1", "true")
    return VocObject(name, (left, top, right - left, bottom - top), difficult, node.line)


def _number(path: Path, box: _Node, name: str) -> float:
    word = box.value(name)
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _error(path, box.first(name) or box, f"<{name}> is {word!r}; a number of pixels is expected")
    return value
