"""A worker of `edgecsp batch` that only waits. It imports nothing, for there are as many as there are machines."""

from __future__ import annotations

import json
import time
from typing import Any, Dict


def record(part: Dict[str, Any]) -> Dict[str, Any]:
    """The record of a part (its JSON) that went well, as a worker writes it."""
    name = part["name"]
    short = {**part, "sources": [item["source"] for item in part["items"]]}
    del short["items"]
    return {
        "name": name, "frames": part["frames"] or 0, "found": {"person": 911, "car": 112}, "failures": [],
        "part": short, "input": [[1 << 30, 1 << 60]], "files": {f"rows/{name[:2]}/{name}.parquet": "0" * 64},
    }  # fmt: skip


class Idle:
    """In an actor's place: waits as long as a part would take, and says that it is done."""

    def __init__(self, task: Any, threads: int) -> None:
        self._seconds = float(task)

    def __call__(self, row: Dict[str, str]) -> Dict[str, str]:
        """One part."""
        part = json.loads(row["said"])
        if self._seconds:
            # From half to one and a half of it, or all would come back at the same moment.
            time.sleep(self._seconds * (0.5 + int(part["name"][:4], 16) / 65536))
        return {"said": json.dumps(record(part))}
