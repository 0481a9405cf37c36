"""Find the fastest of many candidates in little time: measure each briefly, drop the slower half, and repeat.

Every candidate is a process of its own (`process`, `_worker`). The remaining ones are measured in turn, forwards and
backwards, so that interference affects all alike; a figure is of the last stretch that a candidate was in.
Source: successive halving (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification", 2016).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..backends.tuning import Candidate
from ..errors import EdgecspError
from ..system import cpu, memory
from . import stats
from ._rounds import PAUSE_S, SHARE, process_bytes, take_round
from ._tasks import backlog_size
from .process import Process
from .results import Timing

WARM_S = 0.5
ENTRY_S = 0.3  # a candidate's first two rounds
FAR = 2.0  # times as slow as the best: dropped after those
NEAR = 1.05  # times the best: not dropped with the slower half
TURNS, LAST_TURNS = 2, 12  # rounds of each candidate in a stretch, and in the last one
LAST = 0.4  # share of the time that is reserved for the last stretch
ALONE_S = 2.0  # for the last stretch when one candidate is left
MOST_PAUSE_S = 2.0


@dataclass
class ContestRow:
    """A candidate in one contest, `kind` "latency" or "throughput".

    `since` is how many rounds came before its last stretch; `dropped` is the reason.
    `default` is what "auto" does untuned: it stays to the end. `is_requested` is False for a row of comparison.
    """

    candidate: Candidate
    kind: str
    default: bool = False
    is_requested: bool = True
    timing: Timing = field(default_factory=Timing)
    since: int = 0
    dropped: str = ""

    @property
    def last(self) -> Timing:
        """The rounds of its last stretch, or all rounds if it had none there."""
        return self.timing.after(self.since) if len(self.timing.rounds) > self.since else self.timing

    @property
    def rounds(self) -> List[List[float]]:
        """Milliseconds per image of all rounds."""
        return self.timing.per_image

    @property
    def means(self) -> List[float]:
        """The mean milliseconds per image of each round of its last stretch."""
        return [stats.mean(each) for each in self.last.per_image]

    @property
    def ranked(self) -> List[List[float]]:
        """The rounds that the bootstrap draws from: for throughput a round is one sample, its mean."""
        return self.last.per_image if self.kind == "latency" else [[mean] for mean in self.means]

    @property
    def ms(self) -> float:
        """The figure to rank by: the median image's milliseconds, or milliseconds per image of the median round."""
        return stats.median([ms for each in self.ranked for ms in each])

    @property
    def quiet_ms(self) -> float:
        """Milliseconds per image of its best round, which decides who is dropped: other programs only ever add time."""
        return min(stats.round_medians(self.rounds))

    def to_dict(self) -> Dict[str, Any]:
        """The row as plain values; figures are None if it was never measured."""
        figures: Dict[str, Any] = dict.fromkeys(("p50_ms", "p90_ms", "fps", "cpu_ms"))
        unstable, causes = self.last.find_causes(cpu.governor()) if self.timing.rounds else (False, [])
        if self.timing.rounds:
            samples = [ms for each in self.last.per_image for ms in each]
            figures = {
                "p50_ms": stats.median(samples),
                "p90_ms": stats.percentile(samples, 0.9),
                "fps": 1e3 / stats.median(self.means),
                "cpu_ms": stats.mean(self.last.cpu_ms) / self.timing.per_sample,
            }
        return {
            "kind": self.kind, **vars(self.candidate), "default": self.default, **figures,
            "rounds": len(self.timing.rounds), "samples": len(self.timing.ms), "dropped": self.dropped or None,
            "unstable": unstable, "causes": causes,
        }  # fmt: skip


@dataclass
class Contest:
    """One contest: `run` measures the rows in place until the monotonic clock says `ends`.

    `request` builds the request to a row's worker, `bytes_each` is the model's size; `show` displays progress and
    `tick` may raise `BenchStopped`. Always close it.
    """

    request: Callable[[ContestRow], Dict[str, Any]]
    bytes_each: int
    ends: float
    show: Callable[[str], None]
    tick: Callable[[], None]
    _open: Dict[int, Process] = field(default_factory=dict)

    def run(self, rows: Sequence[ContestRow]) -> None:
        """Measure the rows; `BenchStopped` passes through."""
        begun = time.monotonic()
        left = self._admit(rows, begun + (1 - LAST) * (self.ends - begun))
        for stretch in range(_halvings(len(left)), 0, -1):
            left = self._halve(left)
            self._stretch(left, self._left_s() * (1 - LAST) / stretch, TURNS)
            left = [row for row in left if not row.dropped]
        self._stretch(left, self._left_s() if len(left) > 1 else min(ALONE_S, self._left_s()), LAST_TURNS)

    def close(self) -> None:
        """End the workers."""
        while self._open:
            self._open.popitem()[1].close()

    def _left_s(self) -> float:
        return max(0.0, self.ends - time.monotonic())

    def _admit(self, rows: Sequence[ContestRow], until: float) -> List[ContestRow]:
        """Measure each row twice, the default first, then backwards; drop rows that are far behind."""
        left: List[ContestRow] = []
        for row in sorted(rows, key=lambda row: not row.default):
            if any(each.is_requested for each in left) and time.monotonic() > until:
                row.dropped = "not measured: out of time; give more with --seconds"
                continue
            self._round(row, ENTRY_S)
            left += [] if row.dropped else [row]
        for row in reversed(left):
            self._round(row, ENTRY_S)
        best = min((row.quiet_ms for row in left if row.is_requested and not row.dropped), default=math.inf)
        for row in left:
            if not row.dropped and not row.default and row.quiet_ms > FAR * best:
                self._drop(row, best)
        return [row for row in left if not row.dropped]

    def _halve(self, rows: Sequence[ContestRow]) -> List[ContestRow]:
        """Keep the faster half of the requested rows, rows near the best, and the default."""
        order = sorted((row for row in rows if row.is_requested), key=lambda row: row.quiet_ms)
        for row in order[math.ceil(len(order) / 2) :]:
            if row.quiet_ms > NEAR * order[0].quiet_ms and not row.default:
                self._drop(row, order[0].quiet_ms)
        return [row for row in rows if not row.dropped]

    def _drop(self, row: ContestRow, best: float) -> None:
        row.dropped = f"{row.quiet_ms / best:.2f} times as slow as the best, each at its best"
        self._close(row)

    def _stretch(self, rows: Sequence[ContestRow], seconds: float, turns: int) -> None:
        """Measure all rows in turn, forwards and backwards; figures start afresh. Ends early if the time is up."""
        if not rows:
            return
        for row in rows:
            row.since = len(row.timing.rounds)
        ends = time.monotonic() + seconds
        for turn in range(turns):
            for row in rows if turn % 2 == 0 else reversed(rows):
                if not row.dropped:
                    self._round(row, seconds / turns / len(rows))
            if turn and time.monotonic() > ends:
                break

    def _round(self, row: ContestRow, seconds: float) -> None:
        """Run one round of a row, opening its process if needed; a process that fails drops its row."""
        self.tick()
        self.show(f"{row.kind}: {row.candidate}")
        try:
            process = self._open.get(id(row)) or Process(self.request(row), str(row.candidate), self.tick)
            self._open[id(row)] = process
            take_round(process, row.timing, seconds)
        except EdgecspError as error:
            row.dropped = " ".join(str(error).split())
            self._close(row)
            return
        if not self._has_room(row):
            self._close(row)
        elif row.kind == "throughput":  # it goes on until its backlog is full
            time.sleep(min(MOST_PAUSE_S, backlog_size(row.candidate.at_once) * row.ms / 1e3))
        time.sleep(PAUSE_S)

    def _has_room(self, row: ContestRow) -> bool:
        """Whether there is memory for another process beside the open ones."""
        free = memory.free()
        return free is None or process_bytes(row.candidate.device, self.bytes_each) < SHARE * free.available

    def _close(self, row: ContestRow) -> None:
        process = self._open.pop(id(row), None)
        if process:
            process.close()


def _halvings(count: int) -> int:
    """How often `count` rows are halved until two are left."""
    return max(0, math.ceil(math.log2(max(1, count))) - 1)


def winner(rows: Sequence[ContestRow]) -> Tuple[Optional[ContestRow], Optional[Tuple[float, float]]]:
    """Return the best requested row that was measured to the end, and how much faster than the default it is.

    The second value is the 95 % interval of the default's time over the winner's; None without a default, or when it
    wins. A row that is not faster than the default beyond the noise does not win against it.
    """
    final = sorted((row for row in rows if row.rounds and not row.dropped), key=lambda row: row.ms)
    requested = [row for row in final if row.is_requested]
    default = next((row for row in final if row.default), None)
    if not requested or default is None or requested[0] is default:
        return (requested[0] if requested else None), None
    low, high = stats.ratio_interval(default.ranked, requested[0].ranked)
    if low <= 1 and default.is_requested:
        return default, None
    return requested[0], (low, high)
