"""Summarise an output folder from its manifest."""

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
    """`settings` of the rows, counts of `items`, `frames`, `parts` and of detections by label, `failures`."""

    settings: Dict[str, Any]
    items: int
    frames: int
    parts: int
    label_counts: Dict[str, int]
    failures: List[Dict[str, Any]]


def summarize(place: str, *, check: bool = False) -> BatchSummary:
    """Summarise a finished folder; with `check` every file's digest is verified.

    Raises `SourceError` when it is not finished, `IntegrityError` when a file is not as it was written.
    """
    folder = Folder(place)
    data, failed = folder.read("manifest.jsonl"), folder.read("failures.parquet")
    if data is None or failed is None:
        raise SourceError(f"{folder.label} has no manifest: no edgecsp batch has ended there; run it again to its end")
    try:
        head, *parts = [json.loads(line) for line in data.splitlines()]
        if head["schema"] != SCHEMA:
            known = f"supported is {SCHEMA}; upgrade edgecsp"
            raise IntegrityError(f"{folder.label}/manifest.jsonl has schema {head['schema']}, {known}")
        result = BatchSummary(
            head["settings"], head["items"], head["frames"], len(parts), head["found"], rows.read(failed)
        )  # fmt: skip
        files = {name: digest for part in parts for name, digest in part["files"].items()}
    except (ValueError, KeyError, TypeError) as error:
        why = f"is not a manifest ({error}); run the command again"
        raise IntegrityError(f"{folder.label}/manifest.jsonl {why}") from error
    if check:
        _check(folder, files)
    return result


def _check(folder: Folder, files: Dict[str, str]) -> None:
    for name, digest in files.items():
        content = folder.read(name)
        if content is None or sha256(content) != digest:
            what = "is missing" if content is None else "has changed since it was written"
            raise IntegrityError(f"{folder.label}/{name} {what}; run the command again to rewrite it")
