"""Schedule frames of several sources through one detector: read ahead, round robin, in parallel, with ordered results.

    reader, one a source  -> a short queue of frames  -+
    reader                -> a short queue            -+-> workers: detect -> results, in the order of input

Stages run concurrently. Buffered frames are bounded in number and bytes; an error takes its frame's place in the order,
so that the results before it are those of a single thread. No frame of a file is dropped; of a live source only the
newest frame is processed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, Generator, Optional, Sequence, Union

from ...system import cpu
from ...types import Frame, Result
from ..sources import Source
from ._frame_scheduler import READY, FrameScheduler, Item

__all__ = ["READY", "FrameResult", "SourceEnd", "choose_concurrency", "default_concurrency", "results", "workers"]

MOST = 8  # concurrent frames in the engine: each needs the memory of its layers


@dataclass(frozen=True)
class FrameResult:
    """A frame of a source and its result."""

    source: Source
    frame: Frame
    result: Result


@dataclass(frozen=True)
class SourceEnd:
    """End of a source; `error` is why it failed, if it did."""

    source: Source
    error: Optional[BaseException]


def results(
    opened: Sequence[Source],
    detect: Callable[[Frame], Result],
    *,
    concurrency: int = 1,
    stop: Optional[threading.Event] = None,
) -> Generator[Union[FrameResult, SourceEnd], None, None]:
    """Yield every frame of the sources with the result of `detect`, each source's frames in order.

    Videos and live streams are read concurrently, image sources one after the other. `detect` is called from several
    threads; its error is raised here, after the results before it, and ends the run; an error of a source ends that
    source only. Setting `stop` ends the results; closing the generator ends the reading. `concurrency` is how many
    frames the engine computes at the same time.
    """
    line = FrameScheduler(opened, detect, _workers(opened, concurrency), stop or threading.Event())
    try:
        line.begin()
        yield from map(_to_result, line.results())
    finally:
        line.end()


def _to_result(item: Item) -> Union[FrameResult, SourceEnd]:
    source, frame, what = item
    return SourceEnd(source, what) if frame is None else FrameResult(source, frame, what)


def choose_concurrency(opened: Sequence[Source]) -> int:
    """Best number of concurrent frames for these sources: 1 where latency counts."""
    return 1 if _is_prompt(opened) else default_concurrency(cpu.threads())


def default_concurrency(threads: int) -> int:
    """Best number of concurrent frames for an engine with so many threads, where frames may overlap."""
    return min(MOST, threads)


def workers(concurrency: int) -> int:
    """Number of workers for an engine that computes `concurrency` frames at the same time.

    More than the engine takes, so that the stages before and after it overlap.
    """
    return max(concurrency, min(4, cpu.threads()))


def _workers(opened: Sequence[Source], concurrency: int) -> int:
    # Where latency counts, a frame that waits for the engine gets old while a newer one arrives.
    return 1 if _is_prompt(opened) else workers(concurrency)


def _is_prompt(opened: Sequence[Source]) -> bool:
    """Whether there is one image or one live source: overlapping frames would only add latency."""
    return len(opened) == 1 and (opened[0].live or opened[0].frames == 1)
