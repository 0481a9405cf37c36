"""Annotated frames in a window."""

from __future__ import annotations

from typing import Callable

from ...types import Frame, Result
from .. import draw, window
from .base import Sink

IMAGE_MS = 500


class WindowSink(Sink):
    """Shows each frame as it comes, an image for half a second; Escape, q or closing the window calls `stop`.

    Raises `UsageError` without a display.
    """

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        window.check_display()
        self._stop = stop

    def write(self, frame: Frame, result: Result) -> None:
        """Show a frame."""
        wait_ms = IMAGE_MS if frame.stream.kind == "image" else 1
        if not window.show(draw.annotate(frame.image, result), "edgecsp", wait_ms=wait_ms):
            self._stop()

    def close(self) -> None:
        """Close the window."""
        window.close()

    def abort(self) -> None:
        """Close the window."""
        window.close()
