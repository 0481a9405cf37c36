"""Ctrl-C and SIGTERM for commands that have something to finish first, and the memory of those that run for long."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from contextlib import contextmanager
from typing import Iterator


class Stop(threading.Event):
    """Set by the first Ctrl-C (or SIGTERM), whose number is `signal`: what is at hand is finished, then the files."""

    signal = 0


@contextmanager
def until_signal() -> Iterator[Stop]:
    """A `Stop` that is set when the user wants the block to end; asked a second time, it ends at once."""
    stop = Stop()

    def asked(number: int, frame: object) -> None:
        stop.signal = number
        stop.set()
        for name, was in before.items():
            signal.signal(name, was)

    before = {name: signal.signal(name, asked) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for name, was in before.items():
            signal.signal(name, was)


def return_large() -> None:
    """Have large pictures' memory returned when they are freed: left alone, glibc soon keeps all below 32 MB."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl's has none, and returns it
        libc.mallopt(-3, 8 << 20)  # M_MMAP_THRESHOLD, which alone would have every smaller picture returned as well
        libc.mallopt(-1, 64 << 20)  # M_TRIM_THRESHOLD
        libc.mallopt(-8, 2)  # M_ARENA_MAX: what one thread has freed is there for the others
