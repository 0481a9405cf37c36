"""The rounds: all rows' processes are opened, then measured in turn, so that interference affects all rows alike."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import EdgecspError
from ..system import jetson, memory
from ..system.progress import Progress
from . import interference
from .cases import Case, GraphFiles
from .process import Process
from .results import CaseResult, Timing
from .settings import BenchSettings

WARM_S = 3.0
PAUSE_S = 0.02  # between two processes, until the previous one's threads stop spinning
PROCESS_BYTES, DEVICE_BYTES = 300 << 20, 1 << 30  # Python and an engine without the model, on a CPU and elsewhere
COPIES = 6  # of a model's weights: the file, the graph, and what an engine makes of it
SHARE = 0.6  # of the free memory that the processes open at once may take
SILENCE_S = 120.0  # how much longer than planned a round may take


def process_bytes(device: str, graph: int) -> int:
    """Estimate the memory of a process that runs a graph of `graph` bytes."""
    return (PROCESS_BYTES if device == "cpu" else DEVICE_BYTES) + COPIES * graph


def take_round(process: Process, timing: Timing, seconds: float, board: Optional[jetson.Board] = None) -> None:
    """Run one round, and add its samples and the noise around it. Raises an `EdgecspError`."""
    before, spent = interference.take_snapshot(), time.process_time()
    throttling = board.throttling() if board else {}
    answer = process.round(seconds, seconds * 10 + SILENCE_S)
    own = answer["own_s"] + time.process_time() - spent
    timing.add(answer)
    events = jetson.compare_throttling(throttling, board.throttling()) if board else ()
    timing.noise.append(interference.compute_noise(before, interference.take_snapshot(), own, events))


class Bench:
    """All rows of one run. `progress` shows the steps, `tick` may raise `BenchStopped`."""

    def __init__(
        self, settings: BenchSettings, files: GraphFiles, progress: Progress, tick: Callable[[], None]
    ) -> None:
        self._settings, self._files, self._progress = settings, files, progress
        self._stop = tick
        self._board = jetson.find()
        self._meter = jetson.PowerMeter(self._board)
        self._done = self._total = 0

    def run(self, rows: Sequence[CaseResult]) -> None:
        """Measure the rows in place. On `BenchStopped` the rows keep what was measured until then."""
        self._total = len(rows) * (1 + self._settings.rounds)
        for group in self._groups(rows):
            with ExitStack() as stack:
                opened = list(self._open(group, stack))
                for turn in range(self._settings.rounds):
                    # Forwards and backwards in turn, so that a steady drift affects all rows alike.
                    for process, row in opened if turn % 2 == 0 else reversed(opened):
                        self._round(process, row, turn)

    def _groups(self, rows: Sequence[CaseResult]) -> Iterator[List[CaseResult]]:
        """Yield groups of rows to open together: all if memory allows it, else per model, else one by one."""
        free = memory.free()
        room = SHARE * free.available if free else 0.0
        if self._required_bytes(rows) <= room:
            yield list(rows)
            return
        by_model: Dict[str, List[CaseResult]] = {}
        for row in rows:
            by_model.setdefault(row.case.name, []).append(row)
        for group in by_model.values():
            yield from [group] if self._required_bytes(group) <= room else [[row] for row in group]

    def _required_bytes(self, rows: Sequence[CaseResult]) -> float:
        return sum(process_bytes(row.case.engine_device, len(row.case.model.onnx)) for row in rows)

    def _open(self, rows: Sequence[CaseResult], stack: ExitStack) -> Iterator[Tuple[Process, CaseResult]]:
        for row in rows:
            self._step(f"opening {row.case}")
            try:
                process = Process(self._request(row.case), str(row.case), self._tick)
            except EdgecspError as error:
                self._fail(row, error)
                continue
            stack.callback(process.close)
            row.timing.ready = process.ready
            yield process, row

    def _request(self, case: Case) -> Dict[str, Any]:
        settings = self._settings
        return {
            **case.to_request(self._files.path(case), accepts_uint8=settings.mode == "pipeline"), "mode": settings.mode,
            "batch": settings.batch_size, "calls": settings.calls_per_sample,
            "sources": list(settings.sources), "same_picture": settings.same_image, "warm_s": WARM_S,
        }  # fmt: skip

    def _round(self, process: Process, row: CaseResult, turn: int) -> None:
        if row.failure:
            return
        self._step(f"{row.case}, round {turn + 1}")
        time.sleep(PAUSE_S)
        seconds = self._settings.duration_s / self._settings.rounds
        self._meter.start()
        try:
            take_round(process, row.timing, seconds, self._board)
        except EdgecspError as error:
            self._fail(row, error)
            return
        if self._meter.watts is not None:
            row.timing.watts.append(self._meter.watts)

    def _fail(self, row: CaseResult, error: EdgecspError) -> None:
        row.failure = " ".join(str(error).split())
        self._total -= self._settings.rounds - len(row.timing.rounds)

    def _step(self, text: str) -> None:
        self._stop()
        self._progress.update(description=text, completed=self._done, total=self._total)
        self._done += 1

    def _tick(self) -> None:
        self._stop()
        self._meter.tick()
