"""Standard input, output and error, including closed, full or broken ones."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Optional, TextIO

from ..errors import EdgecspError, OutputError, ReaderGone
from ._logging import fail


class _Output(io.FileIO):
    """Standard output that raises errors of this package; click would turn them into exit code 1."""

    def write(self, data: Any) -> int:
        """Write bytes. Raises `ReaderGone` and `OutputError`."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise ReaderGone("the reader of standard output has gone") from None
        except OSError as error:
            raise OutputError(f"cannot write to standard output: {error.strerror}") from error


class _ErrorStream(io.FileIO):
    """Standard error that ignores write errors (a closed terminal), so that work continues."""

    def write(self, data: Any) -> int:
        """Write bytes, or drop them."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def secure() -> None:
    """Replace `sys.stdout` and `sys.stderr`, and occupy the file descriptors 0 to 2 where they are closed.

    Otherwise a result file could get descriptor 1 or 2 and be mixed with output of libraries. A closed stream stays
    unusable: it becomes /dev/null, opened in the wrong direction.
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
    if sys.stdout is sys.__stdout__:  # unless a test or an embedding program replaced it
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_ErrorStream(2, "w", closefd=False), sys.stderr, line_buffering=True)


def _text(raw: io.FileIO, before: Optional[TextIO], *, line_buffering: bool = False) -> io.TextIOWrapper:
    """Wrap a raw file with the text settings of the previous stream."""
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
    """Flush standard output; return the exit code, which is 0 only if that succeeded."""
    try:
        sys.stdout.flush()
    except EdgecspError as error:
        null = os.open(os.devnull, os.O_WRONLY)  # Python flushes again at exit
        os.dup2(null, 1)
        os.close(null)
        if code == 0:
            code = error.exit_code
            if not error.silent:
                fail(error)
    sys.stderr.flush()
    return code
