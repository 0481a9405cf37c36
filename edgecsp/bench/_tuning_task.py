"""The tasks that a worker of `tune` times: image in, boxes out, one by one or concurrently."""

from __future__ import annotations

import itertools
import os
from typing import Any, Dict, Iterator

from .. import pipeline
from ..media import scheduler, sources
from ..types import Frame, Stream
from ._worker import IMAGES, WorkerTask
from .cases import Case
from .images import synthetic_images


def build_task(request: Dict[str, Any]) -> WorkerTask:
    """Open a model as a candidate describes it, and build the task that is timed."""
    if request["home"]:  # otherwise an engine's cached files of losing candidates would evict those in use
        os.environ["EDGECSP_HOME"] = request["home"]
    detector = Case.from_request(request).open()
    if request["kind"] == "throughput":
        return _concurrent_task(detector)
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


def _concurrent_task(detector: pipeline.Detector) -> WorkerTask:
    """Build a task whose sample is a full backlog: the uncounted calls before a round empty it."""
    line = scheduler.results(
        [SyntheticSource("synthetic images")], lambda frame: detector(frame.image), concurrency=_concurrency(detector)
    )
    count = backlog_size(_concurrency(detector))

    def drain_backlog() -> None:
        for _ in range(count):
            next(line)

    return WorkerTask(drain_backlog, count)


def _concurrency(detector: pipeline.Detector) -> int:
    return detector.session.concurrency
