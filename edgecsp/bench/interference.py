"""Interference while a row was measured (other programs, the host, a CPU quota, clocks), from /proc and /sys.

before = interference.take_snapshot()
...                                     # a round
noise = interference.compute_noise(before, interference.take_snapshot(), own_s)
causes = interference.find_causes([noise, ...], governor)
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, TypeVar

from ..system import cpu

Number = TypeVar("Number", int, float)
ROOT = Path("/")
OTHERS = 0.05  # CPUs that other programs may use before they count as a cause
STEAL = 0.01  # share of a CPU's wall time
CLOCK = 0.95  # share of the fastest round's clock


@dataclass(frozen=True)
class CounterSnapshot:
    """Counters at one moment, in seconds since the machine started, summed over all CPUs; None if not available."""

    at_s: float
    busy_s: Optional[float]
    steal_s: Optional[float]
    throttled: Optional[int]
    overheated: Optional[int]
    mhz: Optional[float]


@dataclass(frozen=True)
class SystemNoise:
    """Interference during one round: CPUs used by other programs and stolen by the host, quota and thermal throttling.

    `mhz` is the clock at its end, `board` a Jetson's throttling events.
    """

    others: Optional[float] = None
    steal: Optional[float] = None
    throttled: Optional[int] = None
    overheated: Optional[int] = None
    mhz: Optional[float] = None
    board: Tuple[str, ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """The noise as plain values."""
        return asdict(self)


def take_snapshot(root: Path = ROOT) -> CounterSnapshot:
    """Read the counters now. Source: proc(5), cgroup-v2 `cpu.stat`, cpufreq's sysfs."""
    ticks = _ticks(root)
    # user nice system idle iowait irq softirq steal: idle, iowait and steal are not work of this machine.
    busy = sum(ticks[:3]) + sum(ticks[5:7]) if len(ticks) >= 8 else None
    steal = ticks[7] if len(ticks) >= 8 else None
    return CounterSnapshot(
        time.monotonic(), busy, steal, cpu.throttle_count(root), cpu.overheat_count(root), cpu.mhz(root)
    )


def compute_noise(
    before: CounterSnapshot, after: CounterSnapshot, own_s: float, board: Tuple[str, ...] = ()
) -> SystemNoise:
    """Compute the noise between two snapshots; `own_s` is the CPU time of the measurement itself, in seconds."""
    wall = max(1e-6, after.at_s - before.at_s)
    busy, steal = _increase(before.busy_s, after.busy_s), _increase(before.steal_s, after.steal_s)
    return SystemNoise(
        None if busy is None else max(0.0, busy - own_s) / wall,
        None if steal is None else max(0.0, steal) / wall,
        _increase(before.throttled, after.throttled),
        _increase(before.overheated, after.overheated),
        after.mhz,
        board,
    )


def find_causes(rounds: Sequence[SystemNoise], governor: Optional[str]) -> List[str]:
    """List likely causes of a row's spread, the most likely first; [] when none is found."""
    likely = []
    others = _maximum(noise.others for noise in rounds)
    if others > OTHERS:
        likely.append(f"other programs used up to {others:.2f} CPUs")
    steal = _maximum(noise.steal for noise in rounds)
    if steal > STEAL:
        likely.append(f"the host took up to {steal:.2f} CPUs (steal)")
    stops = sum(noise.throttled or 0 for noise in rounds)
    if stops:
        likely.append(f"the container's CPU quota stopped it {stops} times")
    heat = sum(noise.overheated or 0 for noise in rounds)
    if heat:
        likely.append(f"the cores slowed down for heat {heat} times")
    board = dict.fromkeys(name for noise in rounds for name in noise.board)
    if board:
        likely.append(f"the board throttled: {', '.join(board)}")
    clocks = [noise.mhz for noise in rounds if noise.mhz]
    if clocks and min(clocks) < CLOCK * max(clocks):
        likely.append(f"the clock went from {max(clocks):.0f} down to {min(clocks):.0f} MHz")
    if governor not in (None, "performance"):
        likely.append(f"the CPU governor is {governor}, not performance")
    return likely


def _increase(before: Optional[Number], after: Optional[Number]) -> Optional[Number]:
    return None if before is None or after is None else after - before


def _maximum(values: Any) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _ticks(root: Path) -> List[float]:
    """Read the first line of /proc/stat, in seconds."""
    try:
        words = (root / "proc" / "stat").read_text("ascii").splitlines()[0].split()
    except (OSError, IndexError):
        return []
    a_second = os.sysconf("SC_CLK_TCK")
    return [int(word) / a_second for word in words[1:]] if words[0] == "cpu" else []
