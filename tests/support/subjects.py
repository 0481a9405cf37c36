"""Things for a worker to time that are no model: some end badly."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, Dict

from edgecsp.bench._tasks import WorkerTask
from edgecsp.errors import BuildFailed


def slept(request: Dict[str, Any]) -> WorkerTask:
    return WorkerTask(lambda: time.sleep(request["sleep_s"]), 1)


def talking(request: Dict[str, Any]) -> WorkerTask:
    print("a library's banner")
    print('{"ms": []}', flush=True)
    return WorkerTask(lambda: None, 1)


def refused(request: Dict[str, Any]) -> WorkerTask:
    raise BuildFailed("the engine said no")


def broken(request: Dict[str, Any]) -> WorkerTask:
    print("something before", file=sys.stderr)
    raise ValueError("an engine's own bug")


def killed(request: Dict[str, Any]) -> WorkerTask:
    left = [request["calls"]]

    def call() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)

    return WorkerTask(call, 1)


def uneven(request: Dict[str, Any]) -> WorkerTask:
    """Slow at first, as an engine is, and faster with every call."""
    sleep_s = [0.1]

    def call() -> None:
        sleep_s[0] = max(0.01, sleep_s[0] * 0.9)
        time.sleep(sleep_s[0])

    return WorkerTask(call, 1)
