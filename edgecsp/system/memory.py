"""Memory that a process may still take here before the kernel kills it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

ROOT = Path("/")


@dataclass(frozen=True)
class Memory:
    """Bytes that are free: of memory, without swapping, and of swap."""

    available: int
    swap: int

    def __str__(self) -> str:
        return f"{self.available >> 20} MB of memory and {self.swap >> 20} MB of swap are free"


def free(root: Path = ROOT) -> Optional[Memory]:
    """Free memory, the container's limit counted; None where the kernel does not say. Source: proc(5)."""
    fields = _fields(root / "proc" / "meminfo")
    if "MemAvailable" not in fields:
        return None
    available = fields["MemAvailable"] << 10
    group = root / "sys" / "fs" / "cgroup"
    most, used = _number(group / "memory.max"), _number(group / "memory.current")
    if most is not None and used is not None:
        available = min(available, max(0, most - used))
    return Memory(available, fields.get("SwapFree", 0) << 10)


def total() -> Optional[int]:
    """Bytes of memory in the machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def peak(root: Path = ROOT) -> Optional[int]:
    """Bytes that this process had in memory at its fullest; None where the kernel does not say. Source: proc(5)."""
    fields = _fields(root / "proc" / "self" / "status")
    return fields["VmHWM"] << 10 if "VmHWM" in fields else None


def kernel_kills(root: Path = ROOT) -> Optional[int]:
    """Number of processes that the kernel has killed for want of memory since it started; None before Linux 4.13."""
    return _fields(root / "proc" / "vmstat").get("oom_kill")


def _fields(place: Path) -> Dict[str, int]:
    """ "Name:  123 kB" lines, the way the kernel writes them."""
    try:
        lines = place.read_text("ascii").splitlines()
    except OSError:
        return {}
    pairs = (line.replace(":", " ").split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) >= 2 and pair[1].isdigit()}


def _number(place: Path) -> Optional[int]:
    try:
        text = place.read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit
