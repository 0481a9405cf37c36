"""What every sink is, and text that goes to a file (whole or not at all) or to standard output."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, List, Optional, Type, Union

from ...cache import files
from ...errors import OutputError, ReaderGone, SourceError
from ...types import Frame, Result, Stream

Target = Union[str, Path]


class Sink:
    """Takes every frame with its result; `close` finishes what was begun, `abort` removes it.

    A file appears only once it is complete. As a context manager it is closed at the end, and also
    when the run was stopped (Ctrl-C, a source that broke off, a reader that left): what was done is good. Any
    other error aborts it. Raises `OutputError`.
    """

    def write(self, frame: Frame, result: Result) -> None:
        """Take one frame and what was found in it."""
        raise NotImplementedError

    def end_stream(self, stream: Stream) -> None:
        """Hear that a stream has had its last frame: what is kept for it alone can be finished."""

    def close(self) -> None:
        """Finish the files; a second call does nothing."""

    def abort(self) -> None:
        """Remove what is half-written; after `close` it does nothing."""

    @property
    def paths(self) -> List[Path]:
        """The files that are finished."""
        return []

    @property
    def notes(self) -> List[str]:
        """What the user should know about them."""
        return []

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is None or issubclass(kind, (KeyboardInterrupt, SourceError, ReaderGone)):
            self.close()
        else:
            self.abort()


class All(Sink):
    """Several sinks as one."""

    def __init__(self, sinks: List[Sink]) -> None:
        self.sinks = sinks

    def write(self, frame: Frame, result: Result) -> None:
        """Into each, in order."""
        for sink in self.sinks:
            sink.write(frame, result)

    def end_stream(self, stream: Stream) -> None:
        """Tell each, in order."""
        for sink in self.sinks:
            sink.end_stream(stream)

    def close(self) -> None:
        """Close all, also when one fails; the last failure is raised."""
        with ExitStack() as stack:
            for sink in reversed(self.sinks):
                stack.callback(sink.close)

    def abort(self) -> None:
        """Abort all."""
        with ExitStack() as stack:
            for sink in reversed(self.sinks):
                stack.callback(sink.abort)

    @property
    def paths(self) -> List[Path]:
        """The finished files of all."""
        return [path for sink in self.sinks for path in sink.paths]

    @property
    def notes(self) -> List[str]:
        """The notes of all."""
        return [note for sink in self.sinks for note in sink.notes]


class _Abandoned(Exception):
    """How `atomic` is told to forget the file."""


class Text:
    """UTF-8 text into a file that gets its name on `close`, or ("-") to standard output.

    The file is begun at once, so a place that cannot be written shows before the work. Standard output and pipes are
    flushed at each write. Raises `OutputError`, and `ReaderGone` for a pipe that nobody reads any more.
    """

    def __init__(self, target: Target) -> None:
        self.path = None if str(target) == "-" else Path(target)
        self.finished = False
        self._stack = ExitStack()
        self._file: BinaryIO
        if self.path is None:
            # Bound now: a progress bar may put itself in the place of sys.stdout later.
            self._file = sys.stdout.buffer
        else:
            self._file = self._stack.enter_context(files.atomic(self.path))
        self._live = self.path is None or not self._file.seekable()
        self.closed = False

    def write(self, text: str) -> None:
        """Append text."""
        try:
            # A file name that is no UTF-8 comes out as it went in.
            self._file.write(text.encode("utf-8", "surrogateescape"))
            if self._live:
                self._file.flush()
        except BrokenPipeError:
            raise ReaderGone(f"nobody reads {self.path or 'standard output'} any more") from None
        except OSError as error:
            where = self.path or "to standard output"
            raise OutputError(f"cannot write {where}: {error.strerror}") from error

    def close(self) -> None:
        """Give the file its name."""
        if not self.closed:
            self.closed = True
            self._stack.close()
            self.finished = True

    def abort(self) -> None:
        """Remove the file."""
        if not self.closed:
            self.closed = True
            with suppress(OutputError):  # what is still in the buffer may not fit either; the file goes anyhow
                self._stack.__exit__(_Abandoned, _Abandoned(), None)

    @property
    def paths(self) -> List[Path]:
        """The file, once finished."""
        return [self.path] if self.path is not None and self.finished else []


class TextSink(Sink):
    """A sink that writes one text."""

    def __init__(self, target: Target) -> None:
        self._text = Text(target)

    def close(self) -> None:
        """Finish the file."""
        self._text.close()

    def abort(self) -> None:
        """Remove the file."""
        self._text.abort()

    @property
    def paths(self) -> List[Path]:
        """The file, once finished."""
        return self._text.paths
