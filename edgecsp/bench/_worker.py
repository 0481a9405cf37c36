"""The child that is timed: one model on one engine, opened once, asked for a round again and again.

It reads a line of JSON on stdin and writes one to the file it was given: first the request, answered by
{"ready": ...} once it is warm, then {"seconds": s} as often as wanted, each answered by the samples of that long.
Nothing but the calls themselves is between the clock's two readings.
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

from .. import importers, pipeline
from ..errors import EdgecspError
from ..media import sources
from ..system import isolation, memory
from ..types import Array, Frame
from . import verify

PICTURES = 8  # different ones, so that no engine can know the answer
AGAIN = 2  # calls before a round that do not count: another process had the caches
STEADY = 0.02  # of the median: two blocks that differ by less are steady
BLOCK_S, BLOCK = 0.15, 5  # a block of warm-up lasts so long, and so many calls at least
LEAST = 3  # samples of a round
STAGES = ("decode", "preprocess", "inference", "post")

Stages = Dict[str, List[float]]


class WorkerTask:
    """What is timed: `call()` is one sample. `per_sample` pictures go through it; `stages` where it has any."""

    def __init__(self, call: Callable[[], None], per_sample: int, stages: Optional[Stages] = None) -> None:
        self.call, self.per_sample, self.stages = call, per_sample, stages


def serve(handle: int) -> None:
    """Answer on the file `handle` until stdin ends."""
    isolation.leave_signals_to_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    with os.fdopen(handle, "wb", buffering=0) as file:

        def send(said: Dict[str, Any]) -> None:
            file.write(json.dumps(said).encode() + b"\n")

        try:
            request = json.loads(sys.stdin.readline())
            begun = time.perf_counter()
            subject = _opened(request)
            subject.call()
            load_s = time.perf_counter() - begun
            send({"ready": {"load_s": load_s, **_warmed(subject, request["warm_s"])}})
            for line in sys.stdin:
                send(_round(subject, **json.loads(line)))
        except EdgecspError as error:
            send({"error": [type(error).__name__, str(error)]})


def _opened(request: Dict[str, Any]) -> WorkerTask:
    if "make" in request:
        module, name = request["make"].split(":")
        made: WorkerTask = getattr(importlib.import_module(module), name)(request)
        return made
    model = importers.load(request["path"])
    detector = pipeline.load(
        model, request["engine"], device=request["device"], threads=request["threads"],
        precision=request["precision"], pixels=request["mode"] == "pipeline",
    )  # fmt: skip
    if request["mode"] == "pipeline":
        return _whole(detector, request["sources"], request["same_picture"])
    drawn = verify.drawn(1 if request["same_picture"] else PICTURES)
    singles = itertools.cycle([detector.prepare(picture)[0] for picture in drawn])
    batches = [np.concatenate([next(singles) for _ in range(request["batch"])]) for _ in drawn]
    return alone(detector.session.run, batches, request["calls"], request["calls"] * request["batch"])


def alone(run: Callable[[Array], Any], batches: List[Array], calls: int, per_sample: int) -> WorkerTask:
    """Inference alone: `calls` calls a sample, each with the next of the batches."""
    inputs = itertools.cycle(batches)
    if calls == 1:
        return WorkerTask(lambda: run(next(inputs)), per_sample)

    def query() -> None:
        for _ in range(calls):
            run(next(inputs))

    return WorkerTask(query, per_sample)


def _whole(detector: pipeline.Detector, uris: List[str], same: bool) -> WorkerTask:
    """A file in, boxes out, stage after stage on one thread."""
    stages: Stages = {name: [] for name in STAGES}
    frames = _frames(uris[:1] if same else uris)

    def one() -> None:
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

    return WorkerTask(one, 1, stages)


def _frames(uris: List[str]) -> Iterator[Frame]:
    """The frames of some sources, over and over."""
    while True:
        for source in sources.open_all(uris):
            with source:
                yield from source


def _warmed(subject: WorkerTask, most_s: float) -> Dict[str, Any]:
    """Call it until two blocks in a row agree, for `most_s` seconds at most."""
    begun, blocks = time.perf_counter(), 0
    before, steady = 0.0, False
    while not steady and time.perf_counter() - begun < most_s:
        middle = float(np.median(_timed(subject, BLOCK_S, BLOCK)))
        blocks += 1
        steady = abs(middle - before) <= STEADY * middle
        before = middle
    return {"warm_s": time.perf_counter() - begun, "blocks": blocks, "steady": steady}


def _round(subject: WorkerTask, seconds: float) -> Dict[str, Any]:
    """The samples of so many seconds, and what they took."""
    entered = time.process_time()
    for _ in range(AGAIN):
        subject.call()
    for samples in (subject.stages or {}).values():
        samples.clear()
    spent, begun = time.process_time(), time.perf_counter()
    ms = _timed(subject, seconds, LEAST)
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


def _timed(subject: WorkerTask, seconds: float, least: int) -> List[float]:
    """Milliseconds of one call after the other."""
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
