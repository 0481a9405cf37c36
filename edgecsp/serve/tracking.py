"""Tracks of one stream over its frames and reconnects, and what its lines and zones make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from ..media.sources import Source
from ..media.sources.packets import RecentPackets
from ..options import Thresholds
from ..track import Tracker
from ..types import Frame, Model, Result, Tracks
from .areas import StreamAreas
from .recorder import Recorder


class StreamTracking:
    """Tracks the results of a stream's frames, counts them and has what happened recorded."""

    def __init__(self, areas: StreamAreas, model: Model, recorder: Optional[Recorder]) -> None:
        self._areas, self._model, self._recorder = areas, model, recorder
        self._tracker = Tracker(self._conf(Thresholds()))
        self._packets: Optional[RecentPackets] = None

    def begin(self, source: Source) -> None:
        """Begin anew with a source that is about to be read: its objects are others, and its clock as well."""
        self._tracker.restart()
        self._areas.skip()
        if self._recorder is not None:
            self._packets = self._recorder.watch(source)

    def lower(self, settings: Thresholds) -> Thresholds:
        """Lower the threshold to the score from which a box may continue a track."""
        self._tracker.conf = self._conf(settings)
        return replace(settings, conf=self._tracker.low_conf)

    def update(self, frame: Frame, result: Result) -> Tracks:
        """Track the result of the next frame."""
        boxes = result.require_boxes("tracks need boxes; a classifier's result speaks of the whole image")
        tracks = self._tracker.update(boxes, frame.pts_s or 0.0, frame.hw)
        for event in self._areas.update(frame, tracks):
            if self._recorder is not None:
                self._recorder.record(event.to_dict(), frame, tracks, self._packets)
        return tracks

    def _conf(self, settings: Thresholds) -> float:
        return self._model.conf if settings.conf is None else settings.conf
