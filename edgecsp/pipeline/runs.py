"""A run: the frames of sources through a detector into sinks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..errors import SourceError
from ..media import scheduler, sources
from ..types import Frame, Result, Stream
from .detector import Detector

if TYPE_CHECKING:
    from ..track import Line, Zone


@dataclass
class RunSummary:
    """Counts of a run: frames, those of each source, seconds on the wall, detections by label, survived problems.

    `areas`: the counts of lines and zones by stream, as `AreaCounter.counts` gives them.
    """

    frames: int = 0
    by_source: Counter[sources.Source] = field(default_factory=Counter)
    seconds: float = 0.0
    label_counts: Counter[str] = field(default_factory=Counter)
    problems: Dict[str, int] = field(default_factory=dict)
    failed: List[str] = field(default_factory=list)
    areas: List[Tuple[str, Dict[str, Any]]] = field(default_factory=list)

    def add(self, result: Result, source: sources.Source) -> None:
        """Count one frame."""
        self.frames += 1
        self.by_source[source] += 1
        self.label_counts.update(result.counted())


def run(
    detector: Detector,
    opened: Sequence[sources.Source],
    write: Callable[[Frame, Result], None],
    summary: RunSummary,
    *,
    ended: Callable[[Stream], None] = lambda stream: None,
    tick: Callable[[], None] = lambda: None,
    stop: Optional[threading.Event] = None,
    max_frames: Optional[int] = None,
    keep: Callable[[Result, Tuple[int, int]], Result] = lambda result, hw: result,
    track: bool = False,
    lines: Sequence[Line] = (),
    zones: Sequence[Zone] = (),
) -> None:
    """Detect on every frame of the opened sources and `write` the results; `summary` is kept up to date.

    Videos and live streams go side by side, images one source after the other (see `flow`). A source that breaks
    is noted in `summary.failed` and the others go on, unless it is the only one. `ended` is told each stream that has
    had its last frame, `tick` is called after each frame; `stop`, once set, ends the run after the current frame.
    `keep` selects rows of a result, given the image's height and width. With `track`, the results of videos and live
    streams are `types.Tracks`; with `lines` or `zones` too, and they have what happened there.
    """
    stop = stop or threading.Event()
    begun = time.monotonic()
    under_way: Dict[sources.Source, Stream] = {}
    trackers = detector.make_trackers(lines=lines, zones=zones) if track or lines or zones else None
    settings = trackers.lower(detector.settings) if trackers else None

    def detect(frame: Frame) -> Result:
        return keep(detector.detect_frame(frame, settings), frame.hw)

    def turn(source: sources.Source, stream: Optional[Stream]) -> None:
        before = under_way.pop(source, None)
        if before is not None and before is not stream:
            ended(before)
            if trackers:
                trackers.end(before)
        if stream is not None:
            under_way[source] = stream

    try:
        with closing(detector.results(opened, stop, detect=detect)) as results:
            for item in results:
                if isinstance(item, scheduler.FrameResult):
                    turn(item.source, item.frame.stream)
                    result = trackers.update(item.frame, item.result) if trackers else item.result
                    write(item.frame, result)
                    summary.add(result, item.source)
                    tick()
                    if summary.frames == max_frames:
                        stop.set()
                elif isinstance(item.error, SourceError) and len(opened) > 1:
                    summary.failed.append(str(item.error))
                    turn(item.source, None)
                elif item.error is not None:
                    raise item.error
                else:
                    turn(item.source, None)
                del item  # or its image is kept until the next one is there
    finally:
        for source in opened:
            for text, count in source.problems.items():
                summary.problems[text] = summary.problems.get(text, 0) + count
        summary.areas = trackers.counts() if trackers else []
        summary.seconds = time.monotonic() - begun
