"""What every source is: an iterable of frames that can be closed and keeps count of what it survived."""

from __future__ import annotations

from collections import Counter
from typing import Counter as CounterOf
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ...errors import SourceError, UsageError
from ...system.redaction import redact as redact
from ...types import Frame


class Source:
    """Frames from somewhere, in order; iterate it, then close it (or use it as a context manager).

    `name` is safe to show: a path, or a URL without its credentials. `live` sources may lose frames to a
    slow reader; the others lose none. `frames` is the expected number after the stride, None when unknown.
    `moving` tells videos and live streams from pictures; `threads` bounds the decoder's [default: as it likes].
    `paths` are the local files that are read. `problems` counts what went wrong and was survived, by a text
    for people. Iterating raises `SourceError` when nothing more can be read though more was promised.
    """

    live = False
    moving = False
    threads: Optional[int] = None

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
        """Open it once and find out whether it can be read; raises `SourceError`."""

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def close(self) -> None:
        """Stop: an iteration under way, in whatever thread, ends at its next frame and lets go of its handles."""
        # Never close FFmpeg's or OpenCV's handle here: another thread may be inside of it.
        self.closed = True

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Chain(Source):
    """Several sources one after the other; one that breaks is a problem, unless all do."""

    def __init__(self, name: str, parts: Sequence[Source]) -> None:
        super().__init__(name, paths=[path for part in parts for path in part.paths])
        self.parts = parts
        self.moving = any(part.moving for part in parts)
        for part in parts:
            part.problems = self.problems

    @property
    def frames(self) -> Optional[int]:
        """Expected number of frames after the stride, None when one part does not know."""
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
            raise SourceError(f"nothing in {self.name} could be read; first: {next(iter(self.problems), 'no frame')}")

    def close(self) -> None:
        """Stop all parts."""
        super().close()
        for part in self.parts:
            part.close()


def format_problems(problems: Mapping[str, int]) -> List[str]:
    """What was survived, a text each, with how often."""
    return [text + (f" ({count} times)" if count > 1 else "") for text, count in problems.items()]


def credentials(url: str) -> Tuple[str, Optional[str], Optional[str]]:
    """A URL -> (the URL without user and password, user, password)."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), parts.username, parts.password
