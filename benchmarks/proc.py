"""What Linux says of a process or a thread in /proc."""

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
    """Of a folder like /proc/1 (see proc(5)). Raises `OSError` when it has ended."""
    text = (folder / "stat").read_text("utf-8", "replace")
    words = text[text.rindex(")") + 1 :].split()  # a name may hold anything
    return Stat(text[text.index("(") + 1 : text.rindex(")")], (int(words[11]) + int(words[12])) / TICK, int(words[19]))
