"""The CPU and the number of threads to use. Details are read on Linux; elsewhere every CPU counts."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Collection, FrozenSet, Iterator, List, Optional, Tuple

ROOT = Path("/")
# What decides an engine's speed, as the kernel spells it (x86, then Arm) and as people do.
_ISA = (
    ("avx2", "AVX2"),
    ("avx512f", "AVX-512"),
    ("avx_vnni", "AVX-VNNI"),
    ("avx512_vnni", "AVX-512 VNNI"),
    ("avx512_bf16", "AVX-512 BF16"),
    ("avx512_fp16", "AVX-512 FP16"),
    ("amx_int8", "AMX int8"),
    ("amx_bf16", "AMX BF16"),
    ("asimd", "NEON"),
    ("asimdhp", "NEON fp16"),
    ("asimddp", "NEON dot product"),
    ("i8mm", "int8 matrices"),
    ("sve", "SVE"),
)


def threads(root: Path = ROOT, allowed: Optional[Collection[int]] = None) -> int:
    """The default number of threads: physical cores of this process, within a container's quota.

    `allowed` are the logical CPUs to count among [default: this process's affinity].
    """
    cores = physical(affinity() if allowed is None else allowed, root)
    share = quota(root)
    # Rounded down: a thread more than the quota buys is stopped by the kernel in the middle of a frame.
    return max(1, cores if share is None else min(cores, int(share)))


def affinity() -> FrozenSet[int]:
    """The logical CPUs this process may run on: taskset and a container's cpuset count, not the machine's total."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def physical(cpus: Collection[int], root: Path = ROOT) -> int:
    """Number of cores of some logical CPUs: SMT siblings share one. Source: sysfs-devices-system-cpu."""
    cores = set()
    for cpu in cpus:
        topology = root / "sys" / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
        # The first name is the kernel's since 5.7, the second what a Jetson's 4.9 and 5.10 have too.
        siblings = _text(topology / "core_cpus_list") or _text(topology / "thread_siblings_list")
        cores.add(siblings or str(cpu))
    return len(cores)


def quota(root: Path = ROOT) -> Optional[float]:
    """CPUs that the control groups above this process allow it, 1.5 for one and a half; None for no limit.

    Source: cgroup-v2 `cpu.max`, cgroup-v1 `cpu.cfs_quota_us`. The tightest of the groups up to the root holds.
    """
    limits = []
    for group in _groups(root):
        words = (_text(group / "cpu.max") or "").split()
        if not words:
            words = [_text(group / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
        # Without a limit, version 2 says "max" and version 1 says -1.
        if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def throttle_count(root: Path = ROOT) -> Optional[int]:
    """Number of times that the quota stopped the control groups above this process; None where none counts that.

    Source: cgroup-v2 and -v1 `cpu.stat`, `nr_throttled`.
    """
    counts = []
    for group in dict.fromkeys(_groups(root)):
        for line in (_text(group / "cpu.stat") or "").splitlines():
            key, _, value = line.partition(" ")
            if key == "nr_throttled" and value.isdigit():
                counts.append(int(value))
    return sum(counts) if counts else None


def overheat_count(root: Path = ROOT) -> Optional[int]:
    """Number of times that the cores slowed down for heat since the start; None where it is not counted (Intel does).

    Source: sysfs-devices-system-cpu, `thermal_throttle`.
    """
    folder = root / "sys" / "devices" / "system" / "cpu"
    texts = (_text(place) or "" for place in folder.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    counts = [int(text) for text in texts if text.isdigit()]
    return sum(counts) if counts else None


def governor(root: Path = ROOT) -> Optional[str]:
    """The governor of the CPUs' clocks ("performance", "schedutil"); None where the kernel leaves them alone."""
    return _text(root / "sys" / "devices" / "system" / "cpu" / "cpu0" / "cpufreq" / "scaling_governor")


def mhz(root: Path = ROOT) -> Optional[float]:
    """The fastest clock of the CPUs now; None where the kernel does not say. Source: cpufreq, /proc/cpuinfo."""
    folder = root / "sys" / "devices" / "system" / "cpu"
    texts = (_text(place) or "" for place in folder.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    clocks = [int(text) / 1e3 for text in texts if text.isdigit()]
    if not clocks:
        clocks = [float(text) for text in _fields("cpu MHz", root) if text.replace(".", "").isdigit()]
    return max(clocks, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Folders of this process's CPU control group and of those above it."""
    mounts = root / "sys" / "fs" / "cgroup"
    for line in (_text(root / "proc" / "self" / "cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # A container may see the host's path and have its own group mounted at the top: both are tried.
        mount = mounts / controllers if controllers else mounts
        below = Path(path.lstrip("/"))
        yield from (mount / part for part in (below, *below.parents))


def isa(root: Path = ROOT) -> Tuple[str, ...]:
    """The instruction sets that matter here, as people call them; () where the kernel does not list them."""
    listed = set(_field("flags", root).split()) | set(_field("Features", root).split())
    return tuple(name for flag, name in _ISA if flag in listed)


def name(root: Path = ROOT) -> str:
    """The name of the CPU, or of its board."""
    board = (_text(root / "proc" / "device-tree" / "model") or "").strip("\0")
    return board or _field("model name", root) or platform.processor() or platform.machine()


def is_x86() -> bool:
    """Whether this Python runs as x86 code."""
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


def _field(key: str, root: Path) -> str:
    """The first value of a key in /proc/cpuinfo."""
    return next(_fields(key, root), "")


def _fields(key: str, root: Path) -> Iterator[str]:
    for line in (_text(root / "proc" / "cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            yield value.strip()


def _text(path: Path) -> Optional[str]:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None


def describe() -> List[Tuple[str, object]]:
    """Name, instruction sets, CPUs, cores, quota and default threads of this machine, for people and for JSON."""
    allowed = affinity()
    return [
        ("name", name()),
        ("machine", platform.machine()),
        ("isa", list(isa())),
        ("logical", os.cpu_count() or 1),
        ("allowed", len(allowed)),
        ("cores", physical(allowed)),
        ("quota", quota()),
        ("threads", threads()),
    ]
