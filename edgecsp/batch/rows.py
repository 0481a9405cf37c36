"""Rows as files: a frame a row, as `edgecsp run --json` says it; the same rows are the same bytes."""

from __future__ import annotations

import io
from typing import Any, Dict, List, Sequence, Tuple

from ..media.sinks.rows import line
from . import storage

Row = Dict[str, Any]
PACK = 4096  # rows that wait as objects, which take far more than Arrow does


def _schema(task: str) -> Any:
    arrow = storage.arrow()
    found = [("class_id", arrow.int32()), ("label", arrow.string()), ("score", arrow.float64())]
    if task == "detect":
        found.append(("xyxy", arrow.list_(arrow.float64())))
    return arrow.schema(
        [
            ("schema", arrow.string()),
            ("source", arrow.string()),
            ("frame", arrow.int64()),
            ("pts_s", arrow.float64()),
            ("width", arrow.int32()),
            ("height", arrow.int32()),
            ("detections" if task == "detect" else "classes", arrow.list_(arrow.struct(found))),
        ]
    )


class Rows:
    """The rows of one part as they come; packed, for a video in one piece may have a million."""

    def __init__(self, task: str, *, jsonl: bool) -> None:
        self._schema, self._jsonl = _schema(task), jsonl
        self._waiting: List[Row] = []
        self._packed: List[Any] = []
        self._lines: List[bytes] = []
        self.count = 0

    def add(self, row: Row) -> None:
        """One more."""
        self.count += 1
        self._waiting.append(row)
        if len(self._waiting) == PACK:
            self._pack()

    def _pack(self) -> None:
        self._packed.append(_table(self._waiting, self._schema))
        if self._jsonl:
            self._lines.append(lines(self._waiting))
        self._waiting = []

    def contents(self) -> Dict[str, bytes]:
        """The files' bytes, by extension."""
        self._pack()
        made = {".parquet": _written(storage.arrow().concat_tables(self._packed))}
        if self._jsonl:
            made[".jsonl"] = b"".join(self._lines)
        return made


def lines(rows: Sequence[Row]) -> bytes:
    """Rows as JSON Lines, the very lines of `edgecsp run --json`."""
    return "".join(map(line, rows)).encode("utf-8", "surrogateescape")


def failures(rows: Sequence[Tuple[str, str, str]]) -> bytes:
    """What could not be done as a Parquet file: (source, stage, reason)."""
    arrow = storage.arrow()
    names = ("source", "stage", "reason")
    schema = arrow.schema([(name, arrow.string()) for name in names])
    return _written(_table([dict(zip(names, row)) for row in rows], schema))


def read(data: bytes) -> List[Row]:
    """The rows of a Parquet file."""
    arrow = storage.arrow()
    from pyarrow import parquet as files

    # A reader and threads of arrow's own would still hold a file of Python's when Python ends, and end it by a signal.
    file = files.ParquetFile(arrow.BufferReader(data), pre_buffer=False)
    found: List[Row] = file.read(use_threads=False).to_pylist()
    return found


def _table(rows: Sequence[Row], schema: Any) -> Any:
    return storage.arrow().Table.from_pylist([_clean(row) for row in rows], schema=schema)


def _written(table: Any) -> bytes:
    storage.arrow()
    from pyarrow import parquet as files

    sink = io.BytesIO()
    # Everything that decides bytes is said here: another release may have other defaults.
    files.write_table(
        table, sink, row_group_size=1 << 16, version="2.6", data_page_version="1.0", compression="zstd",
        compression_level=3, use_dictionary=True, write_statistics=True, store_schema=False,
    )  # fmt: skip
    return sink.getvalue()


def _clean(row: Row) -> Row:
    # Parquet's strings are UTF-8; a file name need not be.
    return {key: _text(value) if isinstance(value, str) else value for key, value in row.items()}


def _text(word: str) -> str:
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
