"""Trackers of several streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ..options import Thresholds
from ..types import Detections, Frame, Origin, Result, Stream
from .areas import Line, Zone
from .counting import AreaCounter
from .tracker import Tracker, TrackSettings


class StreamTrackers:
    """A tracker for each stream, made with its first frame, and with `lines` or `zones` a counter."""

    def __init__(
        self,
        conf: float,
        settings: Optional[TrackSettings] = None,
        lines: Sequence[Line] = (),
        zones: Sequence[Zone] = (),
    ) -> None:
        self._conf, self._settings = conf, settings
        self._lines, self._zones = lines, zones
        self._counters: Dict[Stream, AreaCounter] = {}
        self._ended: List[Tuple[str, Dict[str, Any]]] = []
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
        tracks = self._tracker(frame.stream).update(boxes, frame.pts_s, frame.hw)
        if not self._lines and not self._zones:
            return tracks
        if frame.stream not in self._counters:
            self._counters[frame.stream] = AreaCounter(self._lines, self._zones, frame.stream.name)
        counter = self._counters[frame.stream]
        height, width = frame.hw
        return tracks.counted_by(counter.update(tracks, frame.pts_s, (width, height)), counter.areas())

    def _tracker(self, stream: Stream) -> Tracker:
        if stream not in self._trackers:
            self._trackers[stream] = Tracker(self._conf, self._settings)
        return self._trackers[stream]

    def end(self, stream: Stream) -> None:
        """Forget the objects of a stream that has ended; its counts stay."""
        self._trackers.pop(stream, None)
        if stream in self._counters:
            self._ended.append((stream.name, self._counters.pop(stream).counts()))

    def counts(self) -> List[Tuple[str, Dict[str, Any]]]:
        """Return what `AreaCounter.counts` gives of each stream, with its name."""
        return [*self._ended, *((stream.name, counter.counts()) for stream, counter in self._counters.items())]
