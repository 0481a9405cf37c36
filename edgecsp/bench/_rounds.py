"""The rounds: every row's process is opened, then each is asked in turn, so that what disturbs one disturbs all."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import EdgecspError
from ..system import jetson, memory
from ..system.progress import Progress
from . import interference
from ._process import Process
from .settings import BenchSettings
from .ways import BenchmarkCase, Files

WARM_S = 3.0
PAUSE_S = 0.02  # between two processes: the threads of the one before stop spinning
PROCESS_BYTES, DEVICE_BYTES = 300 << 20, 1 << 30  # Python and an engine without the model, on a CPU and elsewhere
COPIES = 6  # of a model's weights: the file, the graph, and what an engine makes of it
SHARE = 0.6  # of the free memory that the processes open at once may take
SILENCE_S = 120.0  # a round may take so much longer than it was meant to


def process_bytes(device: str, graph: int) -> int:
    """What a process takes that computes a graph of so many bytes."""
    return (PROCESS_BYTES if device == "cpu" else DEVICE_BYTES) + COPIES * graph


@dataclass
class Measured:
    """A row's samples, in milliseconds and in order; `counts` says how many each round had.

    `died` says how its process ended before its time, `ap50` is in percent. `stages` are None where a sample has none.
    """

    way: BenchmarkCase
    ms: List[float] = field(default_factory=list)
    counts: List[int] = field(default_factory=list)
    cpu_ms: List[float] = field(default_factory=list)
    wall_s: List[float] = field(default_factory=list)
    stages: Optional[Dict[str, List[float]]] = None
    around: List[interference.SystemNoise] = field(default_factory=list)
    watts: List[float] = field(default_factory=list)
    ready: Dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: Optional[int] = None
    per_sample: int = 1
    ap50: Optional[float] = None
    died: Optional[str] = None

    def add(self, said: Dict[str, Any]) -> None:
        """Take a worker's round in."""
        self.ms += said["ms"]
        self.counts.append(len(said["ms"]))
        self.cpu_ms.append(said["cpu_ms"])
        self.wall_s.append(said["wall_s"])
        self.peak_memory_bytes, self.per_sample = said["peak_memory_bytes"], said["per_sample"]
        if said["stages"]:
            self.stages = self.stages or {name: [] for name in said["stages"]}
            for name, samples in said["stages"].items():
                self.stages[name] += samples


class Bench:
    """All rows of one run. `progress` shows the steps, `tick` may raise `Stopped`."""

    def __init__(self, settings: BenchSettings, files: Files, progress: Progress, tick: Callable[[], None]) -> None:
        self._settings, self._files, self._progress = settings, files, progress
        self._stop = tick
        self._board = jetson.find()
        self._meter = jetson.PowerMeter(self._board)
        self._done = self._total = 0

    def run(self, rows: Sequence[Measured]) -> None:
        """Measure the rows in place. `Stopped` passes through, and what was measured until then is kept."""
        self._total = len(rows) * (1 + self._settings.rounds)
        for group in self._groups(rows):
            with ExitStack() as stack:
                opened = list(self._opened(group, stack))
                for turn in range(self._settings.rounds):
                    # There and back again: a steady drift then weighs on all rows alike.
                    for process, row in opened if turn % 2 == 0 else reversed(opened):
                        self._round(process, row, turn)

    def _groups(self, rows: Sequence[Measured]) -> Iterator[List[Measured]]:
        """All rows at once where memory allows it, else a model at a time, else a row at a time."""
        free = memory.free()
        room = SHARE * free.available if free else 0.0
        if self._needs(rows) <= room:
            yield list(rows)
            return
        by_model: Dict[str, List[Measured]] = {}
        for row in rows:
            by_model.setdefault(row.way.subject.name, []).append(row)
        for group in by_model.values():
            yield from [group] if self._needs(group) <= room else [[row] for row in group]

    def _needs(self, rows: Sequence[Measured]) -> float:
        return sum(process_bytes(self._settings.on, len(row.way.subject.model.onnx)) for row in rows)

    def _opened(self, rows: Sequence[Measured], stack: ExitStack) -> Iterator[Tuple[Process, Measured]]:
        for row in rows:
            self._step(f"opening {row.way}")
            try:
                process = Process(self._request(row.way), str(row.way), self._tick)
            except EdgecspError as error:
                self._lost(row, error)
                continue
            stack.callback(process.close)
            row.ready = process.ready
            yield process, row

    def _request(self, way: BenchmarkCase) -> Dict[str, Any]:
        said = self._settings
        return {
            "path": str(self._files.path(way)), "engine": way.engine, "device": said.on, "threads": said.using,
            "precision": way.precision, "mode": said.mode, "batch": said.pictures, "calls": said.calls,
            "sources": list(said.sources), "same_picture": said.same_picture, "warm_s": WARM_S,
        }  # fmt: skip

    def _round(self, process: Process, row: Measured, turn: int) -> None:
        if row.died:
            return
        self._step(f"{row.way}, round {turn + 1}")
        time.sleep(PAUSE_S)
        seconds = self._settings.duration_s / self._settings.rounds
        self._meter.start()
        before, throttling, spent = interference.look(), self._throttling(), time.process_time()
        try:
            said = process.round(seconds, seconds * 10 + SILENCE_S)
        except EdgecspError as error:
            self._lost(row, error)
            return
        own = said["own_s"] + time.process_time() - spent
        row.add(said)
        events = jetson.throttled(throttling, self._throttling())
        row.around.append(interference.between(before, interference.look(), own, events))
        if self._meter.watts is not None:
            row.watts.append(self._meter.watts)

    def _throttling(self) -> Dict[str, int]:
        return self._board.throttling() if self._board else {}

    def _lost(self, row: Measured, error: EdgecspError) -> None:
        row.died = " ".join(str(error).split())
        self._total -= self._settings.rounds - len(row.counts)

    def _step(self, text: str) -> None:
        self._stop()
        self._progress.update(description=text, completed=self._done, total=self._total)
        self._done += 1

    def _tick(self) -> None:
        self._stop()
        self._meter.tick()
