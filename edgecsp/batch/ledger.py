"""The record of finished work: one beside each finished file, so that the same command resumes where it was stopped.

rows/3f/3f09...-000001800.parquet     the rows of a part; .jsonl beside it when asked for
state/parts/3f/...json                the record: what went in, the digest of what came out
state/cuts/3f/...json                 where a video may be cut
settings.json                         what the rows depend on; other settings want another folder
manifest.jsonl, failures.parquet      written at the end
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Optional, Sequence

from ..errors import IntegrityError, OutputError, UsageError
from .shards import Item, Shard, SplitPoint
from .storage import Folder, stamp

Record = Dict[str, Any]
SCHEMA = "edgecsp-batch/1"
MAX_ATTEMPTS = 4  # at one shard in one run: after that the shard is to blame for its dying workers


def rows_name(part: Shard) -> str:
    """Return the file name of a shard's rows, without extension."""
    return f"rows/{part.name[:2]}/{part.name}"


def _record_name(name: str) -> str:
    return f"state/parts/{name[:2]}/{name}.json"


def sha256(data: bytes) -> str:
    """The hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def to_bytes(value: Any) -> bytes:
    """Serialise as deterministic JSON."""
    return (json.dumps(value, sort_keys=True, separators=(", ", ": "), allow_nan=False) + "\n").encode("ascii")


class Ledger:
    """The records in an output folder; `run` names one run of the command."""

    def __init__(self, place: str, run: str = "") -> None:
        self.folder = Folder(place)
        self.run = run

    # -- settings -----------------------------------------------------------------------------------------------

    def check_settings(self, settings: Dict[str, Any]) -> None:
        """Store the settings of a new folder; an existing folder's must be equal. Raises `UsageError`."""
        known = self.settings()
        if known is None:
            self.folder.write("settings.json", to_bytes(settings))
            return
        names = sorted({*known, *settings})
        other = [name for name in names if known.get(name) != settings.get(name)]
        if other:
            changes = "; ".join(f"{name} was {known.get(name)} and is {settings.get(name)}" for name in other)
            raise UsageError(f"{self.folder.label} holds rows with other settings: {changes}. Use another --out")

    def settings(self) -> Optional[Dict[str, Any]]:
        """Read the settings of the folder's rows, None when it is new."""
        return self._json("settings.json")

    # -- cuts ---------------------------------------------------------------------------------------------------

    def save_index(self, item: Item, record: Record) -> None:
        """Store a video's index."""
        record = {**record, "input": stamp(item.place)}
        self.folder.write(f"state/cuts/{item.name[:2]}/{item.name}.json", to_bytes(record))

    def load_index(self, item: Item) -> Optional[Record]:
        """Read a video's index, None if unknown or the file has changed."""
        record = self._json(f"state/cuts/{item.name[:2]}/{item.name}.json")
        return record if record is not None and record.get("input") == stamp(item.place) else None

    # -- parts --------------------------------------------------------------------------------------------------

    def finished_record(self, part: Shard) -> Optional[Record]:
        """Read the record of a finished shard, if its files are complete and its inputs unchanged."""
        record = self._json(_record_name(part.name))
        if record is None or record["part"] != part.to_record() or record["input"] != _stamps(part):
            return None
        for name, digest in record["files"].items():
            data = self.folder.read(name)
            if data is None or sha256(data) != digest:
                return None
        return record

    def finish(self, part: Shard, record: Record, contents: Dict[str, bytes]) -> Record:
        """Write a shard's files, by extension, and then its record."""
        digests = {}
        for extension, data in contents.items():
            name = rows_name(part) + extension
            self.folder.write(name, data)
            digests[name] = sha256(data)
        record = {**record, "part": part.to_record(), "input": _stamps(part), "files": digests}
        self.folder.write(_record_name(part.name), to_bytes(record))
        self.folder.remove(self._attempts_name(part))
        return record

    def count_attempt(self, part: Shard) -> int:
        """Return how many workers died at this shard in this run, and count a new attempt."""
        before = self._json(self._attempts_name(part)) or {}
        count = int(before["begun"]) if before.get("run") == self.run else 0
        self.folder.write(self._attempts_name(part), to_bytes({"run": self.run, "begun": count + 1}))
        return count

    def clear_attempts(self, part: Shard) -> None:
        """Reset the attempts of a shard that was given up."""
        self.folder.remove(self._attempts_name(part))

    def _attempts_name(self, part: Shard) -> str:
        return f"state/begun/{part.name[:2]}/{part.name}.json"

    def drop_others(self, parts: Sequence[Shard]) -> int:
        """Remove the results of other plans for these shards' sources, and leftovers of killed workers.

        Rows of other sources stay: a video may have been removed when it was done, or its disk be away today. Returns
        how many parts they are.
        """
        current, others = {part.name for part in parts}, 0
        sources = {item.source for part in parts for item in part.items}
        for name in self.folder.names("state/parts"):
            stem = name.rpartition("/")[2][: -len(".json")]
            if not name.endswith(".json") or stem in current:
                continue
            record = self._json(name) or {"files": {}, "part": {"sources": []}}
            if not sources.intersection(record["part"]["sources"]):
                others += 1
                continue
            for file in record["files"]:
                self.folder.remove(file)
            self.folder.remove(name)
        for under in ("rows", "state"):
            self.folder.remove_leftovers(under)
        return others

    # -- the end ------------------------------------------------------------------------------------------------

    def write_manifest(self, head: Dict[str, Any], records: Sequence[Record]) -> None:
        """Write manifest.jsonl: a header line, then a line per shard in the corpus's order.

        Raises `OutputError` when the folder was removed during the run: what the lines name is no longer there.
        """
        if self.settings() is None:
            raise OutputError(f"{self.folder.label} was removed during the run; run it again")
        lines: List[bytes] = [to_bytes({"schema": SCHEMA, **head})]
        for record in records:
            part = record["part"]
            entry = {"sources": part["sources"], "first": part["first"], "frames": record["frames"]}
            lines.append(to_bytes({**entry, "files": record["files"]}))
        self.folder.write("manifest.jsonl", b"".join(lines))

    def _json(self, name: str) -> Optional[Record]:
        data = self.folder.read(name)
        if data is None:
            return None
        try:
            content = json.loads(data)
        except ValueError as error:
            raise IntegrityError(
                f"{self.folder.label}/{name} is not JSON ({error}); remove it and run again"
            ) from error
        if not isinstance(content, dict):
            raise IntegrityError(f"{self.folder.label}/{name} is not a record; remove it and run again")
        return content


def split_points(record: Record) -> List[SplitPoint]:
    """Read the split points of an index record."""
    return [SplitPoint(pts, frame) for pts, frame in record["cuts"]]


def _stamps(part: Shard) -> List[Optional[List[int]]]:
    return [stamp(item.place) for item in part.items]
