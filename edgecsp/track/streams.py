"""Trackers of several streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Optional, Union

from ..options import Thresholds
from ..types import Detections, Frame, Origin, Result, Stream
from .tracker import Tracker, TrackSettings


class StreamTrackers:
    """A tracker for each stream, made with its first frame."""

    def __init__(self, conf: float, settings: Optional[TrackSettings] = None) -> None:
        self._conf, self._settings = conf, settings
        self._trackers: Dict[Stream, Tracker] = {}

    def lower(self, thresholds: Thresholds) -> Thresholds:
        """Lower the threshold to the score from which a box may continue a track."""
        return replace(thresholds, conf=Tracker(self._conf, self._settings).low_conf)

    def update(self, frame: Union[Frame, Origin], result: Result) -> Result:
        """Track the detections of a stream's next frame; a still image's stay as they are, above the threshold.

        Raises `UsageError` for a classifier.
        """
        boxes: Detections = result.require_boxes("tracks need boxes; a classifier's result speaks of the whole image")
        if frame.pts_s is None:
            return boxes[boxes.scores >= self._conf]
        return self._tracker(frame.stream).update(boxes, frame.pts_s)

    def _tracker(self, stream: Stream) -> Tracker:
        if stream not in self._trackers:
            self._trackers[stream] = Tracker(self._conf, self._settings)
        return self._trackers[stream]

    def end(self, stream: Stream) -> None:
        """Forget a stream that has ended."""
        self._trackers.pop(stream, None)
