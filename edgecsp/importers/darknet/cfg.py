"""darknet's `.cfg` text -> sections with line numbers. Knows the syntax, not what a section means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Type

from ...cache.files import nearby
from ...errors import BadModel, SourceError

MAX_BYTES = 1 << 20
MAX_SECTIONS = 4096
MAX_NUMBERS = 4096  # in one list
_MAX_WHOLE = 2**31 - 1  # darknet reads ints


@dataclass
class Section:
    """One `[kind]` and its options: key -> (value, line). Readers raise `BadModel` with file and line."""

    file: str
    kind: str
    line: int
    options: Dict[str, Tuple[str, int]] = field(default_factory=dict)

    def wrong(self, message: str, key: str = "") -> BadModel:
        """The error to raise for this section, at the line of `key` if it has one."""
        line = self.options[key][1] if key in self.options else self.line
        return BadModel(f"{self.file}, line {line}: [{short(self.kind)}] {message}")

    def text(self, key: str, default: str = "") -> str:
        """An option's text as it stands."""
        return self.options[key][0] if key in self.options else default

    def whole(self, key: str, default: int, low: int = -_MAX_WHOLE, high: int = _MAX_WHOLE) -> int:
        """A whole number within low..high."""
        values = self.wholes(key, low, high) if key in self.options else [default]
        if len(values) != 1:
            raise self.wrong(f"{key}={short(self.text(key))!r}: one number is expected, found {len(values)}", key)
        return values[0]

    def real(self, key: str, default: float, low: float, high: float) -> float:
        """A finite number within low..high."""
        values = self.reals(key, low, high) if key in self.options else [default]
        if len(values) != 1:
            raise self.wrong(f"{key}={short(self.text(key))!r}: one number is expected, found {len(values)}", key)
        return values[0]

    def flag(self, key: str) -> bool:
        """True when the option stands there and is not 0."""
        return self.whole(key, 0) != 0

    def wholes(self, key: str, low: int = -_MAX_WHOLE, high: int = _MAX_WHOLE) -> List[int]:
        """A comma-separated list of whole numbers; empty when the option is absent."""
        return [int(v) for v in self._numbers(key, int, low, high)]

    def reals(self, key: str, low: float, high: float) -> List[float]:
        """A comma-separated list of finite numbers; empty when the option is absent."""
        return self._numbers(key, float, low, high)

    def _numbers(self, key: str, kind: Type[float], low: float, high: float) -> List[float]:
        if key not in self.options:
            return []
        words = [word.strip() for word in self.text(key).split(",")]
        while len(words) > 1 and not words[-1]:  # "10,14," is common, and darknet reads past it
            words.pop()
        if len(words) > MAX_NUMBERS:
            raise self.wrong(f"{key}= lists {len(words):,} numbers; at most {MAX_NUMBERS:,} can be meant", key)
        numbers = []
        for word in words:
            try:
                number = kind(word[:64])
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                raise self.wrong(f"{key}={short(word)!r} is not {what}", key) from None
            if not (math.isfinite(number) and low <= number <= high):
                raise self.wrong(f"{key}={short(word)} is outside {low:g} to {high:g}", key)
            numbers.append(number)
        return numbers


def read(path: Path) -> List[Section]:
    """The sections of a cfg file, in order. Raises `SourceError` (no such file) or `BadModel` (not a cfg)."""
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a cfg file. Raises as `read` does."""
    if not path.is_file():
        raise SourceError(f"no cfg file at {path}{nearby(path)}")
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if b"\0" in data:
        raise BadModel(f"{path} is no cfg but a binary file; the order is: edgecsp import MODEL.cfg MODEL.weights")
    if len(data) > MAX_BYTES:
        raise BadModel(f"{path} is over {MAX_BYTES >> 20} MB; a darknet cfg has a few thousand lines at most")
    return data.decode("utf-8-sig", errors="replace")


def parse(text: str, file: str = "cfg") -> List[Section]:
    """The sections of a cfg text; `file` names it in errors. A key given twice counts once, the first time."""
    sections: List[Section] = []
    # Not splitlines(): it also splits at form feeds and the like, and line numbers must be an editor's.
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        line = raw.split("#", 1)[0].split(";", 1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise BadModel(f"{file}, line {number}: {short(line)!r} opens a section and does not close it with ']'")
            sections.append(Section(file, line[1:-1].strip().lower(), number))
            if len(sections) > MAX_SECTIONS:
                raise BadModel(f"{file}, line {number}: more than {MAX_SECTIONS} sections")
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise BadModel(f"{file}, line {number}: {short(line)!r} is neither [section], key=value nor a # comment")
        if not sections:
            raise BadModel(
                f"{file}, line {number}: {short(line)!r} stands before any [section]; a cfg begins with [net]"
            )
        sections[-1].options.setdefault(key.strip(), (value.strip(), number))
    if not sections:
        raise BadModel(f"{file} holds no [section]; a cfg begins with [net]")
    return sections


def short(text: str) -> str:
    """A text that fits an error message."""
    return text if len(text) <= 40 else text[:37] + "..."


def first_of(sections: List[Section], kind: str) -> Optional[Section]:
    """The first section of a kind, None when there is none."""
    return next((section for section in sections if section.kind == kind), None)
