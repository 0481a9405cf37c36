"""Events of lines and zones, and their snapshots and clips in a folder that is bounded in bytes and days.

    FOLDER/index.db      the events, in SQLite
    FOLDER/ID.jpg        the snapshot of an event
    FOLDER/ID.mp4        its clip

An event's row is written before its files, and removed with them: no other file of the folder is touched.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ..cache import files
from ..errors import OutputError
from ..system import clock

MAX_MB, MAX_DAYS = 1000, 30.0
BEFORE_S, AFTER_S = 5.0, 5.0  # of a clip
MOST, MOST_IN_MEMORY = 100_000, 1000  # events with and without a folder
UNSURE = 100  # latest events whose files may have been under way when the server was killed
SUFFIXES = {"snapshot": ".jpg", "clip": ".mp4"}
COLUMNS, SIZE = "id, payload, snapshot, clip", "snapshot + clip"
SCRIPT = (
    "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL",
    "PRAGMA wal_autocheckpoint=64", "PRAGMA journal_size_limit=262144",
    """CREATE TABLE IF NOT EXISTS events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, stream TEXT NOT NULL, kind TEXT NOT NULL,
        time TEXT NOT NULL, payload TEXT NOT NULL, snapshot INTEGER NOT NULL DEFAULT 0, clip INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX IF NOT EXISTS by_time ON events (time)",
)  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class EventStore:
    """The latest events, newest first, with their files. Thread-safe; one process at a time has a folder.

    Without a `folder` they are in memory, the latest 1000, without files. Above `max_mb` MB, or 100,000, the oldest are
    removed, and those older than `max_days`. Raises `OutputError`.
    """

    def __init__(self, folder: Optional[Path] = None, *, max_mb: float = MAX_MB, max_days: float = MAX_DAYS) -> None:
        self.folder = folder
        self._max_bytes, self._max_days = round(max_mb * 1e6), max_days
        self._most = MOST_IN_MEMORY if folder is None else MOST
        self._lock = threading.RLock()
        self._bytes = self._largest = 0
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                files.remove_leftovers(folder)
            place = ":memory:" if folder is None else str(folder / "index.db")
            self._base = sqlite3.connect(place, check_same_thread=False, isolation_level=None, timeout=2.0)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"cannot keep events in {folder}: {error}") from error
        try:
            for words in SCRIPT:
                self._run(words)
            self._measure_files()
            self._bytes = int(self._run(f"SELECT coalesce(sum({SIZE}), 0) FROM events").fetchone()[0])
            self.prune()
        except OutputError as error:
            self._base.close()
            hint = "; another edgecsp process has this folder" if "locked" in str(error) else ""
            raise OutputError(f"{error}{hint}") from error

    # -- writing -------------------------------------------------------------------------------------------------

    def add(self, event: Mapping[str, Any]) -> None:
        """Add an event."""
        if not _ID.fullmatch(event["id"]):
            raise ValueError(f"an event's id is part of a file name: {event['id']!r}")
        payload = json.dumps(event, allow_nan=False)
        with self._lock:
            self._run(
                "INSERT INTO events (id, stream, kind, time, payload) VALUES (?, ?, ?, ?, ?)",
                event["id"], event["stream"], event["kind"], event["time"], payload,
            )  # fmt: skip
            self.prune()

    def add_file(self, event_ids: Sequence[str], kind: str, write: Callable[[Path], object]) -> None:
        """Let `write` make the "snapshot" or "clip" that events have in common, whole or not at all.

        They are in the order of their events: the last one, which stays longest, is charged with its bytes.
        """
        if self.folder is None:
            return
        last = self._path(event_ids[-1], kind)
        self.prune(self._largest)  # room for it: it is in the folder before it is measured
        write(last)
        for event_id in event_ids[:-1] if last.exists() else ():
            try:
                os.link(last, self._path(event_id, kind))
            except OSError:  # a disk without hard links
                write(self._path(event_id, kind))
        with self._lock:
            for event_id in event_ids:
                self._measure(event_id, kind, is_charged=event_id == event_ids[-1])
            self.prune()

    def prune(self, room: int = 0) -> None:
        """Remove the oldest events above the bounds, less some bytes."""
        oldest = datetime.now(timezone.utc) - timedelta(days=self._max_days)
        with self._lock:
            self._remove("time < ?", clock.to_text(oldest))
            self._remove("number <= (SELECT max(number) FROM events) - ?", self._most)
            while self._bytes + self._measure_index() + room > self._max_bytes and self._bytes:
                self._remove("number = (SELECT min(number) FROM events)")

    def _remove(self, which: str, *values: object) -> None:
        for event_id, size in self._run(f"SELECT id, {SIZE} FROM events WHERE {which}", *values).fetchall():
            for kind in SUFFIXES if self.folder is not None else ():
                with suppress(OSError):
                    self._path(event_id, kind).unlink()
            self._run("DELETE FROM events WHERE id = ?", event_id)
            self._bytes -= size

    def _measure(self, event_id: str, kind: str, *, is_charged: bool = True) -> None:
        """Record the size of a file, 0 where there is none; remove one whose event was removed meanwhile."""
        path = self._path(event_id, kind)
        before = self._run(f"SELECT {kind} FROM events WHERE id = ?", event_id).fetchone()
        if before is None:
            with suppress(OSError):
                path.unlink()
        elif path.is_file():
            status = path.stat()
            size = _on_disk(status) if is_charged or status.st_nlink == 1 else 1
            self._run(f"UPDATE events SET {kind} = ? WHERE id = ?", size, event_id)
            self._bytes += size - before[0]
            self._largest = max(self._largest, size)

    def _measure_index(self) -> int:
        """Bytes of the index and its journal."""
        if self.folder is None:
            return 0
        return sum(_on_disk(path.stat()) for path in self.folder.glob("index.db*"))

    def _measure_files(self) -> None:
        if self.folder is not None:
            for (event_id,) in self._run("SELECT id FROM events ORDER BY number DESC LIMIT ?", UNSURE).fetchall():
                for kind in SUFFIXES:
                    self._measure(event_id, kind)

    # -- reading -------------------------------------------------------------------------------------------------

    def find(self, event_id: str) -> Optional[Dict[str, Any]]:
        """Return an event as JSON, None when there is none with this id."""
        with self._lock:
            rows = self._run(f"SELECT {COLUMNS} FROM events WHERE id = ?", event_id).fetchall()
        return _to_dict(*rows[0]) if rows else None

    def latest(
        self, limit: int, *, stream: Optional[str] = None, kind: Optional[str] = None, since: Optional[str] = None
    ) -> List[Dict[str, Any]]:
        """List the latest events, newest first; `since` is a time as theirs, which is before them."""
        conditions = {"stream = ?": stream, "kind = ?": kind, "time > ?": since}
        chosen = {words: value for words, value in conditions.items() if value is not None}
        where = f"WHERE {' AND '.join(chosen)}" if chosen else ""
        with self._lock:
            rows = self._run(
                f"SELECT {COLUMNS} FROM events {where} ORDER BY number DESC LIMIT ?", *chosen.values(), limit
            ).fetchall()
        return [_to_dict(*row) for row in rows]

    def path(self, event_id: str, kind: str) -> Optional[Path]:
        """Return the path of an event's "snapshot" or "clip", None when there is none."""
        event = self.find(event_id)
        path = self._path(event_id, kind) if event and event[kind] else None
        return path if path is not None and path.is_file() else None

    def _path(self, event_id: str, kind: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{event_id}{SUFFIXES[kind]}"

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._base.close()

    def _run(self, words: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._base.execute(words, values)
        except sqlite3.Error as error:  # the disk is full or was removed, or the server is shutting down
            raise OutputError(f"cannot keep events in {self.folder}: {error}") from error


def _on_disk(status: os.stat_result) -> int:
    """Bytes that a file takes on its disk."""
    return getattr(status, "st_blocks", 0) * 512 or status.st_size


def check_folder(folder: Path) -> None:
    """Check that events could be kept in a folder, without making it. Raises `OutputError`."""
    present = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        reason = "it cannot be written" if present.is_dir() else "it is not a folder"
        raise OutputError(f"cannot keep events in {folder}: {present}: {reason}")


def _to_dict(event_id: str, payload: str, *sizes: int) -> Dict[str, Any]:
    event: Dict[str, Any] = json.loads(payload)
    for (kind, suffix), size in zip(SUFFIXES.items(), sizes):
        event[kind] = f"/api/events/{event_id}/{kind}{suffix}" if size else None
    return event
