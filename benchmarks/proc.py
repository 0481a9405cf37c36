"""Figures of a process or a thread from Linux's /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """Its short name, CPU seconds of user and kernel, and when it began (ticks since the machine did)."""

    name: str
    cpu_s: float
    begun: int


def stat(folder: Path) -> Stat:
    """Read a folder like /proc/1 (see proc(5)). Raises `OSError` when it has ended."""
    text = (folder / "stat").read_text("utf-8", "replace")
    words = text[text.rindex(")") + 1 :].split()  # a name may hold anything
    return Stat(text[text.index("(") + 1 : text.rindex(")")], (int(words[11]) + int(words[12])) / TICK, int(words[19]))


def resident(folder: Path) -> int:
    """Bytes of a process in memory. Raises `OSError`."""
    return _status(folder, "VmRSS")


def peak(folder: Path) -> int:
    """The most bytes of it that were in memory since it began, or since `forget_peak`. Raises `OSError`."""
    return _status(folder, "VmHWM")


def forget_peak(folder: Path) -> None:
    """Let the peak be what is in memory now. Raises `OSError`."""
    (folder / "clear_refs").write_text("5")


def _status(folder: Path, key: str) -> int:
    lines = (folder / "status").read_text("utf-8", "replace").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))
