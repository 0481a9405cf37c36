"""What else the machine did while a row was measured: other programs, a host, a quota, a clock; from /proc and /sys.

before = disturbed.look()
...                                     # a round
around = disturbed.between(before, disturbed.look(), own_s)
causes = disturbed.causes([around, ...], governor)
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
OTHERS = 0.05  # CPUs that other programs may use before they are a cause
STEAL = 0.01  # of the wall time of a CPU
CLOCK = 0.95  # of the fastest round


@dataclass(frozen=True)
class CounterSnapshot:
    """Counters at one moment: seconds since the machine started, all CPUs together; None where nothing says it."""

    at_s: float
    busy_s: Optional[float]
    steal_s: Optional[float]
    throttled: Optional[int]
    overheated: Optional[int]
    mhz: Optional[float]


@dataclass(frozen=True)
class SystemNoise:
    """A round's surroundings: CPUs' worth of other programs and of a host's stealing, stops by a quota and for heat.

    `mhz` is the clock at its end, `board` what a Jetson says of its throttling.
    """

    others: Optional[float] = None
    steal: Optional[float] = None
    throttled: Optional[int] = None
    overheated: Optional[int] = None
    mhz: Optional[float] = None
    board: Tuple[str, ...] = ()

    def said(self) -> Dict[str, Any]:
        """As JSON."""
        return asdict(self)


def look(root: Path = ROOT) -> CounterSnapshot:
    """The counters now. Source: proc(5), cgroup-v2 `cpu.stat`, cpufreq's sysfs."""
    ticks = _ticks(root)
    # user nice system idle iowait irq softirq steal: idle, iowait and steal are nobody's work here.
    busy = sum(ticks[:3]) + sum(ticks[5:7]) if len(ticks) >= 8 else None
    steal = ticks[7] if len(ticks) >= 8 else None
    return CounterSnapshot(time.monotonic(), busy, steal, cpu.throttled(root), cpu.overheated(root), cpu.mhz(root))


def between(before: CounterSnapshot, after: CounterSnapshot, own_s: float, board: Tuple[str, ...] = ()) -> SystemNoise:
    """What lies between two looks; `own_s` are the CPU seconds that were the measurement's own."""
    wall = max(1e-6, after.at_s - before.at_s)
    busy, steal = _grown(before.busy_s, after.busy_s), _grown(before.steal_s, after.steal_s)
    return SystemNoise(
        None if busy is None else max(0.0, busy - own_s) / wall,
        None if steal is None else max(0.0, steal) / wall,
        _grown(before.throttled, after.throttled),
        _grown(before.overheated, after.overheated),
        after.mhz,
        board,
    )


def causes(rounds: Sequence[SystemNoise], governor: Optional[str]) -> List[str]:
    """What may have made a row's samples spread, most telling first; [] when nothing shows."""
    found = []
    others = _most(around.others for around in rounds)
    if others > OTHERS:
        found.append(f"other programs used up to {others:.2f} CPUs")
    steal = _most(around.steal for around in rounds)
    if steal > STEAL:
        found.append(f"the host took up to {steal:.2f} CPUs (steal)")
    stops = sum(around.throttled or 0 for around in rounds)
    if stops:
        found.append(f"the container's CPU quota stopped it {stops} times")
    heat = sum(around.overheated or 0 for around in rounds)
    if heat:
        found.append(f"the cores slowed down for heat {heat} times")
    board = dict.fromkeys(name for around in rounds for name in around.board)
    if board:
        found.append(f"the board throttled: {', '.join(board)}")
    clocks = [around.mhz for around in rounds if around.mhz]
    if clocks and min(clocks) < CLOCK * max(clocks):
        found.append(f"the clock went from {max(clocks):.0f} down to {min(clocks):.0f} MHz")
    if governor not in (None, "performance"):
        found.append(f"the CPU governor is {governor}, not performance")
    return found


def _grown(before: Optional[Number], after: Optional[Number]) -> Optional[Number]:
    return None if before is None or after is None else after - before


def _most(values: Any) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _ticks(root: Path) -> List[float]:
    """The first line of /proc/stat in seconds."""
    try:
        words = (root / "proc" / "stat").read_text("ascii").splitlines()[0].split()
    except (OSError, IndexError):
        return []
    a_second = os.sysconf("SC_CLK_TCK")
    return [int(word) / a_second for word in words[1:]] if words[0] == "cpu" else []
