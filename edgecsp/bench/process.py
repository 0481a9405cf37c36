"""The parent's side of `_worker`: start it, send requests, and report how it ended in one sentence.

process = Process({**case.to_request(path), "mode": "model", "batch": 1, ...}, str(case))
process.round(0.5, 60)["ms"]                    # samples
with open_isolated(case) as detector:           # a detector whose engine runs in a worker
    detector(image)
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

import numpy as np

from .. import backends, pipeline
from ..errors import BuildFailed
from ..system import isolation, memory
from ..types import Array
from ._worker import array_bytes, describe_array, read_array
from .cases import Case, GraphFiles

CHILD = "import sys; from edgecsp.bench import _worker; _worker.serve(int(sys.argv[1]))"
OPEN_S = 600.0  # a TensorRT plan takes minutes to build
POLL_S = 0.1


class BenchStopped(Exception):
    """The user stopped the run; whoever waits for a worker stops waiting."""


class Process:
    """A worker process, opened and warmed up.

    `doing` begins the error message when it dies; `tick` is called ten times a second while waiting and may raise
    `BenchStopped`. Raises what the worker raised, or `BuildFailed`.
    """

    def __init__(self, request: Mapping[str, Any], doing: str, tick: Callable[[], None] = lambda: None) -> None:
        self.doing, self._tick, self._kills = doing, tick, memory.kernel_kills()
        self._stderr, self._rest = tempfile.TemporaryFile(), bytearray()  # noqa: SIM115 - closed with the process
        # The terminal sends Ctrl-C to the child as well, which may not have learned to ignore it yet.
        with isolation.without_sigint():
            self._child, self._answers = isolation.spawn(CHILD, self._stderr)
        try:
            self.ready: Dict[str, Any] = self._ask(request, OPEN_S)["ready"]
        except BaseException:
            self.close()
            raise

    def round(self, seconds: float, most_s: float) -> Dict[str, Any]:
        """Run one round of `seconds` and return its samples. Raises `BuildFailed` if it died or took over `most_s`."""
        return self._ask({"seconds": seconds}, most_s)

    def infer(self, batch: Array) -> Tuple[List[Array], float]:
        """Run the network on a batch in mode "outputs": its heads, and the milliseconds that it took."""
        answer = self._ask({"array": describe_array(batch)}, OPEN_S, np.ascontiguousarray(batch).tobytes())
        heads = [read_array(each, self._read(array_bytes(each))) for each in answer["arrays"]]
        return heads, float(answer["ms"])

    def close(self) -> None:
        """End the process; idempotent."""
        if self._child.stdin and not self._child.stdin.closed:
            self._child.kill()
            self._child.wait()
            with suppress(BrokenPipeError):
                self._child.stdin.close()
            os.close(self._answers)
            self._stderr.close()

    def _ask(self, request: Mapping[str, Any], most_s: float, data: bytes = b"") -> Dict[str, Any]:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # dead already: its exit code is reported below
            self._child.stdin.write(json.dumps(request).encode() + b"\n" + data)
            self._child.stdin.flush()
        end = time.monotonic() + most_s
        while True:
            while b"\n" not in self._rest:
                if not data:  # a detector would take what `tick` raises for a failure of its engine
                    self._tick()
                self._receive(end, most_s)
            answer: Dict[str, Any] = json.loads(self._take(self._rest.index(b"\n") + 1))
            if "error" in answer:
                raise isolation.rebuild_error(*answer["error"])
            if "log" not in answer:
                return answer
            isolation.log_forwarded(answer["log"])

    def _read(self, count: int) -> bytes:
        """Read the bytes behind its last line."""
        end = time.monotonic() + OPEN_S
        while len(self._rest) < count:
            self._receive(end, OPEN_S)
        return self._take(count)

    def _take(self, count: int) -> bytes:
        data = bytes(self._rest[:count])
        del self._rest[:count]
        return data

    def _receive(self, end: float, most_s: float) -> None:
        """Wait for some bytes of it. Raises `BuildFailed` when it ended, or at the monotonic time `end`."""
        if isolation.is_readable(self._answers, POLL_S):
            data = os.read(self._answers, 1 << 16)
            if not data:
                raise BuildFailed(self._death())
            self._rest += data
        elif time.monotonic() > end:
            raise BuildFailed(f"{self.doing}: no answer within {most_s:.0f} s")

    def _death(self) -> str:
        code = self._child.wait()
        if code < 0:
            return isolation.describe_death(self.doing, -code, self._kills)
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return f"{self.doing} ended with code {code}: {lines[-1] if lines else 'no message'}"


class WorkerSession(backends.Session):
    """A session whose engine runs in a worker process; `ms` are the milliseconds of each run."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.accepts_uint8 = bool(process.ready["accepts_uint8"])
        self.ms: List[float] = []

    def run(self, batch: Array) -> List[Array]:
        """Run the network in the worker."""
        heads, ms = self._process.infer(batch)
        self.ms.append(ms)
        return heads

    def close(self) -> None:
        """End the worker."""
        self._process.close()


@contextmanager
def open_isolated(case: Case, tick: Callable[[], None] = lambda: None) -> Iterator[pipeline.Detector]:
    """Open a case with its engine in a worker process, whose death is a `BuildFailed`; thresholds are the model's."""
    with tempfile.TemporaryDirectory() as scratch:
        request = {**case.to_request(GraphFiles(Path(scratch)).path(case)), "mode": "outputs", "warm_s": 0.0}
        request["level"] = isolation.log_level()
        with pipeline.Detector(case.model, WorkerSession(Process(request, str(case), tick))) as detector:
            yield detector
