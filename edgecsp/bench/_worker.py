"""The child process that measures: one case, opened once, which then answers requests.

It reads a line of JSON on stdin and writes one to the given file. The first is the case and its task (`_tasks`),
answered by {"ready": ...} once it is warm. Then {"seconds": s} is answered by the samples of a round of that length,
and {"array": ...}, followed by the array's bytes, by the heads that the network has for it, followed by theirs.
With a "level" in the request, what it logs comes as {"log": ...} between the answers.
Only the calls themselves are between the two readings of the clock.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, BinaryIO, Dict, List, Mapping, Sequence

import numpy as np

from ..errors import EdgecspError
from ..system import isolation, memory
from ..types import Array
from . import stats
from ._tasks import WorkerTask, open_task

UNCOUNTED_CALLS = 2  # before a round: another process has used the CPU's caches
STEADY = 0.02  # share of the median: two blocks that differ by less are steady
BLOCK_S, BLOCK = 0.15, 5  # seconds, and calls at least, of a block of warm-up
LEAST = 3  # samples of a round


def describe_array(array: Array) -> Dict[str, Any]:
    """Describe an array whose bytes follow: its shape and type."""
    return {"shape": list(array.shape), "dtype": array.dtype.str}


def array_bytes(description: Mapping[str, Any]) -> int:
    """Return the number of bytes of an array that was described."""
    count = int(np.prod(description["shape"], dtype=np.int64))
    return count * int(np.dtype(description["dtype"]).itemsize)


def read_array(description: Mapping[str, Any], data: bytes) -> Array:
    """Rebuild an array from its description and its bytes."""
    array: Array = np.frombuffer(data, description["dtype"]).reshape(description["shape"]).copy()
    return array


def serve(handle: int) -> None:
    """Answer requests on the file `handle` until stdin ends."""
    isolation.leave_signals_to_parent()
    requests = sys.stdin.buffer
    with isolation.open_answers(handle) as file:

        def send(answer: Dict[str, Any], arrays: Sequence[Array] = ()) -> None:
            data = [np.ascontiguousarray(array).tobytes() for array in arrays]
            file.write(b"".join([json.dumps(answer).encode(), b"\n", *data]))  # at once: several threads may log
            file.flush()

        try:
            request = json.loads(requests.readline())
            if "level" in request:
                isolation.forward_log(lambda record: send({"log": record}), request["level"])
            begun = time.perf_counter()
            task = open_task(request)
            task.call()
            load_s = time.perf_counter() - begun
            accepts_uint8 = task.detector is not None and task.detector.session.accepts_uint8
            warm = _warm_up(task, request["warm_s"])
            send({"ready": {"load_s": load_s, **warm, "accepts_uint8": accepts_uint8}})
            for line in requests:
                message = json.loads(line)
                if "array" in message:
                    send(*_infer(task, message["array"], requests))
                else:
                    send(_run_round(task, **message))
        except EdgecspError as error:
            send({"error": [type(error).__name__, str(error)]})


def _infer(task: WorkerTask, description: Mapping[str, Any], requests: BinaryIO) -> Any:
    """Run the network on the array that follows: the answer, and the heads."""
    assert task.detector is not None
    batch = read_array(description, requests.read(array_bytes(description)))
    begun = time.perf_counter()
    heads = task.detector.infer(batch)
    ms = (time.perf_counter() - begun) * 1e3
    return {"ms": ms, "arrays": [describe_array(head) for head in heads]}, heads


def _warm_up(task: WorkerTask, most_s: float) -> Dict[str, Any]:
    """Call the task until two consecutive blocks agree, for `most_s` seconds at most."""
    begun, blocks = time.perf_counter(), 0
    before, steady = 0.0, False
    while not steady and time.perf_counter() - begun < most_s:
        middle = stats.median(_time_calls(task, BLOCK_S, BLOCK))
        blocks += 1
        steady = abs(middle - before) <= STEADY * middle
        before = middle
    return {"warm_s": time.perf_counter() - begun, "blocks": blocks, "steady": steady}


def _run_round(task: WorkerTask, seconds: float) -> Dict[str, Any]:
    """Run one round of `seconds` and return its samples and costs."""
    entered = time.process_time()
    for _ in range(UNCOUNTED_CALLS):
        task.call()
    for samples in (task.stages or {}).values():
        samples.clear()
    spent, begun = time.process_time(), time.perf_counter()
    ms = _time_calls(task, seconds, LEAST)
    wall, cpu = time.perf_counter() - begun, time.process_time() - spent
    return {
        "ms": ms,
        "cpu_ms": cpu * 1e3 / len(ms),
        "wall_s": wall,
        "stages": {name: list(samples) for name, samples in task.stages.items()} if task.stages else None,
        "own_s": time.process_time() - entered,
        "peak_memory_bytes": memory.peak(),
        "per_sample": task.per_sample,
    }


def _time_calls(task: WorkerTask, seconds: float, least: int) -> List[float]:
    """Time calls one by one; milliseconds each."""
    call, clock = task.call, time.perf_counter
    taken: List[float] = []
    end = clock() + seconds
    while True:
        begun = clock()
        call()
        done = clock()
        taken.append((done - begun) * 1e3)
        if done >= end and len(taken) >= least:
            return taken
