"""Frames of several sources through one detector: read ahead, taken in turns, computed side by side, given in order.

    reader, one a source  -> a short queue of frames  -+
    reader                -> a short queue            -+-> workers: detect -> results, in the order they were taken in

No stage waits for another that has work. What is held is bounded, in frames and in bytes; an error travels in its
frame's place, so what is given before it is what one thread would have given. Files lose no frame; of a live source
the newest frame is taken.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, Generator, Optional, Sequence, Union

from ...system import cpu
from ...types import Frame, Result
from ..sources import Source
from ._frame_scheduler import READY, FrameScheduler, Item

__all__ = ["READY", "FrameResult", "SourceEnd", "at_once", "default_concurrency", "results", "workers"]

MOST = 8  # frames in the engine at the same time: each costs the memory of its layers


@dataclass(frozen=True)
class FrameResult:
    """A frame of a source and what is in it."""

    source: Source
    frame: Frame
    result: Result


@dataclass(frozen=True)
class SourceEnd:
    """A source has given its last frame; `error` is what it broke off with."""

    source: Source
    error: Optional[BaseException]


def results(
    opened: Sequence[Source],
    detect: Callable[[Frame], Result],
    *,
    at_once: int = 1,
    stop: Optional[threading.Event] = None,
) -> Generator[Union[FrameResult, SourceEnd], None, None]:
    """Every frame of the sources with what `detect` says of it, each source's frames in their order.

    Videos and live streams are read at the same time and take turns, pictures one source after the other. `detect`
    is called from several threads; its error is raised here, after the frames before it, and ends all; the error of
    a source ends that source. `stop`, once set, ends the results; closing the generator ends the reading. `at_once`
    is how many frames the engine computes at the same time.
    """
    line = FrameScheduler(opened, detect, _workers(opened, at_once), stop or threading.Event())
    try:
        line.begin()
        yield from map(_to_result, line.results())
    finally:
        line.end()


def _to_result(item: Item) -> Union[FrameResult, SourceEnd]:
    source, frame, what = item
    return SourceEnd(source, what) if frame is None else FrameResult(source, frame, what)


def at_once(opened: Sequence[Source]) -> int:
    """How many frames of these sources it pays to have in an engine at the same time: 1 where delay is what counts."""
    return 1 if _is_prompt(opened) else default_concurrency(cpu.threads())


def default_concurrency(threads: int) -> int:
    """How many frames it pays to have in an engine of so many threads at the same time, where they may overlap."""
    return min(MOST, threads)


def workers(at_once: int) -> int:
    """How many take a frame all the way when the engine computes `at_once` of them at the same time.

    More than the engine takes: what lies before and behind it goes on beside it.
    """
    return max(at_once, min(4, cpu.threads()))


def _workers(opened: Sequence[Source], at_once: int) -> int:
    # Where delay counts, a frame that waits for the engine grows old, and the next one would be newer.
    return 1 if _is_prompt(opened) else workers(at_once)


def _is_prompt(opened: Sequence[Source]) -> bool:
    """Whether there is one picture, or one live view: nothing to overlap without delay."""
    return len(opened) == 1 and (opened[0].live or opened[0].frames == 1)
