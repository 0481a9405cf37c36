"""The work of one worker on an item or a shard, with and without Ray."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
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
from ..graph.precision import detect_precision
from ..media import scheduler, sources
from ..media.sinks.rows import to_dict
from ..media.sources import Source
from ..options import Options
from ..system import versions
from ..types import Model, Tracks
from . import keyframe_index, rows
from .ledger import MAX_ATTEMPTS, Ledger, Record
from .segment import Group, Segment, open_source
from .shards import Item, Shard

RETRIES = 2


@dataclass(frozen=True)
class Task:
    """The task of a worker: the model, how to open it, and where rows go.

    In `options` engine, device and precision are resolved: "auto" could be another engine on another machine.
    """

    model: Model
    options: Options
    out: str
    run: str
    jsonl: bool = False
    track: bool = False
    retries: int = RETRIES
    version: str = ""


class Worker:
    """Processes shards with one session of `threads` threads.

    A failure of a shard is a record, not an error; errors are of the whole job: an engine that is not available, a
    folder that cannot be written.
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
        """Return the session's detector, opened on first use."""
        if self._detector is None:
            concurrency = scheduler.default_concurrency(self.threads)
            options = replace(self.task.options, threads=self.threads, concurrency=concurrency)
            try:
                self._detector = pipeline.open_detector(options)
            except EngineUnavailable as error:
                if options.precision in (None, detect_precision(self.task.model)):
                    raise
                raise EngineUnavailable(
                    f"{error}; all rows of a batch are in one precision, here {options.precision}: another needs "
                    "another --out"
                ) from error
        return self._detector

    def process(self, part: Shard) -> Record:
        """Process a shard into its files; returns its record, also if it was finished before."""
        done = self.ledger.finished_record(part)
        if done is not None:
            return done
        reasons: List[str] = []
        if self.ledger.count_attempt(part) >= MAX_ATTEMPTS:
            self.ledger.clear_attempts(part)
            return _failure_record(part, [f"{MAX_ATTEMPTS} workers died while processing it"])
        while len(reasons) <= self.task.retries:
            try:
                return self._process(part)
            except (SourceError, EngineFailed) as error:
                reasons.append(str(error))
                if isinstance(error, EngineFailed):
                    self.close()  # a session that failed may fail for ever: the next attempt has a new one
        self.ledger.clear_attempts(part)
        return _failure_record(part, reasons)

    def _process(self, part: Shard) -> Record:
        source, rows_found, labels = self._detect(part, self.threads)
        if isinstance(source, Segment) and source.problems and self.threads > 1 and not part.is_segment:
            # How a decoder conceals damage with several threads is not deterministic.
            source, rows_found, labels = self._detect(part, 1)
        record: Record = {"name": part.name, "frames": rows_found.count, "found": dict(labels), "failures": []}
        if isinstance(source, Group):
            record["failures"] = [[name, "decode", reason] for name, reason in source.failed.items()]
        elif isinstance(source, Segment):
            doubt = _find_doubt(part, source)
            if doubt:
                self.ledger.clear_attempts(part)
                return {**record, "doubt": doubt}
            record["failures"] = [[source.name, "decode", text] for text in _list_problems(source)]
        return self.ledger.finish(part, record, rows_found.contents())

    def _detect(self, part: Shard, decoder_threads: int) -> Tuple[Source, rows.Rows, Counter[str]]:
        """Run the detector on a shard; returns its source, its rows and the count of each label."""
        source = open_source(part, decoder_threads)
        detector = self.detector()
        trackers = detector.make_trackers() if self.task.track else None
        settings = trackers.lower(detector.settings) if trackers else None
        collected = rows.Rows(Tracks if trackers else detector.model.result, jsonl=self.task.jsonl)
        labels: Counter[str] = Counter()
        for item in detector.results([source], detect=partial(detector.detect_frame, settings=settings)):
            if isinstance(item, scheduler.SourceEnd):
                if item.error is not None:
                    raise item.error
                continue
            result = trackers.update(item.frame, item.result) if trackers else item.result
            collected.add(to_dict(item.frame, result))
            labels.update(result.counted())
            del item
        return source, collected, labels

    def close(self) -> None:
        """Close the session."""
        if self._detector is not None:
            self._detector.close()
        self._detector = None


def index(out: str, item: Item) -> Record:
    """Index a video and store the index; a record with the reason if it cannot be read."""
    ledger = Ledger(out)
    try:
        video_index = keyframe_index.index(item)
    except SourceError as error:
        return {"source": item.source, "failed": str(error)}
    record = {
        "source": item.source, "frames": video_index.frames, "why": video_index.reason,
        "cuts": [[point.pts, point.frame] for point in video_index.split_points],
    }  # fmt: skip
    ledger.save_index(item, record)
    return record


def _find_doubt(part: Shard, source: Segment) -> str:
    """Return why a segment's frames differ from its video's index; "" for whole videos."""
    if not part.is_segment:
        return ""
    if source.problems:
        return next(iter(source.problems))
    if source.frame_count != part.frames:
        return f"{source.frame_count} frames from frame {part.first} where the index has {part.frames}"
    return ""


def _list_problems(source: Segment) -> List[str]:
    prefix = f"{source.name}: "
    return [
        text[len(prefix) :] if text.startswith(prefix) else text for text in sources.format_problems(source.problems)
    ]


def _failure_record(part: Shard, reasons: List[str]) -> Record:
    reason = reasons[-1] + (f" (tried {len(reasons)} times)" if len(reasons) > 1 else "")
    failures = [[item.source, "detect", reason] for item in part.items]
    return {
        "name": part.name, "frames": 0, "found": {}, "files": {}, "failures": failures, "reasons": reasons,
    }  # fmt: skip


def error_to_dict(error: EdgecspError) -> Record:
    """Convert an error of the job to plain values, to send it from a worker."""
    return {"error": str(error), "code": error.exit_code}


def error_from_dict(record: Record) -> EdgecspError:
    """Rebuild an error from plain values."""
    kinds = (UsageError, BadModel, OutputError, EngineUnavailable, IntegrityError)
    return next((kind for kind in kinds if kind.exit_code == record["code"]), EngineFailed)(record["error"])
