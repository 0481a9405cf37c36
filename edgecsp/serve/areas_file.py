"""Lines and zones that were changed on the page: one JSON file beside the site file, whose comments stay untouched.

    site.toml -> site.areas.json: {"STREAM": {"lines": [...], "zones": [...]}}

Where the site file's folder cannot be written, as in a container, the file is in the folder of models and plans. For a
stream with `editable = true` it goes before the lines and zones of the site file.
"""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..cache import files
from ..errors import UsageError
from ..track import Line, Zone
from ..types import Model
from ..zoo import store
from . import areas
from .area_schemas import AREAS_CHANGE
from .schema import Field, find_mismatch

_STREAMS = Field("map", of=AREAS_CHANGE)


class AreasFile:
    """The file of a site's changed lines and zones. Thread-safe. Raises `UsageError` that names it."""

    def __init__(self, site: Path) -> None:
        self.path = site.with_name(f"{site.stem}.areas.json")
        if not self.path.exists() and not os.access(site.parent, os.W_OK):
            self.path = store.home() / "areas" / self.path.name
        self._lock = threading.Lock()
        self._streams: Dict[str, Any] = {}
        if self.path.exists():
            try:
                self._streams = json.loads(files.read(self.path))
            except ValueError as error:
                raise self._error(f"not valid JSON: {error}") from error
            mismatch = find_mismatch(_STREAMS, self._streams, "the file")
            if mismatch:
                raise self._error(mismatch)

    def _error(self, words: str) -> UsageError:
        return UsageError(f"{self.path}: {words}; mend it, or remove it to go back to the site file")

    def read(self, stream: str, model: Model) -> Optional[Tuple[List[Line], List[Zone]]]:
        """Return the lines and zones of a stream, None when they were not changed."""
        entry = self._streams.get(stream)
        if entry is None:
            return None
        try:
            return (
                [areas.from_dict(Line, each, model) for each in entry.get("lines", ())],
                [areas.from_dict(Zone, each, model) for each in entry.get("zones", ())],
            )
        except UsageError as error:
            raise self._error(f"stream {stream}: {error}") from error

    def save(self, stream: str) -> areas.Save:
        """Return what saves the lines and zones of a stream; it raises `OutputError`."""
        return partial(self._write, stream)

    def _write(self, stream: str, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
        entry = {"lines": [areas.to_dict(each) for each in lines], "zones": [areas.to_dict(each) for each in zones]}
        with self._lock:
            changed = {**self._streams, stream: entry}
            with files.atomic(self.path) as file:
                file.write(json.dumps(changed, indent=2).encode())
            self._streams = changed
