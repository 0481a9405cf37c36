"""Base class of sources: a closable iterable of frames that counts recoverable problems."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple
from typing import Counter as CounterOf

from ...errors import SourceError, UsageError
from ...system.redaction import redact as redact
from ...types import Frame


class Source:
    """Frames in order; iterate over it, then close it (or use it as a context manager).

    `name` is safe to show: a path, or a URL without credentials. `live` sources drop frames for a slow reader; others
    never do. `frames` is the expected number after the stride, None when unknown. `moving` is true for videos and live
    streams, false for images; `threads` bounds the decoder's threads [default: its own choice]. `on_packet` may be set
    to get the packets of PyAV before they are decoded, from sources that have them. `paths` are the local files that
    are read. `problems` counts recoverable problems by a text for people. Iterating raises `SourceError`
    when the source ends before its expected end.
    """

    live = False
    moving = False
    threads: Optional[int] = None
    on_packet: Optional[Callable[[Any], None]] = None

    def __init__(self, name: str, *, stride: int = 1, paths: Sequence[str] = ()) -> None:
        if stride < 1:
            raise UsageError(f"stride {stride}: at least 1 (every frame)")
        self.name = name
        self.stride = stride
        self.paths: Tuple[str, ...] = tuple(paths)
        self.problems: CounterOf[str] = Counter()
        self.closed = False

    @property
    def frames(self) -> Optional[int]:
        """Expected number of frames after the stride, None when unknown."""
        return None

    def check(self) -> None:
        """Open the source once to check that it can be read; raises `SourceError`."""

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def close(self) -> None:
        """Stop: a running iteration, in any thread, ends at its next frame and releases its handles."""
        # FFmpeg's or OpenCV's handle is not closed here: another thread may be using it.
        self.closed = True

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Chain(Source):
    """Several sources one after the other; a failed one is a problem, or an error if all fail."""

    def __init__(self, name: str, parts: Sequence[Source]) -> None:
        super().__init__(name, paths=[path for part in parts for path in part.paths])
        self.parts = parts
        self.moving = any(part.moving for part in parts)
        for part in parts:
            part.problems = self.problems

    @property
    def frames(self) -> Optional[int]:
        """Expected number of frames after the stride, None when unknown for one part."""
        known = [part.frames for part in self.parts]
        return None if None in known else sum(n or 0 for n in known)

    def __iter__(self) -> Iterator[Frame]:
        any_frame = False
        for part in self.parts:
            try:
                for frame in part:
                    any_frame = True
                    yield frame
            except SourceError as error:
                self.problems[str(error)] += 1
            if self.closed:
                return
        if not any_frame:
            raise SourceError(
                f"no source in {self.name} could be read; first error: {next(iter(self.problems), 'no frame')}"
            )

    def close(self) -> None:
        """Stop all parts."""
        super().close()
        for part in self.parts:
            part.close()


def format_problems(problems: Mapping[str, int]) -> List[str]:
    """Format problems for people, with their counts."""
    return [text + (f" ({count} times)" if count > 1 else "") for text, count in problems.items()]
