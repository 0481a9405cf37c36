"""Shared parts of the tests of `serve`: counting threads and handles, detectors, a camera."""

from __future__ import annotations

import os
import threading
from typing import Any, List, Optional

import numpy as np

from edgecsp.errors import EdgecspError
from edgecsp.media.sources import Source
from edgecsp.options import Thresholds
from edgecsp.types import Array, Detections, Frame, Stream

LABELS = ("thing", "other thing")


def threads() -> List[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("edgecsp"))


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def detections(count: int, labels: Any = LABELS, box: Any = (10, 20, 60, 70)) -> Detections:
    """Make so many boxes in one place, of the classes in turns."""
    ids = np.arange(count, dtype=np.int32) % len(labels)
    return Detections(np.array([box] * count, np.float32).reshape(-1, 4), np.full(count, 0.9, np.float32), ids, labels)


def frame(index: int = 0, value: int = 200, hw: Any = (120, 160)) -> Frame:
    image = np.full((*hw, 3), value, np.uint8)
    return Frame(image, Stream("video", "live", 30.0), index, index / 30)


class Finds:
    """A pool's `detect`: one box an image, unless it is told to fail."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.error: Optional[Exception] = None
        self.settings: List[Thresholds] = []

    def detect(self, image: Array, settings: Thresholds) -> Detections:
        self.settings.append(settings)
        if self.error is not None:
            raise self.error
        return detections(self.count)


class Camera(Source):
    """A live source that gives a frame whenever it is told to, and breaks off when it is told to."""

    live = moving = True

    def __init__(self, name: str = "camera") -> None:
        super().__init__(name)
        self.changed = threading.Condition()
        self.waiting = 0
        self.broken: Optional[EdgecspError] = None

    def give(self, count: int = 1) -> None:
        with self.changed:
            self.waiting += count
            self.changed.notify_all()

    def breaks(self, error: EdgecspError) -> None:
        with self.changed:
            self.broken = error
            self.changed.notify_all()

    def __iter__(self) -> Any:
        index = 0
        while not self.closed:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting or self.broken or self.closed, 0.05)
                if self.broken:
                    raise self.broken
                if not self.waiting:
                    continue
                self.waiting -= 1
            yield frame(index)
            index += 1
