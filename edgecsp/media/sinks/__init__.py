"""Where results go: annotated copies, JSON Lines, CSV, COCO result JSON. `open` makes them from their names."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, List, Optional, Sequence

from ...cache import files
from ...errors import OutputError, ReaderGone, UsageError
from .annotated import AnnotatedSink
from .base import All, Sink, Target
from .rows import CocoSink, CsvSink, JsonLinesSink

__all__ = ["All", "AnnotatedSink", "CocoSink", "CsvSink", "JsonLinesSink", "ReaderGone", "Sink", "open"]

RUNS = Path("runs")


def open(
    *,
    out: Optional[Target] = None,
    json: Optional[Target] = None,
    csv: Optional[Target] = None,
    coco: Optional[Target] = None,
    sources: Sequence[Any] = (),
    overwrite: bool = False,
) -> Sink:
    """One sink for all that was asked; with nothing asked, annotated copies in a new folder runs/N.

    `out` is a folder or a .mp4, .jpg or .png file, the others a file or "-" for standard output (`coco` a
    file). `sources` are those that will be read: their files are never written over. `overwrite` lets copies in a
    folder replace other files that are there; without it they get a number. Raises `UsageError` and `OutputError`,
    before anything is written.
    """
    inputs = [path for source in sources for path in source.paths]
    _check_targets([target for target in (out, json, csv, coco) if target is not None], inputs)
    if coco is not None and str(coco) == "-":
        raise UsageError("COCO results go to a file; '-' takes JSON lines or CSV")
    is_new_run = out is None and json is None and csv is None and coco is None
    if is_new_run:
        out = _next_run()
    opened: List[Sink] = []
    try:
        if out is not None:
            annotated = AnnotatedSink(out, inputs=inputs, overwrite=overwrite, is_new_run=is_new_run)
            opened.append(annotated)
            if annotated.is_file and (len(sources) > 1 or len(inputs) > 1):
                raise UsageError(f"{out} holds one source, and there are more; give a folder")
        if json is not None:
            opened.append(JsonLinesSink(json))
        if csv is not None:
            opened.append(CsvSink(csv))
        if coco is not None:
            opened.append(CocoSink(coco, inputs=inputs))
    except BaseException:
        All(opened).abort()
        raise
    return All(opened)


def _check_targets(targets: Sequence[Target], inputs: Sequence[str]) -> None:
    read = {os.path.realpath(path) for path in inputs}
    used = set()
    for target in targets:
        key = "-" if str(target) == "-" or files.descriptor(target) == 1 else os.path.realpath(target)
        if key in used:
            raise UsageError(f"two results cannot both go to {'standard output' if key == '-' else target}")
        if key in read:
            raise UsageError(f"writing {target} would replace a source; give another name")
        used.add(key)


def _next_run() -> Path:
    """Make the first runs/N that is not there yet; of several runs that begin at once each makes its own."""
    try:
        RUNS.mkdir(exist_ok=True)
        for number in itertools.count(1):
            with suppress(FileExistsError):
                (RUNS / str(number)).mkdir()
                break
    except OSError as error:
        raise OutputError(f"cannot make a folder in {RUNS.absolute()}: {error.strerror}; give one: --out") from error
    return RUNS / str(number)
