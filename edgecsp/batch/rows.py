"""Rows as files: one per frame, like those of `edgecsp run --json`; equal rows give equal bytes."""

from __future__ import annotations

import io
from typing import Any, Dict, List, Sequence, Tuple, Type

from ..media.sinks.rows import line
from ..types import Result
from . import storage

Row = Dict[str, Any]
PACK = 4096  # rows that wait as objects, which take far more than Arrow does


def _schema(result: Type[Result]) -> Any:
    arrow = storage.arrow()
    types = {
        "class_id": arrow.int32(), "label": arrow.string(), "score": arrow.float64(),
        "xyxy": arrow.list_(arrow.float64()), "track_id": arrow.int64(),
    }  # fmt: skip
    fields = [(name, types[name]) for name in result.row_fields]
    return arrow.schema(
        [
            ("schema", arrow.string()),
            ("source", arrow.string()),
            ("frame", arrow.int64()),
            ("pts_s", arrow.float64()),
            ("width", arrow.int32()),
            ("height", arrow.int32()),
            (result.key, arrow.list_(arrow.struct(fields))),
        ]
    )


class Rows:
    """Collects the rows of one shard, packed: a long video may have a million."""

    def __init__(self, result: Type[Result], *, jsonl: bool) -> None:
        self._schema, self._jsonl = _schema(result), jsonl
        self._waiting: List[Row] = []
        self._packed: List[Any] = []
        self._lines: List[bytes] = []
        self.count = 0

    def add(self, row: Row) -> None:
        """Add a row."""
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
        """Return the files' bytes, by extension."""
        self._pack()
        contents = {".parquet": _to_parquet(storage.arrow().concat_tables(self._packed))}
        if self._jsonl:
            contents[".jsonl"] = b"".join(self._lines)
        return contents


def lines(rows: Sequence[Row]) -> bytes:
    """Format rows as JSON Lines, the same as those of `edgecsp run --json`."""
    return "".join(map(line, rows)).encode("utf-8", "surrogateescape")


def failures(rows: Sequence[Tuple[str, str, str]]) -> bytes:
    """Write failures as a Parquet file: (source, stage, reason)."""
    arrow = storage.arrow()
    names = ("source", "stage", "reason")
    schema = arrow.schema([(name, arrow.string()) for name in names])
    return _to_parquet(_table([dict(zip(names, row)) for row in rows], schema))


def read(data: bytes) -> List[Row]:
    """Read the rows of a Parquet file."""
    arrow = storage.arrow()
    from pyarrow import parquet as files

    # A reader and threads of arrow's own would still hold a file of Python's when Python ends, and end it by a signal.
    file = files.ParquetFile(arrow.BufferReader(data), pre_buffer=False)
    rows: List[Row] = file.read(use_threads=False).to_pylist()
    return rows


def _table(rows: Sequence[Row], schema: Any) -> Any:
    return storage.arrow().Table.from_pylist([_decode_strings(row) for row in rows], schema=schema)


def _to_parquet(table: Any) -> bytes:
    storage.arrow()
    from pyarrow import parquet as files

    sink = io.BytesIO()
    # Everything that decides bytes is said here: another release may have other defaults.
    files.write_table(
        table, sink, row_group_size=1 << 16, version="2.6", data_page_version="1.0", compression="zstd",
        compression_level=3, use_dictionary=True, write_statistics=True, store_schema=False,
    )  # fmt: skip
    return sink.getvalue()


def _decode_strings(row: Row) -> Row:
    # Parquet's strings are UTF-8; a file name need not be.
    return {key: _text(value) if isinstance(value, str) else value for key, value in row.items()}


def _text(word: str) -> str:
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
