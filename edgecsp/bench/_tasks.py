"""The tasks that a worker times: inference alone, one image at a time, by stage or as a whole, or several at once."""

from __future__ import annotations

import importlib
import itertools
import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional

import numpy as np

from .. import pipeline
from ..media import scheduler, sources
from ..types import Array, Frame, Stream
from .cases import Case
from .images import synthetic_images

IMAGES = 8  # different ones, so that no engine can reuse a result
STAGES = ("decode", "preprocess", "inference", "post")

Stages = Dict[str, List[float]]


@dataclass
class WorkerTask:
    """The task that is timed: `call()` is one sample of `per_sample` images; `stages` are times within it, if any.

    `detector` answers a parent that asks for heads.
    """

    call: Callable[[], None]
    per_sample: int
    stages: Optional[Stages] = None
    detector: Optional[pipeline.Detector] = None


def open_task(request: Mapping[str, Any]) -> WorkerTask:
    """Open the case of a request and build its task: "mode" is one of MODES.

    A request with "make" names a function, "module:function", that builds the task.
    """
    if "make" in request:
        module, name = request["make"].split(":")
        task: WorkerTask = getattr(importlib.import_module(module), name)(request)
        return task
    if request.get("home"):  # otherwise an engine's cached files of losing candidates would evict those in use
        os.environ["EDGECSP_HOME"] = request["home"]
    return MODES[request["mode"]](Case.from_request(request).open(), request)


def inference_task(run: Callable[[Array], Any], batches: List[Array], calls: int, per_sample: int) -> WorkerTask:
    """Build a task of inference alone: `calls` calls per sample, each with the next of the batches."""
    inputs = itertools.cycle(batches)
    if calls == 1:
        return WorkerTask(lambda: run(next(inputs)), per_sample)

    def query() -> None:
        for _ in range(calls):
            run(next(inputs))

    return WorkerTask(query, per_sample)


def _model_task(detector: pipeline.Detector, request: Mapping[str, Any]) -> WorkerTask:
    images = synthetic_images(1 if request["same_picture"] else IMAGES)
    singles = itertools.cycle([detector.prepare(image)[0] for image in images])
    batches = [np.concatenate([next(singles) for _ in range(request["batch"])]) for _ in images]
    calls = request["calls"]
    return inference_task(detector.session.run, batches, calls, calls * request["batch"])


def _outputs_task(detector: pipeline.Detector, request: Mapping[str, Any]) -> WorkerTask:
    batch, _ = detector.prepare(synthetic_images(1)[0])

    def infer() -> None:
        detector.infer(batch)

    return WorkerTask(infer, 1, detector=detector)


def _pipeline_task(detector: pipeline.Detector, request: Mapping[str, Any]) -> WorkerTask:
    """Build a task from file to boxes, stage after stage on one thread."""
    stages: Stages = {name: [] for name in STAGES}
    frames = _frames(request["sources"][:1] if request["same_picture"] else request["sources"], detector.max_pixels)

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


def _frames(uris: List[str], max_pixels: int) -> Iterator[Frame]:
    """Yield the frames of some sources in an endless loop."""
    while True:
        for source in sources.open_all(uris, max_pixels=max_pixels):
            with source:
                yield from source


def _latency_task(detector: pipeline.Detector, request: Mapping[str, Any]) -> WorkerTask:
    """Build a task of one image at a time, from memory to boxes."""
    images = itertools.cycle(synthetic_images(IMAGES))

    def process_one() -> None:
        detector(next(images))

    return WorkerTask(process_one, 1)


class SyntheticSource(sources.Source):
    """Synthetic images in a loop, like a video that takes no time to decode."""

    moving = True

    def __iter__(self) -> Iterator[Frame]:
        stream = Stream(self.name, "video")
        for index, image in enumerate(itertools.cycle(synthetic_images(IMAGES))):
            if self.closed:
                return
            yield Frame(image, stream, index)


def backlog_size(at_once: int) -> int:
    """Number of images that the scheduler has finished or started when nobody reads its results."""
    return scheduler.workers(at_once) + scheduler.READY


def _throughput_task(detector: pipeline.Detector, request: Mapping[str, Any]) -> WorkerTask:
    """Build a task whose sample is a full backlog: the uncounted calls before a round empty it."""
    places = detector.session.concurrency
    line = scheduler.results(
        [SyntheticSource("synthetic images")], lambda frame: detector(frame.image), concurrency=places
    )
    count = backlog_size(places)

    def drain_backlog() -> None:
        for _ in range(count):
            next(line)

    return WorkerTask(drain_backlog, count)


MODES: Dict[str, Callable[[pipeline.Detector, Mapping[str, Any]], WorkerTask]] = {
    "model": _model_task, "outputs": _outputs_task, "pipeline": _pipeline_task, "latency": _latency_task,
    "throughput": _throughput_task,
}  # fmt: skip
