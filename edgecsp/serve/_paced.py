"""Play any source at the pace of a live camera."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import Deque, Iterator, Optional, Tuple

from ..media.sources import Source
from ..types import Frame

IMAGE_S = 1.0  # how long a still image is shown
LATE_S = 1.0  # a video further behind than this continues from where it is


class Paced(Source):
    """A source played in real time, with the arrival time of each frame: videos at their rate, one image a second."""

    live = moving = True

    def __init__(self, source: Source, stop: threading.Event) -> None:
        super().__init__(source.name)
        self.problems = source.problems
        self.came = time.monotonic()
        self._source = source
        self._stop = stop
        self._arrivals: Deque[Tuple[int, float]] = deque(maxlen=8)
        self._anchor: Optional[float] = None

    def pop_arrival(self, index: int) -> float:
        """Return the arrival time of a frame and forget those before it."""
        while self._arrivals:
            number, came = self._arrivals.popleft()
            if number >= index:
                return came
        return time.monotonic()

    def __iter__(self) -> Iterator[Frame]:
        count, step_s = 0, IMAGE_S
        for frame in self._source:
            if frame.pts_s is None or frame.stream.kind == "image":
                frame = replace(frame, index=count, pts_s=count * IMAGE_S)
            elif frame.stream.fps:
                step_s = 1 / frame.stream.fps
            if not self._source.live:
                self._await(frame.pts_s or 0.0)
            if self.closed or self._stop.is_set():
                return
            self.came = time.monotonic()
            self._arrivals.append((frame.index, self.came))
            count += 1
            yield frame
            del frame
        if not self._source.live and count:
            self._stop.wait(step_s)  # show the last frame as long as the others

    def _await(self, pts_s: float) -> None:
        """Wait until a video frame is due; a large jump (another file, a gap, a slow disk) resets the clock."""
        now = time.monotonic()
        due = now if self._anchor is None else self._anchor + pts_s
        if self._anchor is None or not -LATE_S < due - now < 10 * LATE_S:
            self._anchor = now - pts_s
            return
        self._stop.wait(max(0.0, due - now))

    def close(self) -> None:
        """Stop, and close the source."""
        super().close()
        self._source.close()
