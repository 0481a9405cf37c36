"""Ctrl-C, SIGTERM, SIGHUP: what is finished first, and the code; and the memory of commands that run for long."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import Any, Iterator, List, NoReturn

received = 0  # the last signal that asked us to end


class Stop(threading.Event):
    """Set by the first Ctrl-C, SIGTERM or SIGHUP, the number of which is `signal`: what is at hand is finished."""

    signal = 0


@contextmanager
def until_signal() -> Iterator[Stop]:
    """Give a `Stop` that is set when the user wants the block to end; asked a second time, it ends at once."""
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
    """Have the first signal unwind the program as an error does, and the next one end it at once."""
    global received
    received = 0
    for name in _ending():
        signal.signal(name, _leave)
    sys.unraisablehook = _unraisable


def end_on_signals() -> None:
    """Have any signal from now on end the process at once."""
    for name in _ending():
        signal.signal(name, _end_now)


def end(code: int) -> NoReturn:
    """End the process without Python's own end, which aborts when a thread is still inside of an engine or writes."""
    os._exit(code)


def _ending() -> List[signal.Signals]:
    """What asks us to end; a SIGHUP that is ignored (nohup) stays so."""
    names = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        names.append(signal.SIGHUP)
    return names


def _leave(number: int, frame: object) -> NoReturn:
    # SystemExit unwinds the way an error does: what is half-written goes, and no traceback is shown.
    global received
    received = number
    end_on_signals()
    sys.exit(128 + number)


def _end_now(number: int, frame: object) -> NoReturn:
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")  # a progress bar had hidden the cursor
    end(128 + number)


def _unraisable(args: Any) -> None:
    # The signal came inside of a destructor or a C library's callback: it would be printed, and forgotten.
    if isinstance(args.exc_value, SystemExit) and received:
        end(128 + received)
    sys.__unraisablehook__(args)


def return_large() -> None:
    """Have large pictures' memory returned when they are freed: left alone, glibc soon keeps all below 32 MB."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl's has none, and returns it
        libc.mallopt(-3, 8 << 20)  # M_MMAP_THRESHOLD, which alone would have every smaller picture returned as well
        libc.mallopt(-1, 64 << 20)  # M_TRIM_THRESHOLD
        libc.mallopt(-8, 2)  # M_ARENA_MAX: what one thread has freed is there for the others
