"""The parent's side of `_worker`: start it, ask it, and say in a sentence how it ended."""

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
    """The user wants no more: whoever waits for a worker waits no longer."""


class Process:
    """A worker, opened and warm.

    `doing` begins the sentence about its death; `tick` is called ten times a second while it is waited for, and may
    raise `BenchStopped`. Raises what the worker raised, or `BuildFailed`.
    """

    def __init__(self, request: Mapping[str, Any], doing: str, tick: Callable[[], None] = lambda: None) -> None:
        self.doing, self._tick, self._kills = doing, tick, memory.kernel_kills()
        self._said, self._rest = tempfile.TemporaryFile(), b""  # noqa: SIM115 - closed with the process
        self._answers, writer = os.pipe()
        # The terminal sends Ctrl-C to the child as well, which may not have learned to ignore it yet.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-c", CHILD, str(writer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=(writer,),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(writer)
        try:
            self.ready: Dict[str, Any] = self._asked(request, OPEN_S)["ready"]
        except BaseException:
            self.close()
            raise

    def round(self, seconds: float, most_s: float) -> Dict[str, Any]:
        """The samples of so many seconds. Raises `BuildFailed` when it is dead, or silent for `most_s`."""
        return self._asked({"seconds": seconds}, most_s)

    def close(self) -> None:
        """End it; once more does nothing."""
        if self._child.stdin and not self._child.stdin.closed:
            self._child.kill()
            self._child.wait()
            with suppress(BrokenPipeError):
                self._child.stdin.close()
            os.close(self._answers)
            self._said.close()

    def _asked(self, said: Mapping[str, Any], most_s: float) -> Dict[str, Any]:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # dead already: its code says how
            self._child.stdin.write(json.dumps(said).encode() + b"\n")
            self._child.stdin.flush()
        answer: Dict[str, Any] = json.loads(self._line(most_s) or "{}")
        if "error" in answer:
            raise isolation.error(*answer["error"])
        if not answer:
            raise BuildFailed(self._death())
        return answer

    def _line(self, most_s: float) -> bytes:
        """Its next line; b"" when it ended without one."""
        end = time.monotonic() + most_s
        while b"\n" not in self._rest:
            self._tick()
            if select.select([self._answers], [], [], POLL_S)[0]:
                found = os.read(self._answers, 1 << 16)
                if not found:
                    return b""
                self._rest += found
            elif time.monotonic() > end:
                raise BuildFailed(f"{self.doing}: no answer within {most_s:.0f} s")
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _death(self) -> str:
        code = self._child.wait()
        if code < 0:
            return isolation.died(self.doing, -code, self._kills)
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return f"{self.doing} ended with code {code}: {lines[-1] if lines else 'it said nothing'}"
