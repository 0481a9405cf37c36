"""The whole job: cut what can be cut, do what is not done, doubt what does not fit, write the manifest."""

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
from .ledger import Ledger, Record, cuts_of
from .shards import Item, Shard, groups, segments, whole

LOG = logging.getLogger(__name__)
SEGMENT = 1800  # frames: a minute of most videos, so a worker that dies loses no more
GROUP = 256  # pictures: four seconds of a core, so that dealing them out is little beside them
ASKED_AT_ONCE = 32

Failure = List[str]  # source, stage, reason


class Executor(Protocol):
    """Who does the work, in whatever order: `LocalExecutor`, or Ray's workers."""

    def cut(self, out: str, items: Sequence[Item]) -> Iterator[Record]:
        """`work.cut` of each."""
        ...

    def do(self, task: work.Task, parts: Sequence[Shard]) -> Iterator[Record]:
        """`Worker.do` of each."""
        ...


class LocalExecutor:
    """No crew but this process: one part after the other."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def cut(self, out: str, items: Sequence[Item]) -> Iterator[Record]:
        """One after the other."""
        for item in items:
            yield work.cut(out, item)

    def do(self, task: work.Task, parts: Sequence[Shard]) -> Iterator[Record]:
        """One after the other, in one session."""
        worker = work.Worker(task, self.threads)
        try:
            for part in parts:
                yield worker.do(part)
        finally:
            worker.close()


@dataclass
class JobProgress:
    """How far it is: `total` frames are known of, `frames` done, of which `before` in earlier runs."""

    stage: str = "listing"
    total: int = 0
    frames: int = 0
    before: int = 0
    parts: int = 0
    of: int = 0
    seconds: float = 0.0
    found: Counter[str] = field(default_factory=Counter)
    failures: List[Failure] = field(default_factory=list)


Tick = Callable[[JobProgress], None]


def run(
    items: Sequence[Item],
    task: work.Task,
    crew: Executor,
    settings: Dict[str, Any],
    *,
    segment: int = SEGMENT,
    group: int = GROUP,
    tick: Tick = lambda progress: None,
) -> JobProgress:
    """Every frame of the items into files below `task.out`; what is there already stays.

    `settings` is what the rows depend on. Raises `UsageError` when the folder was made with others, `OutputError`,
    and what opening the engine raises; what is wrong with an item is a failure in the answer.
    """
    ledger = Ledger(task.out, task.run)
    progress, begun = JobProgress(), time.monotonic()
    with ExitStack() as stack:
        if not storage.is_uri(task.out):
            lock = Path(ledger.folder.place, "state", "lock")
            busy = f"another edgecsp batch writes {task.out}; waiting"
            stack.enter_context(files.locked(lock, busy, hint="Give a folder of yours: --out DIR"))
        ledger.settle({**settings, "segment": segment, "group": group})
        videos, pictures = corpus.split(items)
        plan = _planned(ledger, crew, videos, segment, progress, tick)
        unread = list(progress.failures)
        grouped = groups(pictures, group)
        parts = [part for some in plan.values() for part in some] + grouped
        progress.stage, progress.parts, progress.of = "detecting", 0, 0
        records = _done(ledger, crew, task, parts, progress, tick)
        parts = _replan_inconsistent(ledger, plan, records) + grouped
        records.update(_done(ledger, crew, task, [p for p in parts if p.name not in records], progress, tick))
        _finish(ledger, items, parts, records, progress, unread, settings)
    progress.seconds = time.monotonic() - begun
    tick(progress)
    return progress


def _planned(
    ledger: Ledger, crew: Executor, videos: Sequence[Item], least: int, progress: JobProgress, tick: Tick
) -> Dict[str, List[Shard]]:
    """The parts of each video that can be read, by its source."""
    progress.stage, progress.of = "indexing", len(videos)
    cuts = dict(zip((item.source for item in videos), _asked(ledger.cuts, videos)))
    unknown = [item for item in videos if cuts[item.source] is None]
    progress.parts = len(videos) - len(unknown)
    tick(progress)
    for said in crew.cut(ledger.folder.place, unknown):
        cuts[said["source"]] = said
        progress.parts += 1
        tick(progress)
    plan: Dict[str, List[Shard]] = {}
    for item in videos:
        said = cuts[item.source] or {"failed": "it was not indexed"}
        if "failed" in said:
            progress.failures.append([item.source, "read", said["failed"]])
            continue
        plan[item.source] = segments(item, cuts_of(said), said["frames"], least)
        progress.total += said["frames"]
    return plan


def _asked(ask: Callable[[Any], Optional[Record]], given: Sequence[Any]) -> Iterator[Optional[Record]]:
    """What the ledger says of each, many asked side by side: an answer from a store takes 20 ms."""
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for at in range(0, len(given), 4096):  # each that waits takes a kilobyte
            yield from pool.map(ask, given[at : at + 4096])


def _done(
    ledger: Ledger, crew: Executor, task: work.Task, parts: Sequence[Shard], progress: JobProgress, tick: Tick
) -> Dict[str, Record]:
    """The record of each part, by its name; those that were done before are believed by their digests."""
    progress.of += len(parts)
    records: Dict[str, Record] = {}
    left: List[Shard] = []
    for part, before in zip(parts, _asked(ledger.done, parts)):
        if before is None:
            left.append(part)
            continue
        records[part.name] = before
        progress.before += before["frames"]
    progress.frames += sum(record["frames"] for record in records.values())
    progress.parts += len(records)
    tick(progress)
    shown = {part.name: part.shown for part in left}
    for record in crew.do(task, left) if left else ():
        records[record["name"]] = record
        progress.frames += record["frames"] if "doubt" not in record else 0
        progress.failures += record["failures"]
        progress.parts += 1
        for reason in record.get("reasons", ()):
            LOG.warning("%s: %s", shown[record["name"]], reason)
        tick(progress)
    return records


def _replan_inconsistent(ledger: Ledger, plan: Dict[str, List[Shard]], records: Dict[str, Record]) -> List[Shard]:
    """The same plan, but in one piece each video of which a piece was not what the index said."""
    parts: List[Shard] = []
    for source, pieces in plan.items():
        why = next(filter(None, (_doubt(part, records[part.name]) for part in pieces)), None)
        if why is None:
            parts += pieces
            continue
        item = pieces[0].items[0]
        LOG.warning("%s: not as its index says (%s); done in one piece", source, why)
        ledger.keep_cuts(item, {"source": source, "frames": 0, "cuts": [], "why": why})
        parts.append(whole(item))
    return parts


def _doubt(part: Shard, record: Record) -> Optional[str]:
    """Why a segment is not to be believed; one that failed may be fine in its video's whole."""
    if not part.segment:
        return None
    failed: Optional[str] = record["failures"][0][2] if record["failures"] else None
    return record.get("doubt", failed)


def _finish(
    ledger: Ledger, items: Sequence[Item], parts: Sequence[Shard], records: Dict[str, Record], progress: JobProgress,
    unread: List[Failure], settings: Dict[str, Any],
) -> None:  # fmt: skip
    """Failures in the corpus's order, the manifest, and away with what belongs to no part."""
    done = [records[part.name] for part in parts]
    progress.failures = unread + [failure for record in done for failure in record["failures"]]
    for record in done:
        progress.found.update(record["found"])
    order = {item.source: number for number, item in enumerate(items)}
    progress.failures.sort(key=lambda failure: order[failure[0]])
    progress.frames = sum(record["frames"] for record in done)
    whole_ones = [part for part in parts if records[part.name]["files"]]
    failed = rows.failures([(source, stage, reason) for source, stage, reason in progress.failures])
    ledger.folder.write("failures.parquet", failed)
    head = {
        "settings": settings, "items": len(items), "frames": progress.frames, "found": dict(progress.found),
        "failures": len(progress.failures),
    }  # fmt: skip
    ledger.manifest(head, [records[part.name] for part in whole_ones])
    others = ledger.drop_others(whole_ones)
    if others:
        LOG.warning(
            "rows of %d parts stay, out of the manifest: their files are not in the corpus or failed now", others
        )
