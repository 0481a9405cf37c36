"""Tracks: the same object has the same id in the frames of a video. Between nms and sink, a `Tracker` a stream."""

from __future__ import annotations

from .streams import StreamTrackers
from .tracker import Tracker, TrackSettings

__all__ = ["StreamTrackers", "TrackSettings", "Tracker"]
