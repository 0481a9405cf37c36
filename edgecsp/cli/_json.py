"""`--json`, in every command: a file, which is written as a whole or not at all, or - for stdout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, List, Optional

import typer

from ..errors import OutputError, UsageError

OPTION: Any = typer.Option(None, "--json", help="the result as JSON: a file, or - for stdout")


class JsonOutput:
    """The place that `--json` names, opened before the work, so that an unwritable one is reported at once.

    As a context manager it removes the unfinished file; without a place it does nothing. Raises `OutputError`,
    and `UsageError` for a file that holds something else, such as a model.
    """

    def __init__(self, target: Optional[str]) -> None:
        self.is_stdout = target == "-"
        self._text: Any = None
        if target is not None:
            from ..media.sinks.base import Text

            if not self.is_stdout:
                _refuse_other_files(target)
            self._text = Text(target)

    def write(self, value: Any, *, indent: Optional[int] = 2) -> None:
        """Write the document and give the file its name; numbers that are not finite become null."""
        if self._text is not None:
            self._text.write(_dump(value, indent) + "\n")
            self._text.close()

    @property
    def paths(self) -> List[Path]:
        """The file, if it was written."""
        return [] if self._text is None else list(self._text.paths)

    def __enter__(self) -> JsonOutput:
        return self

    def __exit__(self, *_: object) -> None:
        if self._text is not None:
            self._text.abort()  # does nothing after `write`


def _refuse_other_files(target: str) -> None:
    from ..cache import files

    if target.startswith("-"):
        raise UsageError(f"--json {target}: must be a file, or - for stdout; a file of that name is ./{target}")
    path = Path(target)
    if path.suffix.lower() == ".json" or files.descriptor(path) is not None or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            begins = file.read(256).lstrip()[:1]
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    if begins not in (b"", b"{", b"["):
        raise UsageError(f"--json {target}: that file is there and holds no JSON; give another name")


def _dump(value: Any, indent: Optional[int]) -> str:
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), indent=indent, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
