"""Find the fastest of many candidates in little time: measure each a little, drop the slower half, and again.

Every candidate is a process of its own (`_process`, `_worker`). Those that are left take turns, there and back, so that
what disturbs one disturbs all; a figure is of the last stretch that a candidate was in, as its rivals' are.
Source: successive halving (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification", 2016).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..backends.tuning import Candidate
from ..errors import EdgecspError
from ..system import memory
from ..types import Array
from . import stats
from ._process import Process
from ._rounds import PAUSE_S, SHARE, SILENCE_S, process_bytes
from ._timed import backlog

WARM_S = 0.5
ENTRY_S = 0.3  # a candidate's first two rounds
FAR = 2.0  # times as slow as the best: it leaves after those
NEAR = 1.05  # of the best: it stays when half of them leave
TURNS, LAST_TURNS = 2, 12  # of a stretch, and of the last one
LAST = 0.4  # of the time that is for the last stretch alone
ALONE_S = 2.0  # for the last stretch when nobody else is in it
MOST_PAUSE_S = 2.0


@dataclass
class ContestRow:
    """A candidate in one contest, `kind` "latency" or "throughput".

    `rounds` are milliseconds a picture, `since` counts those before its last stretch; `dropped` says why it left.
    `default` is what "auto" does untuned: it stays to the end. `asked`: False where it is there for comparison alone.
    """

    candidate: Candidate
    kind: str
    default: bool = False
    asked: bool = True
    rounds: List[List[float]] = field(default_factory=list)
    cpu_ms: List[float] = field(default_factory=list)
    since: int = 0
    dropped: str = ""

    @property
    def last(self) -> List[List[float]]:
        """The rounds of its last stretch, or all if it had none there."""
        return self.rounds[self.since :] or self.rounds

    @property
    def samples(self) -> List[float]:
        """Their milliseconds."""
        return [ms for each in self.last for ms in each]

    @property
    def ms(self) -> float:
        """What it is judged by: the median picture's milliseconds, or a picture's share of the median round."""
        return float(np.median(self.samples if self.kind == "latency" else self.means))

    @property
    def means(self) -> Array:
        """(rounds,) milliseconds a picture on average, of the rounds of its last stretch."""
        means: Array = np.array([np.mean(each) for each in self.last])
        return means

    @property
    def quiet_ms(self) -> float:
        """Its best round's milliseconds a picture: other programs only ever add to it, so it says who has to leave."""
        return min(float(np.median(each)) for each in self.rounds)

    def said(self) -> Dict[str, Any]:
        """As JSON; figures are None for one that was never measured."""
        figures: Dict[str, Any] = dict.fromkeys(("p50_ms", "p90_ms", "fps", "cpu_ms"))
        if self.rounds:
            figures = {
                "p50_ms": float(np.median(self.samples)),
                "p90_ms": stats.percentile(self.samples, 0.9),
                "fps": 1e3 / float(np.median(self.means)),
                "cpu_ms": float(np.mean(self.cpu_ms[self.since :] or self.cpu_ms)),
            }
        return {
            "kind": self.kind, **vars(self.candidate), "default": self.default, **figures,
            "rounds": len(self.rounds), "samples": sum(map(len, self.rounds)), "dropped": self.dropped or None,
        }  # fmt: skip


class Contest:
    """One contest: `run` measures the rows in place until the monotonic clock says `ends`.

    `request` is what a row's worker is asked, `bytes_each` the model's size; `show` is called with what is being
    done and `tick` may raise `Stopped`. Close it in any case.
    """

    def __init__(
        self,
        request: Callable[[ContestRow], Dict[str, Any]],
        bytes_each: int,
        ends: float,
        show: Callable[[str], None],
        tick: Callable[[], None],
    ) -> None:
        self._request, self._size, self._ends = request, bytes_each, ends
        self._show, self._tick = show, tick
        self._open: Dict[int, Process] = {}

    def run(self, rows: Sequence[ContestRow]) -> None:
        """Measure them; `Stopped` passes through."""
        begun = time.monotonic()
        left = self._entered(rows, begun + (1 - LAST) * (self._ends - begun))
        for stretch in range(_halvings(len(left)), 0, -1):
            left = self._halved(left)
            self._stretch(left, self._left_s() * (1 - LAST) / stretch, TURNS)
            left = [row for row in left if not row.dropped]
        self._stretch(left, self._left_s() if len(left) > 1 else min(ALONE_S, self._left_s()), LAST_TURNS)

    def close(self) -> None:
        """End the workers."""
        while self._open:
            self._open.popitem()[1].close()

    def _left_s(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def _entered(self, rows: Sequence[ContestRow], until: float) -> List[ContestRow]:
        """Each measured twice, there and back, the default first; what is far behind leaves."""
        left: List[ContestRow] = []
        for row in sorted(rows, key=lambda row: not row.default):
            if any(each.asked for each in left) and time.monotonic() > until:
                row.dropped = "not measured: the time was up; more: --seconds"
                continue
            self._round(row, ENTRY_S)
            left += [] if row.dropped else [row]
        for row in reversed(left):
            self._round(row, ENTRY_S)
        best = min((row.quiet_ms for row in left if row.asked and not row.dropped), default=math.inf)
        for row in left:
            if not row.dropped and not row.default and row.quiet_ms > FAR * best:
                self._leaves(row, best)
        return [row for row in left if not row.dropped]

    def _halved(self, rows: Sequence[ContestRow]) -> List[ContestRow]:
        """The better half of those asked for, what is as good as the best, and the default."""
        order = sorted((row for row in rows if row.asked), key=lambda row: row.quiet_ms)
        for row in order[math.ceil(len(order) / 2) :]:
            if row.quiet_ms > NEAR * order[0].quiet_ms and not row.default:
                self._leaves(row, order[0].quiet_ms)
        return [row for row in rows if not row.dropped]

    def _leaves(self, row: ContestRow, best: float) -> None:
        row.dropped = f"{row.quiet_ms / best:.2f} times as slow as the best, each at its best"
        self._ended(row)

    def _stretch(self, rows: Sequence[ContestRow], seconds: float, turns: int) -> None:
        """All of them in turns, there and back; figures begin anew. It ends early, between turns, if time does."""
        if not rows:
            return
        for row in rows:
            row.since = len(row.rounds)
        ends = time.monotonic() + seconds
        for turn in range(turns):
            for row in rows if turn % 2 == 0 else reversed(rows):
                if not row.dropped:
                    self._round(row, seconds / turns / len(rows))
            if turn and time.monotonic() > ends:
                break

    def _round(self, row: ContestRow, seconds: float) -> None:
        """One round of a row, whose process is opened if it is not; a process that ends takes its row out."""
        self._tick()
        self._show(f"{row.kind}: {row.candidate}")
        try:
            process = self._open.get(id(row)) or Process(self._request(row), str(row.candidate), self._tick)
            self._open[id(row)] = process
            said = process.round(seconds, seconds * 10 + SILENCE_S)
        except EdgecspError as error:
            row.dropped = " ".join(str(error).split())
            self._ended(row)
            return
        each = said["per_sample"]
        row.rounds.append([ms / each for ms in said["ms"]])
        row.cpu_ms.append(said["cpu_ms"] / each)
        if not self._has_room(row):
            self._ended(row)
        elif row.kind == "throughput":  # it goes on until as many pictures lie ready as can
            time.sleep(min(MOST_PAUSE_S, backlog(row.candidate.at_once) * row.ms / 1e3))
        time.sleep(PAUSE_S)

    def _has_room(self, row: ContestRow) -> bool:
        """Whether memory is left for another process beside those that are open."""
        free = memory.free()
        return free is None or process_bytes(row.candidate.device, self._size) < SHARE * free.available

    def _ended(self, row: ContestRow) -> None:
        process = self._open.pop(id(row), None)
        if process:
            process.close()


def _halvings(count: int) -> int:
    """How often a field is cut until two are left."""
    return max(0, math.ceil(math.log2(max(1, count))) - 1)


def winner(rows: Sequence[ContestRow]) -> Tuple[Optional[ContestRow], Optional[Tuple[float, float]]]:
    """The best of those that were asked for and measured to the end, and how much faster than the default it is.

    The second is the default's time over the winner's, as an interval that holds it with 95 %; None where there is no
    default, or it is the winner. What is no faster beyond the noise than the default does not win against it.
    """
    final = sorted((row for row in rows if row.rounds and not row.dropped), key=lambda row: row.ms)
    asked = [row for row in final if row.asked]
    default = next((row for row in final if row.default), None)
    if not asked or default is None or asked[0] is default:
        return (asked[0] if asked else None), None
    low, high = stats.interval(_drawn(default, 0) / _drawn(asked[0], 1))
    if low <= 1 and default.asked:
        return default, None
    return asked[0], (low, high)


def _drawn(row: ContestRow, seed: int) -> Array:
    """What its figure could have been by chance, as `stats.medians` draws it; of frames a second, by whole rounds."""
    if row.kind == "latency":
        return stats.medians(row.last, seed=seed)
    means = row.means
    drawn = np.random.default_rng(seed).integers(len(means), size=(stats.DRAWS, len(means)))
    found: Array = np.median(means[drawn], axis=1)
    return found
