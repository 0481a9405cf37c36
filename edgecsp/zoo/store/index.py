"""The store's files. Under `home()`:

models/NAME.onnx, NAME.json    a model and its `Record`: it is there when both are
pins/NAME.json                 what a file without a published digest was at first; `remove` leaves it
downloads/                     what is on its way, and a lock for each name
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ContextManager, Dict, List, Mapping, Optional

from ...cache import files

RANDOM = "random"


@dataclass(frozen=True)
class Record:
    """The record of a pulled model.

    `weights` is "public" or "own" (a file of the user's); `source` the URL or the file's name, `sha256` and `size`
    what was read from it, `check` what that was held against; `onnx_sha256` is of the model's own file.
    """

    name: str
    weights: str
    source: str
    sha256: str
    size: int
    check: str
    licence: str
    pulled: str
    onnx_sha256: str


def home() -> Path:
    """The folder of all that edgecsp keeps: $EDGECSP_HOME, else the platform's place for a user's data."""
    return files.home("data")


def path(name: str) -> Path:
    """Path of a model's ONNX file, whether it is there or not."""
    return home() / "models" / f"{name}.onnx"


def record_path(name: str) -> Path:
    """Path of a model's record, whether it is there or not."""
    return home() / "models" / f"{name}.json"


def pin_path(name: str) -> Path:
    """Path of the first download's digest, whether it is there or not."""
    return home() / "pins" / f"{name}.json"


def downloads() -> Path:
    """Folder that downloads arrive in."""
    return home() / "downloads"


def record(name: str) -> Optional[Record]:
    """Read the record of a pulled model; None when it is not here."""
    content = read(record_path(name))
    whole = path(name).is_file() and content.keys() == {each.name for each in fields(Record)}
    return Record(**content) if whole else None


def list_installed() -> List[str]:
    """The names of the models that are here."""
    return [place.stem for place in sorted((home() / "models").glob("*.json")) if record(place.stem)]


def read(place: Path) -> Dict[str, Any]:
    """A small JSON object; a file that is missing or damaged is an empty one."""
    try:
        content = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write(place: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON object, whole or not at all."""
    with files.atomic(place) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def locked(name: str) -> ContextManager[None]:
    """Let one process at a time change what belongs to a name; the next one waits for it."""
    waiting = f"another process is at work on {name}; waiting for it"
    return files.locked(downloads() / f"{name}.lock", waiting)
