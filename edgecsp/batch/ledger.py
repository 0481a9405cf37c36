"""What is done: a record beside each finished file, so that the same command goes on where it was stopped.

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
DEATHS = 4  # of workers in one part, in one run: then it is the part


def rows_name(part: Shard) -> str:
    """The file of a part's rows, without its extension."""
    return f"rows/{part.name[:2]}/{part.name}"


def _record_name(name: str) -> str:
    return f"state/parts/{name[:2]}/{name}.json"


def sha256(data: bytes) -> str:
    """The hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def as_bytes(said: Any) -> bytes:
    """JSON whose bytes depend on nothing but what it says."""
    return (json.dumps(said, sort_keys=True, separators=(", ", ": "), allow_nan=False) + "\n").encode("ascii")


class Ledger:
    """The records in an output folder; `run` names one run of the command."""

    def __init__(self, place: str, run: str = "") -> None:
        self.folder = Folder(place)
        self.run = run

    # -- settings -----------------------------------------------------------------------------------------------

    def settle(self, settings: Dict[str, Any]) -> None:
        """Keep the settings of a new folder; those of one that is there must be the same. Raises `UsageError`."""
        known = self.settings()
        if known is None:
            self.folder.write("settings.json", as_bytes(settings))
            return
        names = sorted({*known, *settings})
        other = [name for name in names if known.get(name) != settings.get(name)]
        if other:
            told = "; ".join(f"{name} was {known.get(name)} and is {settings.get(name)}" for name in other)
            raise UsageError(f"{self.folder.shown} holds rows made another way: {told}. Give another --out")

    def settings(self) -> Optional[Dict[str, Any]]:
        """The settings that the folder's rows were made with, None when it is new."""
        return self._json("settings.json")

    # -- cuts ---------------------------------------------------------------------------------------------------

    def keep_cuts(self, item: Item, said: Record) -> None:
        """Remember where a video may be cut."""
        said = {**said, "input": stamp(item.place)}
        self.folder.write(f"state/cuts/{item.name[:2]}/{item.name}.json", as_bytes(said))

    def cuts(self, item: Item) -> Optional[Record]:
        """Where it may be cut, if that is known and the file is the same."""
        said = self._json(f"state/cuts/{item.name[:2]}/{item.name}.json")
        return said if said is not None and said.get("input") == stamp(item.place) else None

    # -- parts --------------------------------------------------------------------------------------------------

    def done(self, part: Shard) -> Optional[Record]:
        """The record of a part whose files are there, whole, and made of the files that are there now."""
        said = self._json(_record_name(part.name))
        if said is None or said["part"] != part.told() or said["input"] != _stamps(part):
            return None
        for name, digest in said["files"].items():
            data = self.folder.read(name)
            if data is None or sha256(data) != digest:
                return None
        return said

    def finish(self, part: Shard, record: Record, contents: Dict[str, bytes]) -> Record:
        """Write a part's files, by extension, and then its record."""
        digests = {}
        for extension, data in contents.items():
            name = rows_name(part) + extension
            self.folder.write(name, data)
            digests[name] = sha256(data)
        record = {**record, "part": part.told(), "input": _stamps(part), "files": digests}
        self.folder.write(_record_name(part.name), as_bytes(record))
        self.folder.remove(self._tries(part))
        return record

    def deaths(self, part: Shard) -> int:
        """How many workers began this part in this run and did not come back; counts this one as begun."""
        before = self._json(self._tries(part)) or {}
        count = int(before["begun"]) if before.get("run") == self.run else 0
        self.folder.write(self._tries(part), as_bytes({"run": self.run, "begun": count + 1}))
        return count

    def forget(self, part: Shard) -> None:
        """A part that was given up: its next run starts anew."""
        self.folder.remove(self._tries(part))

    def _tries(self, part: Shard) -> str:
        return f"state/begun/{part.name[:2]}/{part.name}.json"

    def drop_others(self, parts: Sequence[Shard]) -> int:
        """Take away what another plan made of these parts' sources, and what killed workers left.

        Rows of other sources stay: a video may have been removed when it was done, or its disk be away today. Returns
        how many parts they are.
        """
        kept, others = {part.name for part in parts}, 0
        made = {item.source for part in parts for item in part.items}
        for name in self.folder.names("state/parts"):
            stem = name.rpartition("/")[2][: -len(".json")]
            if not name.endswith(".json") or stem in kept:
                continue
            said = self._json(name) or {"files": {}, "part": {"sources": []}}
            if not made.intersection(said["part"]["sources"]):
                others += 1
                continue
            for file in said["files"]:
                self.folder.remove(file)
            self.folder.remove(name)
        for under in ("rows", "state"):
            self.folder.remove_leftovers(under)
        return others

    # -- the end ------------------------------------------------------------------------------------------------

    def manifest(self, head: Dict[str, Any], records: Sequence[Record]) -> None:
        """Write manifest.jsonl: a line for all, then a line a part, in the corpus's order.

        Raises `OutputError` when the folder was removed during the run: what the lines name is no longer there.
        """
        if self.settings() is None:
            raise OutputError(f"{self.folder.shown} was removed during the run; run it again")
        lines: List[bytes] = [as_bytes({"schema": SCHEMA, **head})]
        for record in records:
            part = record["part"]
            entry = {"sources": part["sources"], "first": part["first"], "frames": record["frames"]}
            lines.append(as_bytes({**entry, "files": record["files"]}))
        self.folder.write("manifest.jsonl", b"".join(lines))

    def _json(self, name: str) -> Optional[Record]:
        data = self.folder.read(name)
        if data is None:
            return None
        try:
            said = json.loads(data)
        except ValueError as error:
            raise IntegrityError(f"{self.folder.shown}/{name} is no JSON ({error}); remove it and run again") from error
        if not isinstance(said, dict):
            raise IntegrityError(f"{self.folder.shown}/{name} is no record; remove it and run again")
        return said


def cuts_of(said: Record) -> List[SplitPoint]:
    """The cuts of a record."""
    return [SplitPoint(pts, frame) for pts, frame in said["cuts"]]


def _stamps(part: Shard) -> List[Optional[List[int]]]:
    return [stamp(item.place) for item in part.items]
