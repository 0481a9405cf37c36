"""Base class of sinks, and text output to a file (complete or absent) or standard output."""

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
    """Receives every frame with its result; `close` finishes the output, `abort` removes unfinished files.

    A file appears only once it is complete. As a context manager it is closed at the end, and also when the run was
    stopped (Ctrl-C, a failed source, a closed pipe), because the output so far is valid. Any other error aborts it.
    Raises `OutputError`.
    """

    def write(self, frame: Frame, result: Result) -> None:
        """Write one frame and its result."""
        raise NotImplementedError

    def end_stream(self, stream: Stream) -> None:
        """Finish what belongs to a stream that had its last frame."""

    def close(self) -> None:
        """Finish the files; a second call does nothing."""

    def abort(self) -> None:
        """Remove unfinished files; does nothing after `close`."""

    @property
    def paths(self) -> List[Path]:
        """Finished files."""
        return []

    @property
    def notes(self) -> List[str]:
        """Notes for the user about the files."""
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
        self.sinks, self._is_empty = sinks, True

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is not None and issubclass(kind, SourceError) and self._is_empty:
            self.abort()  # a source without a frame: files of an earlier run are not replaced by empty ones
        else:
            super().__exit__(kind, error, trace)

    def write(self, frame: Frame, result: Result) -> None:
        """Write to each, in order."""
        self._is_empty = False
        for sink in self.sinks:
            sink.write(frame, result)

    def end_stream(self, stream: Stream) -> None:
        """End the stream in each, in order."""
        for sink in self.sinks:
            sink.end_stream(stream)

    def close(self) -> None:
        """Close all, even if one fails; raise the last failure."""
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
        """Finished files of all."""
        return [path for sink in self.sinks for path in sink.paths]

    @property
    def notes(self) -> List[str]:
        """Notes of all."""
        return [note for sink in self.sinks for note in sink.notes]


class _Abandoned(Exception):
    """Raised into `files.atomic` to discard the file."""


class Text:
    """UTF-8 text to a file that appears on `close`, or ("-") to standard output.

    The file is opened at once, so that an unwritable path is reported before the work. Standard output and pipes are
    flushed at each write. Raises `OutputError`, and `ReaderGone` for a closed pipe.
    """

    def __init__(self, target: Target) -> None:
        self.path = None if str(target) == "-" else Path(target)
        self.finished = False
        self._stack = ExitStack()
        self._file: BinaryIO
        if self.path is None:
            # Resolved now: a progress bar may replace sys.stdout later.
            self._file = sys.stdout.buffer
        else:
            self._file = self._stack.enter_context(files.atomic(self.path))
        self._live = self.path is None or not self._file.seekable()
        self.closed = False

    def write(self, text: str) -> None:
        """Append text."""
        try:
            # Keeps file names that are not UTF-8.
            self._file.write(text.encode("utf-8", "surrogateescape"))
            if self._live:
                self._file.flush()
        except BrokenPipeError:
            raise ReaderGone(f"the reader of {self.path or 'standard output'} has gone") from None
        except OSError as error:
            where = self.path or "to standard output"
            raise OutputError(f"cannot write {where}: {error.strerror}") from error

    def close(self) -> None:
        """Finish the file under its name."""
        if not self.closed:
            self.closed = True
            self._stack.close()
            self.finished = True

    def abort(self) -> None:
        """Remove the file."""
        if not self.closed:
            self.closed = True
            with suppress(OutputError):  # flushing the buffer may fail; the file is removed anyway
                self._stack.__exit__(_Abandoned, _Abandoned(), None)

    @property
    def paths(self) -> List[Path]:
        """The file, if finished."""
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
        """The file, if finished."""
        return self._text.paths
