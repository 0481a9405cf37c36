"""FFmpeg's error log, attributed to the video that each message is about.

FFmpeg conceals damage and only logs it, to one log for the whole process. Messages of the calling thread are about the
video that it reads. Messages of a decoder's own threads carry only the codec's name: with a single decoder of that
codec they are its own; with several it is unknown, and the video has to be decoded again in a single thread.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import Any, Iterator, List, Tuple

Message = Tuple[int, str, str]  # FFmpeg's level, the logger's name, the text

# Damage that FFmpeg logs as a warning; its other warnings occur for intact files.
_WARNINGS = (
    ("hevc", "Skipping invalid undecodable NALU"),
    ("hevc", "Error parsing NAL unit"),
    ("jpeg2000", "End mismatch"),
    ("mxf", "edit unit sync lost"),
)


class Watch:
    """Collects the errors that FFmpeg logs about one video while it is read; a context manager.

    `codec` is the PyAV codec context. `damaged` counts the packets that were decoded with errors, `flagged` the frames
    that the decoder marks (counted by the reader). `is_unclear`: a thread of some decoder of this codec logged an error
    that may belong to this video.
    """

    def __init__(self, codec: Any) -> None:
        self.damaged = self.flagged = self._reported = 0
        self.is_unclear = False
        self._codec = codec
        self.name: str = codec.name
        self._foreign = 0

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Wrap the decoding of one packet: its errors count as one; a packet that raises is counted by the caller."""
        with local_errors() as errors:
            yield
        _PROCESS.share_out()
        self.damaged += bool(errors or self._foreign)
        self._foreign = 0

    def new_damaged(self) -> int:
        """Return the number of damaged frames since the last call, marked or logged by the decoder."""
        count = max(self.damaged, self.flagged)
        more, self._reported = count - self._reported, max(count, self._reported)
        return max(0, more)

    def forget(self) -> None:
        """Discard the errors logged so far."""
        _PROCESS.share_out()
        self.damaged = self._foreign = 0
        self.is_unclear = False

    def note(self, is_sole: bool) -> None:
        """Record an error of a thread of some decoder of this codec."""
        if is_sole:
            self._foreign += 1
        else:
            self.is_unclear = True

    def __enter__(self) -> Watch:
        _PROCESS.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        # Joins the decoder's threads without holding the GIL. Freeing the decoder would join them with the GIL held,
        # while a thread that logs waits for it: a deadlock.
        self._codec.flush_buffers()
        _PROCESS.remove(self)
        self.damaged += bool(self._foreign)


@contextmanager
def local_errors() -> Iterator[List[Message]]:
    """Collect the errors that FFmpeg logs in this thread, complete after the block; needs `capture_log`."""
    import av

    errors: List[Message] = []
    with av.logging.Capture() as messages:
        yield errors
    if messages:
        _PROCESS.forward(messages)
        errors += filter(_is_error, messages)


@contextmanager
def capture_log() -> Iterator[None]:
    """Capture FFmpeg's log for a block."""
    _PROCESS.begin()
    try:
        yield
    finally:
        _PROCESS.end()


def _is_error(message: Message) -> bool:
    import av

    level, name, text = message
    if text.startswith("warning:"):  # "first frame is no keyframe", for every H.261 video
        return False
    return level <= av.logging.ERROR or any(name == who and text.startswith(begin) for who, begin in _WARNINGS)


def demuxer_errors(container: Any, messages: List[Message]) -> int:
    """Count the messages of the demuxer itself; those of parsers are repeated by the decoder."""
    return sum(name == container.format.name for _, name, _ in messages)


class _Process:
    """Process-wide state: FFmpeg's log level, and the log of all threads that are not captured locally."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: List[Watch] = []
        self._users = 0
        self._level: Any = None
        self._repeats = True
        self._capture: Any = None
        self._messages: List[Message] = []

    def begin(self) -> None:
        import av

        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            self._level, self._repeats = av.logging.get_level(), av.logging.get_skip_repeated()
            av.logging.set_skip_repeated(False)  # two videos may log the same message
            if self._level is None or self._level < av.logging.WARNING:
                av.logging.set_level(av.logging.WARNING)
            self._capture = av.logging.Capture(local=False)
            self._messages = self._capture.__enter__()

    def end(self) -> None:
        import av

        with self._lock:
            self._users -= 1
            if self._users:
                return
            av.logging.set_level(self._level)
            av.logging.set_skip_repeated(self._repeats)
            self._capture.__exit__(None, None, None)

    def add(self, watch: Watch) -> None:
        self.begin()
        with self._lock:
            self._watches.append(watch)

    def remove(self, watch: Watch) -> None:
        self.share_out()
        with self._lock:
            self._watches.remove(watch)
        self.end()

    def share_out(self) -> None:
        """Attribute messages of decoder threads to the videos that they may be about."""
        if not self._messages:
            return
        with self._lock:
            count = len(self._messages)  # threads keep appending
            messages = self._messages[:count]
            del self._messages[:count]
            for message in filter(_is_error, messages):
                about = [watch for watch in self._watches if watch.name == message[1]]
                for watch in about:
                    watch.note(len(about) == 1)
        self.forward(messages)

    def forward(self, messages: List[Message]) -> None:
        """Forward captured messages to Python's log, as PyAV would have done."""
        import av

        if self._level is None:
            return
        for level, name, text in messages:
            if level <= self._level:
                logger = logging.getLogger(f"libav.{name}" if name else "libav.generic")
                logger.log(av.logging.adapt_level(level), text.strip())


_PROCESS = _Process()


def open_container(file: Any, **options: Any) -> Any:
    """Open a file or URL to be read as a PyAV container, whatever its metadata is encoded in. Raises as `av.open`."""
    import av

    if int(av.__version__.split(".")[0]) < 19:  # from then on it replaces what is not UTF-8 unasked
        options["metadata_errors"] = "replace"
    return av.open(file, **options)
