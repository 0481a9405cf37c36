"""Handling of Ctrl-C, SIGTERM and SIGHUP with their exit codes; and memory settings of long-running commands."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import Any, Iterator, List, NoReturn

received = 0  # the last termination signal


class Stop(threading.Event):
    """Event set by the first Ctrl-C, SIGTERM or SIGHUP; `signal` is its number."""

    signal = 0


@contextmanager
def until_signal() -> Iterator[Stop]:
    """Yield a `Stop` that the first signal sets; a second signal ends the block at once."""
    stop = Stop()

    def on_signal(number: int, frame: object) -> None:
        global received
        received = stop.signal = number
        stop.set()
        for name, was in before.items():
            signal.signal(name, was)

    before = {name: signal.signal(name, on_signal) for name in _ending()}
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
    sys.exit(128 + number)


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
