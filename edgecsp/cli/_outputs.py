"""Output files of `edgecsp val`: figures, detections, confusion matrix, images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import OutputError, UsageError
from . import render
from ._json import JsonOutput

if TYPE_CHECKING:
    from ..bench.accuracy import Data
    from ..bench.cases import Case
    from ..bench.results import CaseResult
    from ..media.sinks.base import Text


class Outputs:
    """The requested output files, opened before the work so that an unwritable path is reported at once.

    With several engines or precisions, each has its own file of detections and its own folder, named after it.
    """

    def __init__(
        self, data: Data, cases: Sequence[Case], out: Optional[Path], results: Optional[Path], figures: Optional[str]
    ) -> None:
        _check(data, results, figures)
        self.paths: List[Path] = []
        self._cases, self._out = cases, out
        self._json, self._results = figures, results
        self._begun: List[Text] = []
        self._rows: List[CaseResult] = []
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
            for case in self._cases:
                name = f"-{_case_name(case)}" if len(self._cases) > 1 else ""
                yield self._results.with_name(f"{self._results.stem}{name}{self._results.suffix}")

    def write_row(self, row: CaseResult, worst: int) -> None:
        """Write the files of one row, and draw the `worst` images."""
        from ..bench import accuracy
        from ..cache import files

        number = len(self._rows)
        self._rows.append(row)
        measured = row.accuracy
        if measured is None or measured.predictions is None:
            return
        if self._results is not None:
            lines = ",\n".join(json.dumps(each, allow_nan=False) for each in measured.predictions.results())
            self._finish(self._begun[number], f"[\n{lines}\n]\n")
        if self._out is not None:
            folder = self._out / _case_name(row.case) if len(self._cases) > 1 else self._out
            with files.atomic(folder / "confusion.csv") as file:
                file.write(render.accuracy.matrix(measured.confusion).encode())
            self.paths.append(folder / "confusion.csv")
            bad = accuracy.find_worst(measured.predictions, measured.confusion.conf, worst)
            self.paths += accuracy.save(bad, folder / "worst", measured.predictions.data.names)

    def finish(self, header: Dict[str, Any]) -> None:
        """Write the figures of all rows."""
        from ..bench import val

        rows = [val.result_to_dict(row) for row in self._rows]
        self._figures.write({**header, "rows": rows}, indent=1)
        self.paths += self._figures.paths

    def _finish(self, text: Text, content: str) -> None:
        text.write(content)
        text.close()
        self.paths += text.paths


def _case_name(case: Case) -> str:
    return f"{case.model.name}-{case.engine}-{case.device}-{case.precision}"


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
