"""What a worker of `tune` times: a picture in, boxes out; one after the other, or side by side as `flow` has them."""

from __future__ import annotations

import itertools
import os
from typing import Any, Dict, Iterator

from .. import backends, importers, pipeline
from ..media import scheduler, sources
from ..types import Frame, Stream
from . import verify
from ._worker import PICTURES, WorkerTask


def subject(request: Dict[str, Any]) -> WorkerTask:
    """A model opened as a candidate says, and what one sample of it is."""
    if request["home"]:  # what an engine keeps of a candidate that loses would take the place of what is used
        os.environ["EDGECSP_HOME"] = request["home"]
    detector = pipeline.load(
        importers.load(request["path"]), request["engine"], device=request["device"], threads=request["threads"],
        precision=request["precision"], at_once=request["at_once"],
    )  # fmt: skip
    if request["kind"] == "throughput":
        return _side_by_side(detector)
    pictures = itertools.cycle(verify.drawn(PICTURES))

    def one() -> None:
        detector(next(pictures))

    return WorkerTask(one, 1)


class Drawn(sources.Source):
    """Drawn pictures over and over, as a video that takes no time to decode."""

    moving = True

    def __iter__(self) -> Iterator[Frame]:
        stream = Stream(self.name, "video")
        for index, picture in enumerate(itertools.cycle(verify.drawn(PICTURES))):
            if self.closed:
                return
            yield Frame(picture, stream, index)


def backlog(at_once: int) -> int:
    """How many pictures `flow` has done or begun when nobody takes them."""
    return scheduler.workers(at_once) + scheduler.READY


def _side_by_side(detector: pipeline.Detector) -> WorkerTask:
    """A sample is as many pictures as can lie ready: the calls before a round, which do not count, take those away."""
    line = scheduler.results(
        [Drawn("drawn pictures")], lambda frame: detector(frame.image), concurrency=_places(detector)
    )
    count = backlog(_places(detector))

    def some() -> None:
        for _ in range(count):
            next(line)

    return WorkerTask(some, count)


def _places(detector: pipeline.Detector) -> int:
    return backends.at_once(detector.session)
