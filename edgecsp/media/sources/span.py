"""A part of a video or stream, by its time."""

from __future__ import annotations

from typing import Iterator, Optional

from ...errors import SourceError, UsageError
from ...types import Frame
from .base import Source


class Span(Source):
    """The frames of a source from `start_s` on and before `end_s`, seconds from its first frame; images are all frames.

    A recording's own clock often begins elsewhere (MPEG-TS, a recorder's segments). Frames before the span are decoded
    and left out. Iterating raises `SourceError` when no frame of a video is in it.
    """

    def __init__(self, source: Source, start_s: Optional[float] = None, end_s: Optional[float] = None) -> None:
        super().__init__(source.name, paths=source.paths)
        self._source = source
        self._start_s, self._end_s = start_s or 0.0, float("inf") if end_s is None else end_s
        if not 0 <= self._start_s < self._end_s:
            raise UsageError(f"a part from {self._start_s:g} s to {self._end_s:g} s: the end must be after the start")
        self.live, self.moving, self.problems = source.live, source.moving, source.problems

    @property
    def frames(self) -> Optional[int]:
        """The number of images; None for a part of a video."""
        return None if self.moving else self._source.frames

    def __iter__(self) -> Iterator[Frame]:
        self._source.threads = self.threads
        is_empty, first_s, last_s = True, None, 0.0
        for frame in self._source:
            if frame.pts_s is not None:
                first_s = frame.pts_s if first_s is None else first_s
                last_s = frame.pts_s - first_s
                if last_s >= self._end_s:
                    break
            if frame.pts_s is None or last_s >= self._start_s:
                is_empty = False
                yield frame
            del frame  # or its image is kept until the next one is there
        if is_empty and not self.closed:
            if last_s >= self._end_s:
                raise SourceError(f"{self.name} has no frame from {self._start_s:g} s to {self._end_s:g} s")
            raise SourceError(f"{self.name} ends before {self._start_s:g} s; give an earlier start")

    def close(self) -> None:
        """Stop."""
        super().close()
        self._source.close()
