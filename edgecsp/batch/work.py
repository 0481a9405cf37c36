"""What one worker does with an item or a part; the same with Ray and without."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import List, Optional, Tuple

from .. import pipeline
from ..errors import (
    BadModel,
    EdgecspError,
    EngineFailed,
    EngineUnavailable,
    IntegrityError,
    OutputError,
    SourceError,
    UsageError,
)
from ..media import scheduler, sources
from ..media.sinks.rows import to_dict
from ..media.sources import Source
from ..system import versions
from ..types import Model
from . import keyframe_index, rows
from .ledger import DEATHS, Ledger, Record
from .segment import Group, Segment, source_of
from .shards import Item, Shard

RETRIES = 2


@dataclass(frozen=True)
class Task:
    """All that a worker must know: the model, how it is opened, where rows go.

    `engine`, `device` and `precision` are settled: "auto" could mean another engine on another machine.
    """

    model: Model
    engine: str
    device: str
    precision: Optional[str]
    settings: pipeline.Settings
    resize: Optional[str]
    out: str
    run: str
    jsonl: bool = False
    retries: int = RETRIES
    version: str = ""


class Worker:
    """A session and what it needs for parts; `threads` are those it computes with.

    A failure is a record, not an error; errors are of the job: an engine that is not there, a folder that cannot be
    written.
    """

    def __init__(self, task: Task, threads: int) -> None:
        if task.version != versions.own():
            raise EngineUnavailable(
                f"a worker has edgecsp {versions.own()} and the command {task.version}; install one on all"
            )
        self.task = task
        self.threads = threads
        self.ledger = Ledger(task.out, task.run)
        self._detector: Optional[pipeline.Detector] = None

    def detector(self) -> pipeline.Detector:
        """The session's detector, opened when first asked for."""
        if self._detector is None:
            task = self.task
            opened = pipeline.load(
                task.model, task.engine, device=task.device, precision=task.precision, threads=self.threads,
                at_once=scheduler.default_concurrency(self.threads), resize=task.resize,
            )  # fmt: skip
            self._detector = pipeline.Detector(opened.model, opened.session, task.settings, opened.chosen)
        return self._detector

    def do(self, part: Shard) -> Record:
        """Rows of a part into their files; its record, also when it was done before."""
        done = self.ledger.done(part)
        if done is not None:
            return done
        reasons: List[str] = []
        if self.ledger.deaths(part) >= DEATHS:
            self.ledger.forget(part)
            return _failed(part, [f"{DEATHS} workers died while they were at it"])
        while len(reasons) <= self.task.retries:
            try:
                return self._done(part)
            except (SourceError, EngineFailed) as error:
                reasons.append(str(error))
                if isinstance(error, EngineFailed):
                    self.close()  # a session that failed may fail for ever: the next attempt has a new one
        self.ledger.forget(part)
        return _failed(part, reasons)

    def _done(self, part: Shard) -> Record:
        source, found, labels = self._detected(part, self.threads)
        if isinstance(source, Segment) and source.problems and self.threads > 1 and not part.segment:
            # What a decoder's threads make of damage is another thing each time.
            source, found, labels = self._detected(part, 1)
        record: Record = {"name": part.name, "frames": found.count, "found": dict(labels), "failures": []}
        if isinstance(source, Group):
            record["failures"] = [[name, "decode", reason] for name, reason in source.failed.items()]
        elif isinstance(source, Segment):
            doubt = _doubt(part, source)
            if doubt:
                self.ledger.forget(part)
                return {**record, "doubt": doubt}
            record["failures"] = [[source.name, "decode", text] for text in _counted(source)]
        return self.ledger.finish(part, record, found.contents())

    def _detected(self, part: Shard, decoder_threads: int) -> Tuple[Source, rows.Rows, Counter[str]]:
        """A part's source, read to its end, its rows, and how often each label was found."""
        source = source_of(part, decoder_threads)
        found = rows.Rows(self.detector().model.task, jsonl=self.task.jsonl)
        labels: Counter[str] = Counter()
        for item in self.detector().results([source]):
            if isinstance(item, scheduler.SourceEnd):
                if item.error is not None:
                    raise item.error
                continue
            found.add(to_dict(item.frame, item.result))
            labels.update(item.result.counted())
            del item
        return source, found, labels

    def close(self) -> None:
        """Give the session back."""
        if self._detector is not None:
            self._detector.close()
        self._detector = None


def cut(out: str, item: Item) -> Record:
    """Where a video may be cut, kept for the next run; its reason where it cannot be read."""
    ledger = Ledger(out)
    try:
        found = keyframe_index.index(item)
    except SourceError as error:
        return {"source": item.source, "failed": str(error)}
    said = {"source": item.source, **found._asdict(), "cuts": [[one.pts, one.frame] for one in found.cuts]}
    ledger.keep_cuts(item, said)
    return said


def _doubt(part: Shard, source: Segment) -> str:
    """Why a segment's frames are not those its video's index promised; nothing is doubted in a whole one."""
    if not part.segment:
        return ""
    if source.problems:
        return next(iter(source.problems))
    if source.seen != part.frames:
        return f"{source.seen} frames from frame {part.first} where the index has {part.frames}"
    return ""


def _counted(source: Segment) -> List[str]:
    prefix = f"{source.name}: "
    return [
        text[len(prefix) :] if text.startswith(prefix) else text for text in sources.format_problems(source.problems)
    ]


def _failed(part: Shard, reasons: List[str]) -> Record:
    told = reasons[-1] + (f" (tried {len(reasons)} times)" if len(reasons) > 1 else "")
    failures = [[item.source, "detect", told] for item in part.items]
    return {
        "name": part.name, "frames": 0, "found": {}, "files": {}, "failures": failures, "reasons": reasons,
    }  # fmt: skip


def told(error: EdgecspError) -> Record:
    """An error of the job as data, to cross from a worker."""
    return {"error": str(error), "code": error.exit_code}


def raised(said: Record) -> EdgecspError:
    """The error that was told as data."""
    kinds = (UsageError, BadModel, OutputError, EngineUnavailable, IntegrityError)
    return next((kind for kind in kinds if kind.exit_code == said["code"]), EngineFailed)(said["error"])
