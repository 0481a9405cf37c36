"""The command as a user types it, and what a finished folder holds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

from support.commands import edgecsp


def batch(*words: object, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `edgecsp batch` to its end, which is `code`."""
    return edgecsp("batch", *words, code=code, **options)


def tree(out: Path) -> Dict[str, bytes]:
    """All that a finished run leaves, its own records aside."""
    inside = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in inside.items() if not name.startswith("state/")}


def parts(out: Path) -> List[Path]:
    """The records of what is done."""
    return list(out.glob("state/parts/*/*.json"))


def manifest(out: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def lines(out: Path) -> List[str]:
    """The JSON lines of all parts, in the manifest's order."""
    names = [name for part in manifest(out)[1:] for name in part["files"] if name.endswith(".jsonl")]
    return [line for name in names for line in (out / name).read_text().splitlines()]


def by_source(lines: List[str]) -> Dict[str, List[str]]:
    """JSON lines, each source's in their order."""
    groups: Dict[str, List[str]] = {}
    for line in lines:
        groups.setdefault(json.loads(line)["source"], []).append(line)
    return groups


def failures(out: Path) -> List[Dict[str, Any]]:
    from pyarrow import parquet

    return parquet.read_table(out / "failures.parquet").to_pylist()
