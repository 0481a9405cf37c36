"""Events of lines and zones as JSON Lines."""

from __future__ import annotations

from ...types import Frame, Result, Tracks
from .base import TextSink
from .rows import line


class EventSink(TextSink):
    """One JSON object per event and line: what `Event.to_dict` gives."""

    def write(self, frame: Frame, result: Result) -> None:
        """Append the lines of a frame's events."""
        if isinstance(result, Tracks) and result.events:
            self._text.write("".join(line(event.to_dict()) for event in result.events))
