"""A whole job: split videos, process unfinished shards, redo inconsistent ones, write the manifest."""

from __future__ import annotations

import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol, Sequence

from ..cache import files
from . import corpus, rows, storage, work
from .ledger import Ledger, Record, split_points
from .shards import Item, Shard, group_images, split_video, whole_video

LOG = logging.getLogger(__name__)
SEGMENT = 1800  # frames, a minute of most videos: as much as a dying worker may lose
GROUP = 256  # images, four seconds of a core: the overhead of a shard is small beside that
LEDGER_READS = 32

Failure = List[str]  # source, stage, reason


class Executor(Protocol):
    """Runs the work in any order: `LocalExecutor`, or Ray's workers."""

    def index(self, out: str, items: Sequence[Item]) -> Iterator[Record]:
        """Apply `work.index` to each item."""
        ...

    def process(self, task: work.Task, parts: Sequence[Shard]) -> Iterator[Record]:
        """Apply `Worker.process` to each shard."""
        ...


class LocalExecutor:
    """Runs everything in this process, one shard after the other."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def index(self, out: str, items: Sequence[Item]) -> Iterator[Record]:
        """Index the items one after the other."""
        for item in items:
            yield work.index(out, item)

    def process(self, task: work.Task, parts: Sequence[Shard]) -> Iterator[Record]:
        """Process the shards one after the other in one session."""
        worker = work.Worker(task, self.threads)
        try:
            for part in parts:
                yield worker.process(part)
        finally:
            worker.close()


@dataclass
class JobProgress:
    """The state of a job: `total` frames known so far, `frames` done, `before` of them in earlier runs."""

    stage: str = "listing"
    total: int = 0
    frames: int = 0
    before: int = 0
    parts: int = 0
    part_count: int = 0
    seconds: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    failures: List[Failure] = field(default_factory=list)


Tick = Callable[[JobProgress], None]


def run(
    items: Sequence[Item],
    task: work.Task,
    executor: Executor,
    settings: Dict[str, Any],
    *,
    segment: int = SEGMENT,
    group: int = GROUP,
    tick: Tick = lambda progress: None,
) -> JobProgress:
    """Process every frame of the items into files below `task.out`; finished shards are not repeated.

    `settings` is what the rows depend on. Raises `UsageError` when the folder was written with other settings,
    `OutputError`, and what opening the engine raises; a problem of an item is a failure in the result.
    """
    ledger = Ledger(task.out, task.run)
    progress, begun = JobProgress(), time.monotonic()
    with ExitStack() as stack:
        if not storage.is_uri(task.out):
            lock = Path(ledger.folder.place, "state", "lock")
            busy = f"another edgecsp batch is writing to {task.out}; waiting"
            stack.enter_context(files.locked(lock, busy, hint="Use a folder of your own: --out DIR"))
        ledger.check_settings({**settings, "segment": segment, "group": group})
        videos, images = corpus.split(items)
        plan = _plan(ledger, executor, videos, None if task.track else segment, progress, tick)
        unread = list(progress.failures)
        grouped = group_images(images, group)
        parts = [part for some in plan.values() for part in some] + grouped
        progress.stage, progress.parts, progress.part_count = "detecting", 0, 0
        records = _process_shards(ledger, executor, task, parts, progress, tick)
        parts = _replan_inconsistent(ledger, plan, records) + grouped
        records.update(
            _process_shards(ledger, executor, task, [p for p in parts if p.name not in records], progress, tick)
        )
        _finish(ledger, items, parts, records, progress, unread, settings)
    progress.seconds = time.monotonic() - begun
    tick(progress)
    return progress


def _plan(
    ledger: Ledger, executor: Executor, videos: Sequence[Item], least: Optional[int], progress: JobProgress, tick: Tick
) -> Dict[str, List[Shard]]:
    """Plan the shards of each readable video, by its source: of `least` frames, or whole."""
    progress.stage, progress.part_count = "indexing", len(videos)
    indexes = dict(zip((item.source for item in videos), _read_records(ledger.load_index, videos)))
    unknown = [item for item in videos if indexes[item.source] is None]
    progress.parts = len(videos) - len(unknown)
    tick(progress)
    for record in executor.index(ledger.folder.place, unknown):
        indexes[record["source"]] = record
        progress.parts += 1
        tick(progress)
    plan: Dict[str, List[Shard]] = {}
    for item in videos:
        record = indexes[item.source] or {"failed": "it was not indexed"}
        if "failed" in record:
            progress.failures.append([item.source, "read", record["failed"]])
            continue
        whole = [whole_video(item, record["frames"])]
        plan[item.source] = whole if least is None else split_video(item, split_points(record), record["frames"], least)
        progress.total += record["frames"]
    return plan


def _read_records(ask: Callable[[Any], Optional[Record]], keys: Sequence[Any]) -> Iterator[Optional[Record]]:
    """Read the ledger's records concurrently: an answer from a store takes 20 ms."""
    with ThreadPoolExecutor(LEDGER_READS) as pool:
        for at in range(0, len(keys), 4096):  # each that waits takes a kilobyte
            yield from pool.map(ask, keys[at : at + 4096])


def _process_shards(
    ledger: Ledger, executor: Executor, task: work.Task, parts: Sequence[Shard], progress: JobProgress, tick: Tick
) -> Dict[str, Record]:
    """Process shards; returns their records by name. Finished shards are verified by their digests."""
    progress.part_count += len(parts)
    records: Dict[str, Record] = {}
    left: List[Shard] = []
    for part, before in zip(parts, _read_records(ledger.finished_record, parts)):
        if before is None:
            left.append(part)
            continue
        records[part.name] = before
        progress.before += before["frames"]
    progress.frames += sum(record["frames"] for record in records.values())
    progress.parts += len(records)
    tick(progress)
    labels = {part.name: part.label for part in left}
    for record in executor.process(task, left) if left else ():
        records[record["name"]] = record
        progress.frames += record["frames"] if "doubt" not in record else 0
        progress.failures += record["failures"]
        progress.parts += 1
        for reason in record.get("reasons", ()):
            LOG.warning("%s: %s", labels[record["name"]], reason)
        tick(progress)
    return records


def _replan_inconsistent(ledger: Ledger, plan: Dict[str, List[Shard]], records: Dict[str, Record]) -> List[Shard]:
    """Replan videos with a shard that does not match the index, as one piece each."""
    parts: List[Shard] = []
    for source, pieces in plan.items():
        why = next(filter(None, (_find_doubt(part, records[part.name]) for part in pieces)), None)
        if why is None:
            parts += pieces
            continue
        item = pieces[0].items[0]
        LOG.warning("%s: does not match its index (%s); processing it as one piece", source, why)
        ledger.save_index(item, {"source": source, "frames": 0, "cuts": [], "why": why})
        parts.append(whole_video(item))
    return parts


def _find_doubt(part: Shard, record: Record) -> Optional[str]:
    """Return why a segment's result is unreliable; one that failed may succeed within its whole video."""
    if not part.is_segment:
        return None
    failed: Optional[str] = record["failures"][0][2] if record["failures"] else None
    return record.get("doubt", failed)


def _finish(
    ledger: Ledger, items: Sequence[Item], parts: Sequence[Shard], records: Dict[str, Record], progress: JobProgress,
    unread: List[Failure], settings: Dict[str, Any],
) -> None:  # fmt: skip
    """Sort failures in the corpus's order, write the manifest, and remove files that belong to no shard."""
    done = [records[part.name] for part in parts]
    progress.failures = unread + [failure for record in done for failure in record["failures"]]
    for record in done:
        progress.labels.update(record["found"])
    order = {item.source: number for number, item in enumerate(items)}
    progress.failures.sort(key=lambda failure: order[failure[0]])
    progress.frames = sum(record["frames"] for record in done)
    whole_ones = [part for part in parts if records[part.name]["files"]]
    failed = rows.failures([(source, stage, reason) for source, stage, reason in progress.failures])
    ledger.folder.write("failures.parquet", failed)
    head = {
        "settings": settings, "items": len(items), "frames": progress.frames, "found": dict(progress.labels),
        "failures": len(progress.failures),
    }  # fmt: skip
    ledger.write_manifest(head, [records[part.name] for part in whole_ones])
    others = ledger.drop_others(whole_ones)
    if others:
        LOG.warning(
            "kept the rows of %d parts outside the manifest: their files are not in the corpus or failed now", others
        )
