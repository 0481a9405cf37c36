"""Tracks: the same object has the same id in the frames of a video. Between nms and sink, a `Tracker` a stream.

`Line`s and `Zone`s count the objects of tracks: an `AreaCounter` a stream, which gives `Event`s.
"""

from __future__ import annotations

from .areas import Line, Zone, parse_line, parse_zone
from .counting import AreaCounter
from .events import Event
from .streams import StreamTrackers
from .tracker import Tracker, TrackSettings

__all__ = [
    "AreaCounter", "Event", "Line", "StreamTrackers", "TrackSettings", "Tracker", "Zone", "parse_line", "parse_zone",
]  # fmt: skip
