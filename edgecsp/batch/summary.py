"""What an output folder holds, from its manifest alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List

from ..errors import IntegrityError, SourceError
from . import rows
from .ledger import SCHEMA, sha256
from .storage import Folder


@dataclass(frozen=True)
class BatchSummary:
    """`settings` the rows were made with, how many `items`, `frames` and `parts`, what was `found`, `failures`."""

    settings: Dict[str, Any]
    items: int
    frames: int
    parts: int
    found: Dict[str, int]
    failures: List[Dict[str, Any]]


def summary(place: str, *, check: bool = False) -> BatchSummary:
    """The summary of a finished folder; with `check` every file is held to its digest.

    Raises `SourceError` when it is not finished, `IntegrityError` when a file is not as it was written.
    """
    folder = Folder(place)
    data, failed = folder.read("manifest.jsonl"), folder.read("failures.parquet")
    if data is None or failed is None:
        raise SourceError(f"{folder.shown} has no manifest: no edgecsp batch has ended there; run it again to its end")
    try:
        head, *parts = [json.loads(line) for line in data.splitlines()]
        if head["schema"] != SCHEMA:
            known = f"known is {SCHEMA}; upgrade edgecsp"
            raise IntegrityError(f"{folder.shown}/manifest.jsonl is {head['schema']}, {known}")
        told = BatchSummary(
            head["settings"], head["items"], head["frames"], len(parts), head["found"], rows.read(failed)
        )  # fmt: skip
        files = {name: digest for part in parts for name, digest in part["files"].items()}
    except (ValueError, KeyError, TypeError) as error:
        why = f"is no manifest ({error}); run the command again"
        raise IntegrityError(f"{folder.shown}/manifest.jsonl {why}") from error
    if check:
        _check(folder, files)
    return told


def _check(folder: Folder, files: Dict[str, str]) -> None:
    for name, digest in files.items():
        content = folder.read(name)
        if content is None or sha256(content) != digest:
            what = "is gone" if content is None else "is not as it was written"
            raise IntegrityError(f"{folder.shown}/{name} {what}; run the command again, which makes it anew")
