"""Standard input, output and error, also when they are closed, full or read by nobody."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Optional, TextIO

from ..errors import EdgecspError, OutputError, ReaderGone
from ._logging import fail


class _Output(io.FileIO):
    """Standard output, whose failures are errors of ours: click would make exit code 1 of them."""

    def write(self, data: Any) -> int:
        """Write bytes. Raises `ReaderGone` and `OutputError`."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise ReaderGone("nobody reads standard output any more") from None
        except OSError as error:
            raise OutputError(f"cannot write to standard output: {error.strerror}") from error


class _ErrorStream(io.FileIO):
    """Standard error: a message that nobody can read any more (a terminal that was closed) stops no work."""

    def write(self, data: Any) -> int:
        """Write bytes, or drop them."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def secure() -> None:
    """Put our own files in the place of `sys.stdout` and `sys.stderr`, and take the numbers 0 to 2 where they are free.

    A result file that got number 1 or 2 would be mixed with what libraries print. What is closed stays unusable: it is
    /dev/null, opened the other way round.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, flags)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
    if sys.stdout is sys.__stdout__:  # not where a test or a program that calls us has put its own
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_ErrorStream(2, "w", closefd=False), sys.stderr, line_buffering=True)


def _text(raw: io.FileIO, before: Optional[TextIO], *, line_buffering: bool = False) -> io.TextIOWrapper:
    """A text file like the one that was there before."""
    unbuffered = bool(getattr(before, "write_through", False))  # python -u
    buffer: Any = raw if unbuffered else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer,
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors=getattr(before, "errors", None) or "backslashreplace",
        line_buffering=line_buffering or raw.isatty(),
        write_through=unbuffered,
    )


def flush(code: int) -> int:
    """Write what standard output still holds; the exit code, which is 0 only if that could be written."""
    try:
        sys.stdout.flush()
    except EdgecspError as error:
        null = os.open(os.devnull, os.O_WRONLY)  # Python flushes once more at its end
        os.dup2(null, 1)
        os.close(null)
        if code == 0:
            code = error.exit_code
            if not error.silent:
                fail(error)
    sys.stderr.flush()
    return code
