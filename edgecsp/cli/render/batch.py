"""Output of `edgecsp batch`: progress, results, and the summary of a finished folder."""

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
    """Log the number of files and the engine."""
    options = task.options
    precision = f" in {options.precision}" if options.precision else ""
    inform(f"{items} file{'s' * (items != 1)}; engine {options.engine} on {options.device}{precision}")
    startup.warn_model_if_meaningless(task.options.engine, task.model, task.model.name, timed=True)


class Throughput:
    """Measures the speed of a stage since its beginning, without earlier work."""

    def __init__(self) -> None:
        self._stage = ""
        self._begun, self._frames, self._parts = 0.0, 0, 0

    def format_status(self, now: JobProgress) -> str:
        """Format frames, frames per second, time left and failures."""
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
    """Show progress: a bar on a terminal, a line per minute in a log. Call the result after each shard."""
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
        TextColumn("{task.fields[status]}", markup=False),
    )
    with _progress.bars(*columns) as bar:
        line = bar.add_task("starting", total=None, status="")
        yield lambda now: bar.update(
            line, description=now.stage, completed=now.parts, total=now.part_count, status=pace.format_status(now)
        )


def _lines(pace: Throughput) -> Callable[[JobProgress], None]:
    last_s = time.monotonic()

    def tick(now: JobProgress) -> None:
        nonlocal last_s
        status = pace.format_status(now)
        if time.monotonic() - last_s >= LINE_S:
            last_s = time.monotonic()
            inform(f"{now.stage} {now.parts}/{now.part_count} parts, {status}")

    return tick


def report(done: JobProgress, out: str) -> None:
    """Print the totals, the label counts and the output folder."""
    fps = (done.frames - done.before) / done.seconds if done.seconds else 0.0
    before = f", {done.before} of them in an earlier run" * bool(done.before)
    counts = ", ".join(f"{count} {label}" for label, count in done.labels.most_common(8)) or "nothing"
    frames = f"{done.frames} frame" + "s" * (done.frames != 1)
    inform(f"{frames}{before} in {done.seconds:.1f} s ({fps:.1f} fps): {counts}", prefix=False)
    inform(f"wrote {out}: rows/, manifest.jsonl, failures.parquet ({len(done.failures)})", prefix=False)


def lines(summary: BatchSummary, checked: bool) -> Iterator[Tuple[str, str]]:
    """Yield the summary of a finished folder as key and value."""
    settings = summary.settings
    precision = f", {settings['precision']}" * bool(settings["precision"])
    yield "model", f"{settings['model']} on {settings['engine']}, {settings['device']}{precision}"
    yield (
        "files",
        f"{summary.items}, of which {len({row['source'] for row in summary.failures})} failed completely or in part",
    )
    yield "frames", f"{summary.frames} in {summary.parts} parts" + ", all digests verified" * checked
    counts = sorted(summary.label_counts.items(), key=lambda pair: (-pair[1], pair[0]))
    yield "found", ", ".join(f"{count} {label}" for label, count in counts[:12]) or "nothing"
    for row in summary.failures[:FAILURES]:
        yield "failed", f"{row['source']} ({row['stage']}): {row['reason']}"
    if len(summary.failures) > FAILURES:
        yield "", f"and {len(summary.failures) - FAILURES} more in failures.parquet"
