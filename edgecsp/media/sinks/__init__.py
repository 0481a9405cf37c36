"""Sinks of results: annotated copies, JSON Lines, CSV, COCO result JSON, other packages' own. `open` creates them."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Tuple

from ...cache import files
from ...errors import OutputError, ReaderGone, UsageError
from .annotated import AnnotatedSink, to_still
from .base import All, Sink, Target
from .display import WindowSink
from .events import EventSink
from .external import open_external
from .folders import CropSink, FrameSink, YoloSink
from .mot import MotSink
from .rows import CocoSink, CsvSink, JsonLinesSink

__all__ = [
    "All",
    "AnnotatedSink",
    "CocoSink",
    "CsvSink",
    "EventSink",
    "JsonLinesSink",
    "MotSink",
    "ReaderGone",
    "Sink",
    "open",
    "to_still",
]

RUNS = Path("runs")


def open(
    *,
    out: Optional[Target] = None,
    json: Optional[Target] = None,
    csv: Optional[Target] = None,
    coco: Optional[Target] = None,
    events: Optional[Target] = None,
    txt: bool = False,
    conf: bool = False,
    crops: bool = False,
    frames: bool = False,
    mot: bool = False,
    more: Sequence[str] = (),
    show: Optional[Callable[[], None]] = None,
    external: Sequence[Tuple[str, str]] = (),
    sources: Sequence[Any] = (),
    inputs: Sequence[str] = (),
    overwrite: bool = False,
) -> Sink:
    """Open all requested sinks as one; without any, annotated copies in a new folder runs/N.

    `out` is a folder or a .mp4, .jpg or .png file, the others a file or "-" for standard output (`coco` a file).
    Beside the copies are labels/ for `txt` (YOLO lines, with `conf` their scores), crops/, frames/ (frames with
    boxes, as they are), and mot/ (tracks). `more` are CSV's columns beside those of boxes. `show` is called when the
    window that it opens is closed.
    `external` are names and targets of sinks that other packages add (see `external`).
    `sources` are the inputs, `inputs` further files that are read: they are never overwritten, and rows never replace a
    file that is no text. With `overwrite`, copies in a folder replace other
    existing files; without it they get a number. Raises `UsageError` and `OutputError` before anything is written.
    """
    paths = [path for source in sources for path in source.paths]
    inputs = [*paths, *inputs]
    targets = [
        target for target in (out, json, csv, coco, events, *(target for _, target in external)) if target is not None
    ]
    _check_targets(targets, inputs)
    for target in (json, csv, coco, events):
        _refuse_binary(target)
    if coco is not None and str(coco) == "-":
        raise UsageError("COCO results need a file; '-' is for JSON lines or CSV")
    folder_sinks: List[Tuple[str, Callable[..., Sink]]] = [
        (name, sink)
        for name, sink, is_requested in (
            ("labels", partial(YoloSink, conf=conf), txt), ("crops", CropSink, crops), ("frames", FrameSink, frames),
            ("mot", MotSink, mot),
        )
        if is_requested
    ]  # fmt: skip
    opened: List[Sink] = [] if show is None else [WindowSink(show)]
    is_new_run = not targets and show is None
    if is_new_run or (out is None and folder_sinks):
        out = _next_run()
    try:
        if out is not None:
            annotated = AnnotatedSink(out, inputs=inputs, overwrite=overwrite, is_new_run=is_new_run)
            opened.append(annotated)
            if annotated.is_file and (len(sources) > 1 or len(paths) > 1):
                raise UsageError(f"{out} is a single file, but there are several sources; give a folder")
            for name, sink in folder_sinks:
                if annotated.is_file:
                    raise UsageError(f"{name} need a folder beside the copies; {out} is a file")
                opened.append(sink(Path(out) / name, inputs=inputs, overwrite=overwrite))
        if json is not None:
            opened.append(JsonLinesSink(json))
        if csv is not None:
            opened.append(CsvSink(csv, more=more))
        if coco is not None:
            opened.append(CocoSink(coco, inputs=inputs))
        if events is not None:
            opened.append(EventSink(events))
        opened.extend(open_external(name, target) for name, target in external)
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


def _refuse_binary(target: Optional[Target]) -> None:
    """Raise `UsageError` for an image, a video or a model whose name was typed where a file of rows is expected."""
    if target is None or str(target) == "-" or files.descriptor(target) is not None or not Path(target).is_file():
        return
    try:
        with Path(target).open("rb") as file:
            text = file.read(1024).decode("utf-8")
    except UnicodeDecodeError as error:
        is_text = error.start > 1020  # a character may be cut
    except OSError:
        return  # the sink says why it cannot be written
    else:
        is_text = "\0" not in text
    if not is_text:
        raise UsageError(f"{target} is there and is no text; give another name for the rows")


def _next_run() -> Path:
    """Create the first free folder runs/N; safe for several runs at the same time."""
    try:
        RUNS.mkdir(exist_ok=True)
        for number in itertools.count(1):
            with suppress(FileExistsError):
                (RUNS / str(number)).mkdir()
                break
    except OSError as error:
        raise OutputError(f"cannot create a folder in {RUNS.absolute()}: {error.strerror}; give one: --out") from error
    return RUNS / str(number)
