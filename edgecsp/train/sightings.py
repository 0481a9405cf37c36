"""Detections on many images, computed once on the fastest engine here and stored in a run's folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path
from threading import Event
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import pipeline
from ..cache import files
from ..errors import Stopped
from ..media import sources
from ..system import cpu
from ..types import Array, Detections, Frame, Model, Result

LOG = logging.getLogger(__name__)
FILE = "teacher.json"
_LOG_EVERY_S = 10.0
_SAVE_EVERY_S = 60.0


class Sighting(NamedTuple):
    """Detections on an image of `hw` pixels: `xyxy` (N, 4) float32, `scores` (N,), `class_ids` (N,) of the detector."""

    hw: Tuple[int, int]
    xyxy: Array
    scores: Array
    class_ids: Array


def look(
    model: Model, paths: Sequence[str], conf: float, folder: Path, stop: Optional[Event] = None
) -> Dict[str, Sighting]:
    """The boxes of a score of `conf` or more on each image, by path; what cannot be read is left out and logged.

    Raises `SourceError` when none can be read, `Stopped` when `stop` is set; what was computed is kept.
    """
    cached = _Cached(folder / FILE, model, conf)
    missing = [path for path in dict.fromkeys(paths) if path not in cached]
    if missing:
        _compute(model, missing, conf, cached, stop or Event())
    return {path: cached.get(path) for path in paths if path in cached}


def _compute(model: Model, paths: List[str], conf: float, cached: _Cached, stop: Event) -> None:
    begun = logged = saved = time.monotonic()
    done = 0

    def take(frame: Frame, result: Result) -> None:
        if isinstance(result, Detections):
            cached.add(frame.stream.name, frame.hw, result)

    def tick() -> None:
        nonlocal logged, saved, done
        done, now = done + 1, time.monotonic()
        if now - logged > _LOG_EVERY_S:
            rate = done / (now - begun)
            LOG.info("teacher %s: %d of %d images, %.0f per second", model.name, done, len(paths), rate)
            logged = now
        if now - saved > _SAVE_EVERY_S:
            cached.save()
            saved = now

    summary = pipeline.RunSummary()
    with pipeline.load(model, concurrency=cpu.threads(), conf=conf) as detector:
        on = f"{detector.chosen.engine} on {detector.chosen.device}" if detector.chosen else "an engine"
        LOG.info("teacher %s detects on %d images with %s", model.name, len(paths), on)
        try:
            pipeline.run(detector, [sources.ImageFiles(paths, forgive=True)], take, summary, tick=tick, stop=stop)
        finally:
            cached.save()
    for text in summary.problems:
        LOG.warning("%s", text)
    if stop.is_set():
        raise Stopped(f"stopped after the teacher had seen {done} of {len(paths)} images; training had not begun")
    LOG.info("teacher %s: %d images in %.0f s", model.name, done, time.monotonic() - begun)


class _Cached:
    """The file: by detector, by the image's path, its size and rows of class, x0, y0, x1, y1, score."""

    def __init__(self, path: Path, model: Model, conf: float) -> None:
        self._path = path
        self._all: Dict[str, Dict[str, Any]] = {}
        if path.is_file():
            try:
                self._all = json.loads(path.read_text())
            except ValueError:
                self._all = {}  # damaged: computed anew
        key = hashlib.sha256(model.onnx + repr((model.input, model.iou, conf)).encode()).hexdigest()
        self._own = self._all.setdefault(key, {})

    def __contains__(self, path: str) -> bool:
        return os.path.abspath(path) in self._own

    def get(self, path: str) -> Sighting:
        entry = self._own[os.path.abspath(path)]
        table = np.array(entry["boxes"], np.float32).reshape(-1, 6)
        h, w = entry["hw"]
        return Sighting((h, w), table[:, 1:5], table[:, 5], table[:, 0].astype(np.int64))

    def add(self, path: str, hw: Tuple[int, int], detections: Detections) -> None:
        rows = [
            [int(class_id), *(round(float(v), 2) for v in box), round(float(score), 4)]
            for class_id, box, score in zip(detections.class_ids, detections.xyxy, detections.scores)
        ]
        self._own[os.path.abspath(path)] = {"hw": list(hw), "boxes": rows}

    def save(self) -> None:
        with files.atomic(self._path) as file:
            file.write(json.dumps(self._all).encode())
