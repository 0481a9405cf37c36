"""The child process that is timed: one model on one engine, opened once, which then runs rounds on request.

It reads a line of JSON on stdin and writes one to the given file: first the request, answered by {"ready": ...} once it
is warm, then any number of {"seconds": s}, each answered by the samples of a round of that length.
Only the calls themselves are between the two readings of the clock.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np

from .. import pipeline
from ..errors import EdgecspError
from ..media import sources
from ..system import isolation, memory
from ..types import Array, Frame
from . import stats
from .cases import Case
from .images import synthetic_images

IMAGES = 8  # different ones, so that no engine can reuse a result
UNCOUNTED_CALLS = 2  # before a round: another process has used the CPU's caches
STEADY = 0.02  # share of the median: two blocks that differ by less are steady
BLOCK_S, BLOCK = 0.15, 5  # seconds, and calls at least, of a block of warm-up
LEAST = 3  # samples of a round
STAGES = ("decode", "preprocess", "inference", "post")

Stages = Dict[str, List[float]]


class WorkerTask:
    """The task that is timed: `call()` is one sample of `per_sample` images; `stages` are times within it, if any."""

    def __init__(self, call: Callable[[], None], per_sample: int, stages: Optional[Stages] = None) -> None:
        self.call, self.per_sample, self.stages = call, per_sample, stages


def serve(handle: int) -> None:
    """Answer requests on the file `handle` until stdin ends."""
    isolation.leave_signals_to_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    with os.fdopen(handle, "wb", buffering=0) as file:

        def send(answer: Dict[str, Any]) -> None:
            file.write(json.dumps(answer).encode() + b"\n")

        try:
            request = json.loads(sys.stdin.readline())
            begun = time.perf_counter()
            subject = _open_task(request)
            subject.call()
            load_s = time.perf_counter() - begun
            send({"ready": {"load_s": load_s, **_warm_up(subject, request["warm_s"])}})
            for line in sys.stdin:
                send(_run_round(subject, **json.loads(line)))
        except EdgecspError as error:
            send({"error": [type(error).__name__, str(error)]})


def _open_task(request: Dict[str, Any]) -> WorkerTask:
    if "make" in request:
        module, name = request["make"].split(":")
        task: WorkerTask = getattr(importlib.import_module(module), name)(request)
        return task
    detector = Case.from_request(request).open(pixels=request["mode"] == "pipeline")
    if request["mode"] == "pipeline":
        return _pipeline_task(detector, request["sources"], request["same_picture"])
    images = synthetic_images(1 if request["same_picture"] else IMAGES)
    singles = itertools.cycle([detector.prepare(image)[0] for image in images])
    batches = [np.concatenate([next(singles) for _ in range(request["batch"])]) for _ in images]
    return inference_task(detector.session.run, batches, request["calls"], request["calls"] * request["batch"])


def inference_task(run: Callable[[Array], Any], batches: List[Array], calls: int, per_sample: int) -> WorkerTask:
    """Build a task of inference alone: `calls` calls per sample, each with the next of the batches."""
    inputs = itertools.cycle(batches)
    if calls == 1:
        return WorkerTask(lambda: run(next(inputs)), per_sample)

    def query() -> None:
        for _ in range(calls):
            run(next(inputs))

    return WorkerTask(query, per_sample)


def _pipeline_task(detector: pipeline.Detector, uris: List[str], same: bool) -> WorkerTask:
    """Build a task from file to boxes, stage after stage on one thread."""
    stages: Stages = {name: [] for name in STAGES}
    frames = _frames(uris[:1] if same else uris)

    def process_one() -> None:
        begun = time.perf_counter()
        image = next(frames).image
        decoded = time.perf_counter()
        batch, geometry = detector.prepare(image)
        prepared = time.perf_counter()
        outputs = detector.infer(batch)
        inferred = time.perf_counter()
        detector.finish(outputs, geometry)
        ends = (begun, decoded, prepared, inferred, time.perf_counter())
        for name, start, end in zip(STAGES, ends, ends[1:]):
            stages[name].append((end - start) * 1e3)

    return WorkerTask(process_one, 1, stages)


def _frames(uris: List[str]) -> Iterator[Frame]:
    """Yield the frames of some sources in an endless loop."""
    while True:
        for source in sources.open_all(uris):
            with source:
                yield from source


def _warm_up(subject: WorkerTask, most_s: float) -> Dict[str, Any]:
    """Call the task until two consecutive blocks agree, for `most_s` seconds at most."""
    begun, blocks = time.perf_counter(), 0
    before, steady = 0.0, False
    while not steady and time.perf_counter() - begun < most_s:
        middle = stats.median(_time_calls(subject, BLOCK_S, BLOCK))
        blocks += 1
        steady = abs(middle - before) <= STEADY * middle
        before = middle
    return {"warm_s": time.perf_counter() - begun, "blocks": blocks, "steady": steady}


def _run_round(subject: WorkerTask, seconds: float) -> Dict[str, Any]:
    """Run one round of `seconds` and return its samples and costs."""
    entered = time.process_time()
    for _ in range(UNCOUNTED_CALLS):
        subject.call()
    for samples in (subject.stages or {}).values():
        samples.clear()
    spent, begun = time.process_time(), time.perf_counter()
    ms = _time_calls(subject, seconds, LEAST)
    wall, cpu = time.perf_counter() - begun, time.process_time() - spent
    return {
        "ms": ms,
        "cpu_ms": cpu * 1e3 / len(ms),
        "wall_s": wall,
        "stages": {name: list(samples) for name, samples in subject.stages.items()} if subject.stages else None,
        "own_s": time.process_time() - entered,
        "peak_memory_bytes": memory.peak(),
        "per_sample": subject.per_sample,
    }


def _time_calls(subject: WorkerTask, seconds: float, least: int) -> List[float]:
    """Time calls one by one; milliseconds each."""
    call, clock = subject.call, time.perf_counter
    taken: List[float] = []
    end = clock() + seconds
    while True:
        begun = clock()
        call()
        done = clock()
        taken.append((done - begun) * 1e3)
        if done >= end and len(taken) >= least:
            return taken
