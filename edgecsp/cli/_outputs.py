"""Output files of `edgecsp val`: figures, detections, confusion matrix, images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import OutputError, UsageError
from ._json import JsonOutput
from .render import accuracy as accuracy_tables

if TYPE_CHECKING:
    from ..bench.accuracy import AccuracyRow, Data, EngineOption
    from ..media.sinks.base import Text


class Outputs:
    """The requested output files, opened before the work so that an unwritable path is reported at once.

    With several engines or precisions, each has its own file of detections and its own folder, named after it.
    """

    def __init__(
        self,
        data: Data,
        ways: Sequence[EngineOption],
        out: Optional[Path],
        results: Optional[Path],
        figures: Optional[str],
    ) -> None:
        _check(data, results, figures)
        self.paths: List[Path] = []
        self._ways, self._out = ways, out
        self._json, self._results = figures, results
        self._begun: List[Text] = []
        self._rows: List[AccuracyRow] = []
        self._figures = JsonOutput(None)

    def __enter__(self) -> Outputs:
        from ..media.sinks.base import Text

        if self._out is not None:
            try:
                self._out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot write {self._out}: {error.strerror}") from error
        try:
            for target in self._each():
                self._begun.append(Text(target))
            self._figures = JsonOutput(self._json)
        except OutputError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for text in self._begun:
            text.abort()
        self._figures.__exit__()

    def _each(self) -> Iterator[Path]:
        """Yield the file of detections of each engine and precision."""
        if self._results is not None:
            for way in self._ways:
                name = f"-{_row_name(way)}" if len(self._ways) > 1 else ""
                yield self._results.with_name(f"{self._results.stem}{name}{self._results.suffix}")

    def write_row(self, row: AccuracyRow, worst: int) -> None:
        """Write the files of one row, and draw the `worst` images."""
        from ..bench import accuracy
        from ..cache import files

        number = len(self._rows)
        self._rows.append(row)
        if row.predictions is None or row.confusion is None:
            return
        if self._results is not None:
            lines = ",\n".join(json.dumps(each, allow_nan=False) for each in row.predictions.results())
            self._finish(self._begun[number], f"[\n{lines}\n]\n")
        if self._out is not None:
            folder = self._out / _row_name(row.case) if len(self._ways) > 1 else self._out
            with files.atomic(folder / "confusion.csv") as file:
                file.write(accuracy_tables.matrix(row.confusion).encode())
            self.paths.append(folder / "confusion.csv")
            bad = accuracy.find_worst(row.predictions, row.confusion.conf, worst)
            self.paths += accuracy.save(bad, folder / "worst", row.predictions.data.names)

    def finish(self, header: Dict[str, Any]) -> None:
        """Write the figures of all rows."""
        self._figures.write({**header, "rows": [row.to_dict() for row in self._rows]}, indent=1)
        self.paths += self._figures.paths

    def _finish(self, text: Text, content: str) -> None:
        text.write(content)
        text.close()
        self.paths += text.paths


def _row_name(way: EngineOption) -> str:
    return f"{way.model.name}-{way.engine}-{way.device}-{way.precision}"


def _check(data: Data, results: Optional[Path], figures: Optional[str]) -> None:
    """Raise `UsageError` when an output would overwrite another one, or the data."""
    if str(results) == "-":
        raise UsageError("--save-json needs a file; to print the figures: --json -")
    targets: Tuple[Optional[str], ...] = (None if results is None else str(results), figures)
    places = [os.path.realpath(target) for target in targets if target not in (None, "-")]
    if len(set(places)) < len(places):
        raise UsageError(f"--json and --save-json cannot both go to {figures}")
    if os.path.realpath(data.name) in places:
        raise UsageError(f"writing {data.name} would replace the data; give another name")
