"""Handling of Ctrl-C, SIGTERM and SIGHUP with their exit codes; and memory settings of long-running commands."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import Any, Iterator, List, NoReturn, Optional

AGAIN_S = 0.5
received = 0  # the last termination signal


class Stop(threading.Event):
    """Event set by the first Ctrl-C, SIGTERM or SIGHUP; `signal` is its number.

    A handler runs in the middle of whatever the main thread does, which may be holding the lock of an event, also
    of this one: so it takes none. Who waits looks here every `POLL_S`.
    """

    POLL_S = 0.1
    signal = 0

    def is_set(self) -> bool:
        return bool(self.signal) or super().is_set()

    def wait(self, timeout: Optional[float] = None) -> bool:
        late = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left := late - time.monotonic()) > 0:
            super().wait(min(self.POLL_S, left))
        return self.is_set()


@contextmanager
def until_signal() -> Iterator[Stop]:
    """Yield a `Stop` that the first signal sets; a second signal ends the block at once."""
    stop = Stop()

    def on_signal(number: int, frame: object) -> None:
        global received
        for name, was in before.items():
            signal.signal(name, was)
        received = stop.signal = number

    before = {name: signal.getsignal(name) for name in _ending()}
    for name in before:
        signal.signal(name, on_signal)
    try:
        yield stop
    finally:
        for name, was in before.items():
            if signal.getsignal(name) is not _end_now:
                signal.signal(name, was)


def leave_on_signals() -> None:
    """Make the first signal unwind the program like an error, and the next one end it at once."""
    global received
    received = 0
    for name in _ending():
        signal.signal(name, _leave)
    sys.unraisablehook = _unraisable


def end_on_signals() -> None:
    """Make any signal end the process at once."""
    for name in _ending():
        signal.signal(name, _end_now)
    _look_again(0)


def end(code: int) -> NoReturn:
    """End the process without Python's finalization, which aborts while a thread is inside an engine or writes."""
    os._exit(code)


def _ending() -> List[signal.Signals]:
    """Termination signals; an ignored SIGHUP (nohup) stays ignored."""
    names = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        names.append(signal.SIGHUP)
    return names


def _leave(number: int, frame: object) -> NoReturn:
    # SystemExit unwinds like an error: unfinished files are removed, without a traceback.
    global received
    received = number
    end_on_signals()
    _look_again(AGAIN_S)
    sys.exit(128 + number)


def _look_again(after_s: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _leave_again)
        signal.setitimer(signal.ITIMER_REAL, after_s, after_s)


def _leave_again(number: int, frame: object) -> None:
    """Raise SystemExit once more where the first was swallowed: some libraries catch everything while they import."""
    if not _is_unwinding(sys.exc_info()[1]):
        sys.exit(128 + received)


def _is_unwinding(error: Optional[BaseException]) -> bool:
    while error is not None and not isinstance(error, SystemExit):
        error = error.__context__
    return error is not None


def _end_now(number: int, frame: object) -> NoReturn:
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")  # a progress bar had hidden the cursor
    end(128 + number)


def _unraisable(args: Any) -> None:
    # A signal inside a destructor or a C callback: Python would only print the exception and continue.
    if isinstance(args.exc_value, SystemExit) and received:
        end(128 + received)
    sys.__unraisablehook__(args)


def return_large() -> None:
    """Make malloc return the memory of freed images; by default glibc soon keeps blocks below 32 MB."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl has none, and returns memory
        libc.mallopt(-3, 8 << 20)  # M_MMAP_THRESHOLD, which alone would return smaller images, too
        libc.mallopt(-1, 64 << 20)  # M_TRIM_THRESHOLD
        libc.mallopt(-8, 2)  # M_ARENA_MAX: memory freed by one thread is reused by others
