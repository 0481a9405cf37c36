"""Bounded queue on disk for messages that wait for an acknowledgement, in order."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import List, NamedTuple, Union

from ..errors import OutputError

MOST = 10_000
MOST_BYTES = 64 << 20
TABLE = (
    "CREATE TABLE IF NOT EXISTS messages "
    "(number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL)"
)


class SpooledMessage(NamedTuple):
    """A queued message; `number` increases, also over restarts."""

    number: int
    topic: str
    payload: bytes


class Spool:
    """A message queue in a SQLite file. Thread-safe; one process at a time.

    Above `most` messages or `most_bytes` the oldest are dropped and counted in `dropped`. Queued messages survive a
    crash of the process (a power cut may lose those of the last moments: a flush to disk for each message would wear
    out an SD card). Raises `OutputError`.
    """

    def __init__(self, path: Union[str, Path], *, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self.path = Path(path)
        self.dropped = 0
        self._most, self._most_bytes = most, most_bytes
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(str(self.path), check_same_thread=False, isolation_level=None, timeout=2.0)
        except (OSError, sqlite3.Error) as error:
            raise self._open_error(error) from error
        try:
            for words in (
                "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL",
                "PRAGMA journal_size_limit=1048576",
                TABLE,
            ):  # fmt: skip
                self._base.execute(words)
            row = self._base.execute("SELECT count(*), coalesce(sum(length(payload)), 0) FROM messages").fetchone()
        except sqlite3.Error as error:
            self._base.close()
            raise self._open_error(error) from error
        self._count, self._bytes = int(row[0]), int(row[1])

    def _open_error(self, error: Exception) -> OutputError:
        hint = "set EDGECSP_HOME to a writable folder"
        if "locked" in str(error):
            hint = "another edgecsp process uses the same broker and prefix: change the prefix of one"
        return OutputError(f"cannot store messages in {self.path}: {error}; {hint}")

    def put(self, topic: str, payload: bytes) -> None:
        """Append a message."""
        with self._lock:
            self._run("INSERT INTO messages (topic, payload) VALUES (?, ?)", topic, payload)
            self._count += 1
            self._bytes += len(payload)
            while self._count > self._most or (self._bytes > self._most_bytes and self._count > 1):
                row = self._run("SELECT number, length(payload) FROM messages ORDER BY number LIMIT 1").fetchone()
                self._run("DELETE FROM messages WHERE number = ?", row[0])
                self._count -= 1
                self._bytes -= row[1]
                self.dropped += 1

    def after(self, number: int, most: int) -> List[SpooledMessage]:
        """Return up to `most` messages with a higher number, oldest first."""
        with self._lock:
            rows = self._run(
                "SELECT number, topic, payload FROM messages WHERE number > ? ORDER BY number LIMIT ?", number, most
            )
            return [SpooledMessage(int(row[0]), str(row[1]), bytes(row[2])) for row in rows.fetchall()]

    def remove(self, number: int) -> None:
        """Remove an acknowledged message."""
        with self._lock:
            row = self._run("SELECT length(payload) FROM messages WHERE number = ?", number).fetchone()
            if row is not None:
                self._run("DELETE FROM messages WHERE number = ?", number)
                self._count -= 1
                self._bytes -= row[0]

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def _run(self, words: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._base.execute(words, values)
        except sqlite3.Error as error:  # the disk is full or was removed
            raise OutputError(f"cannot store messages in {self.path}: {error}") from error
