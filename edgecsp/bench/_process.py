"""The parent's side of `_worker`: start it, send requests, and report how it ended in one sentence."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Mapping

from ..errors import BuildFailed
from ..system import isolation, memory

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
        self._stderr, self._rest = tempfile.TemporaryFile(), b""  # noqa: SIM115 - closed with the process
        self._answers, writer = os.pipe()
        # The terminal sends Ctrl-C to the child as well, which may not have learned to ignore it yet.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-c", CHILD, str(writer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(writer,),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(writer)
        try:
            self.ready: Dict[str, Any] = self._ask(request, OPEN_S)["ready"]
        except BaseException:
            self.close()
            raise

    def round(self, seconds: float, most_s: float) -> Dict[str, Any]:
        """Run one round of `seconds` and return its samples. Raises `BuildFailed` if it died or took over `most_s`."""
        return self._ask({"seconds": seconds}, most_s)

    def close(self) -> None:
        """End the process; idempotent."""
        if self._child.stdin and not self._child.stdin.closed:
            self._child.kill()
            self._child.wait()
            with suppress(BrokenPipeError):
                self._child.stdin.close()
            os.close(self._answers)
            self._stderr.close()

    def _ask(self, request: Mapping[str, Any], most_s: float) -> Dict[str, Any]:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # dead already: its exit code is reported below
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        answer: Dict[str, Any] = json.loads(self._line(most_s) or "{}")
        if "error" in answer:
            raise isolation.rebuild_error(*answer["error"])
        if not answer:
            raise BuildFailed(self._death())
        return answer

    def _line(self, most_s: float) -> bytes:
        """Read its next line; b"" when it ended without one."""
        end = time.monotonic() + most_s
        while b"\n" not in self._rest:
            self._tick()
            if select.select([self._answers], [], [], POLL_S)[0]:
                data = os.read(self._answers, 1 << 16)
                if not data:
                    return b""
                self._rest += data
            elif time.monotonic() > end:
                raise BuildFailed(f"{self.doing}: no answer within {most_s:.0f} s")
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _death(self) -> str:
        code = self._child.wait()
        if code < 0:
            return isolation.describe_death(self.doing, -code, self._kills)
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return f"{self.doing} ended with code {code}: {lines[-1] if lines else 'no message'}"
