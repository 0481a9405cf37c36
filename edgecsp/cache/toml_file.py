"""TOML files of users: read whole, with errors that name file, line and key."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple, Union

from ..errors import SourceError, UnknownName, UsageError
from .files import suggest_similar

Key = Sequence[Union[str, int]]


class TomlFile:
    """A TOML file. Raises `SourceError` (it cannot be read) or `UsageError` (it is not TOML)."""

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)
        toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
        try:
            self.text = self.path.read_text("utf-8")
            self.document: Dict[str, Any] = toml.loads(self.text)
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}{suggest_similar(path)}") from error
        except ValueError as error:  # not UTF-8, or not TOML
            raise UsageError(f"{path} is not valid TOML: {error}") from error

    def error(self, key: Key, words: str) -> UsageError:
        """Make an error about a key: (), ("conf",), ("streams", 0, "conf")."""
        line = line_of(self.text, key)
        where = f"{self.path}" + (f", line {line}" if line else "")
        return UsageError(f"{where}: {format_key(key)}: {words}" if key else f"{where}: {words}")

    def require_known(self, table: Tuple[Union[str, int], ...], names: Iterable[str], known: Sequence[str]) -> None:
        """Raise the error of the first name of a table that is not known, with the one that it may be."""
        for name in names:
            if name not in known:
                raise self.error((*table, name), str(UnknownName("key", name, known)))


def format_key(key: Key) -> str:
    """Format a key for people: streams[1].conf, counted from 1."""
    return "".join(f"[{each + 1}]" if isinstance(each, int) else f".{each}" for each in key).lstrip(".")


def line_of(text: str, key: Key) -> Optional[int]:
    """Find the line of a key, else of its table, counted from 1; None for neither (an inline table)."""
    *table, name = (*key, "") if key and isinstance(key[-1], int) else (*key,) if key else ("",)
    here: Tuple[Union[str, int], ...] = ()
    indices: Dict[Tuple[Union[str, int], ...], int] = {}
    header: Optional[int] = None
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*(\[\[?)((?:\s*\"?[\w-]+\"?\s*\.)*)\s*\"?([\w-]+)\"?\s*\]", line)
        if opened:
            here = ()
            for label in re.findall(r"[\w-]+", opened[2]):  # [[streams.lines]] is of the latest [[streams]]
                here += (label,)
                here += (indices[here],) if here in indices else ()
            here += (opened[3],)
            if opened[1] == "[[":
                indices[here] = indices.get(here, -1) + 1
                here += (indices[here],)
            if here == tuple(table) or (not table and here[:1] == (name,)):
                header = header or number
            continue
        assignment = re.match(r"\s*\"?([\w-]+)\"?\s*=", line)
        if assignment and here == tuple(table) and assignment[1] == name:
            return number
    return header
