"""What `edgecsp batch` tells: how far it is, what it found, what a finished folder holds."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Callable, Iterator, Tuple

from .. import _logging, _progress
from .._logging import inform
from . import startup

if TYPE_CHECKING:
    from ...batch import BatchSummary, JobProgress, Task

LINE_S = 60.0  # between two lines in a log
FAILURES = 20


def introduce(items: int, task: Task) -> None:
    """How much there is, and what computes."""
    inform(f"{items} file{'s' * (items != 1)}; engine {task.engine} on {task.device}")
    startup.vain(task.engine, task.model, task.model.name, timed=True)


class Throughput:
    """How fast a stage goes, from its beginning and without what was done before."""

    def __init__(self) -> None:
        self._stage = ""
        self._begun, self._frames, self._parts = 0.0, 0, 0

    def said(self, now: JobProgress) -> str:
        """Frames, frames a second, time left, failures."""
        if now.stage != self._stage:
            self._stage, self._begun = now.stage, time.monotonic()
            self._frames, self._parts = now.frames, now.parts
        took_s = max(1e-6, time.monotonic() - self._begun)
        words = []
        if now.stage == "detecting":
            words.append(f"{now.frames}/{now.total or '?'} frames {(now.frames - self._frames) / took_s:.1f} fps")
        if now.parts > self._parts:
            left_s = took_s * (now.part_count - now.parts) / (now.parts - self._parts)
            words.append(f"{timedelta(seconds=round(left_s))} left")
        if now.failures:
            words.append(f"{len(now.failures)} failed")
        return ", ".join(words)


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[JobProgress], None]]:
    """What to call when a part is done: a bar on a terminal, a line a minute in a log."""
    if quiet:
        yield lambda now: None
        return
    pace = Throughput()
    if not _logging.is_watched():
        yield _lines(pace)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with _progress.bars(*columns) as bar:
        line = bar.add_task("listing", total=None, said="")
        yield lambda now: bar.update(
            line, description=now.stage, completed=now.parts, total=now.part_count, said=pace.said(now)
        )


def _lines(pace: Throughput) -> Callable[[JobProgress], None]:
    last_s = time.monotonic()

    def tick(now: JobProgress) -> None:
        nonlocal last_s
        said = pace.said(now)
        if time.monotonic() - last_s >= LINE_S:
            last_s = time.monotonic()
            inform(f"{now.stage} {now.parts}/{now.part_count} parts, {said}")

    return tick


def report(done: JobProgress, out: str) -> None:
    """What was done now and before, what was found, where it is."""
    fps = (done.frames - done.before) / done.seconds if done.seconds else 0.0
    before = f", {done.before} of them done before" * bool(done.before)
    found = ", ".join(f"{count} {label}" for label, count in done.labels.most_common(8)) or "nothing"
    frames = f"{done.frames} frame" + "s" * (done.frames != 1)
    inform(f"{frames}{before} in {done.seconds:.1f} s ({fps:.1f} fps): {found}", prefix=False)
    inform(f"wrote {out}: rows/, manifest.jsonl, failures.parquet ({len(done.failures)})", prefix=False)


def lines(told: BatchSummary, checked: bool) -> Iterator[Tuple[str, str]]:
    """A finished folder, a line a fact."""
    said = told.settings
    precision = f", {said['precision']}" * bool(said["precision"])
    yield "model", f"{said['model']} on {said['engine']}, {said['device']}{precision}"
    yield "files", f"{told.items}, of which {len({row['source'] for row in told.failures})} failed in whole or in part"
    yield "frames", f"{told.frames} in {told.parts} parts" + ", each as it was written" * checked
    found = sorted(told.found.items(), key=lambda pair: (-pair[1], pair[0]))
    yield "found", ", ".join(f"{count} {label}" for label, count in found[:12]) or "nothing"
    for row in told.failures[:FAILURES]:
        yield "failed", f"{row['source']} ({row['stage']}): {row['reason']}"
    if len(told.failures) > FAILURES:
        yield "", f"and {len(told.failures) - FAILURES} more in failures.parquet"
