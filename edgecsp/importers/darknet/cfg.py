"""Parse darknet's `.cfg` syntax into sections with line numbers; `layers` interprets them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Tuple, Type

from ...cache.files import suggest_similar
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

    def error(self, message: str, key: str = "") -> BadModel:
        """Build the error for this section, at the line of `key` if it has one."""
        line = self.options[key][1] if key in self.options else self.line
        return BadModel(f"{self.file}, line {line}: [{shorten(self.kind)}] {message}")

    def text(self, key: str, default: str = "") -> str:
        """Return an option's text."""
        return self.options[key][0] if key in self.options else default

    def integer(self, key: str, default: int, low: int = -_MAX_WHOLE, high: int = _MAX_WHOLE) -> int:
        """Return an integer option within low..high."""
        values = self.integers(key, low, high) if key in self.options else [default]
        if len(values) != 1:
            raise self.error(f"{key}={shorten(self.text(key))!r}: one number is expected, found {len(values)}", key)
        return values[0]

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a finite number within low..high."""
        values = self.numbers(key, low, high) if key in self.options else [default]
        if len(values) != 1:
            raise self.error(f"{key}={shorten(self.text(key))!r}: one number is expected, found {len(values)}", key)
        return values[0]

    def flag(self, key: str) -> bool:
        """Whether the option is present and not 0."""
        return self.integer(key, 0) != 0

    def integers(self, key: str, low: int = -_MAX_WHOLE, high: int = _MAX_WHOLE) -> List[int]:
        """Return a comma-separated list of integers; empty when the option is absent."""
        return [int(v) for v in self._numbers(key, int, low, high)]

    def numbers(self, key: str, low: float, high: float) -> List[float]:
        """Return a comma-separated list of finite numbers; empty when the option is absent."""
        return self._numbers(key, float, low, high)

    def _numbers(self, key: str, kind: Type[float], low: float, high: float) -> List[float]:
        if key not in self.options:
            return []
        # darknet drops all white space of a line before it looks for commas: "1 0, 13" is 10 and 13.
        words = ["".join(word.split()) for word in self.text(key).split(",")]
        while len(words) > 1 and not words[-1]:  # "10,14," is common, and darknet reads past it
            words.pop()
        if len(words) > MAX_NUMBERS:
            raise self.error(f"{key}= lists {len(words):,} numbers; at most {MAX_NUMBERS:,} are allowed", key)
        numbers = []
        for word in words:
            try:
                number = kind(word[:64])
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                raise self.error(f"{key}={shorten(word)!r} is not {what}", key) from None
            if not (math.isfinite(number) and low <= number <= high):
                raise self.error(f"{key}={shorten(word)} is outside {low:g} to {high:g}", key)
            numbers.append(number)
        return numbers


def read(path: Path) -> List[Section]:
    """Read the sections of a cfg file, in order. Raises `SourceError` (no such file) or `BadModel` (not a cfg)."""
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Read the text of a cfg file. Raises as `read` does."""
    if not path.is_file():
        raise SourceError(f"no cfg file at {path}{suggest_similar(path)}")
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if b"\0" in data:
        raise BadModel(f"{path} is not a cfg but a binary file; the order is: edgecsp import MODEL.cfg MODEL.weights")
    if len(data) > MAX_BYTES:
        raise BadModel(f"{path} is over {MAX_BYTES >> 20} MB; a darknet cfg has a few thousand lines at most")
    return data.decode("utf-8-sig", errors="replace")


def parse(text: str, file: str = "cfg") -> List[Section]:
    """Parse the sections of a cfg text; `file` names it in errors. Of a repeated key the first value counts."""
    sections: List[Section] = []
    # Not splitlines(): it also splits at form feeds and the like, and line numbers must be an editor's.
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        line = raw.split("#", 1)[0].split(";", 1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise BadModel(f"{file}, line {number}: {shorten(line)!r} opens a section without a closing ']'")
            sections.append(Section(file, line[1:-1].strip().lower(), number))
            if len(sections) > MAX_SECTIONS:
                raise BadModel(f"{file}, line {number}: more than {MAX_SECTIONS} sections")
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise BadModel(f"{file}, line {number}: {shorten(line)!r} is neither [section], key=value nor a # comment")
        if not sections:
            raise BadModel(
                f"{file}, line {number}: {shorten(line)!r} stands before any [section]; a cfg begins with [net]"
            )
        sections[-1].options.setdefault(key.strip(), (value.strip(), number))
    if not sections:
        raise BadModel(f"{file} holds no [section]; a cfg begins with [net]")
    return sections


def shorten(text: str) -> str:
    """Shorten a text for an error message."""
    return text if len(text) <= 40 else text[:37] + "..."
