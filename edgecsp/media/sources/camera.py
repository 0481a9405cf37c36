"""Local cameras, through OpenCV."""

from __future__ import annotations

import glob
import time
from typing import Any, Iterator, Union

from ...errors import SourceError
from ...types import Frame, Stream
from .base import Source
from .images import quiet_opencv


class Camera(Source):
    """A camera by its number or device file (/dev/video0); live, opened at once.

    `pts_s` is the time since the first frame. Raises `SourceError` when there is no such camera, or no frame comes
    (OpenCV waits 10 s for a V4L2 camera).
    """

    live = moving = True

    def __init__(self, uri: str, *, stride: int = 1) -> None:
        super().__init__(f"camera {uri}" if uri.isdigit() else uri, stride=stride)
        self._device: Union[int, str] = int(uri) if uri.isdigit() else uri
        self._capture: Any = self._open()

    def _open(self) -> Any:
        import cv2

        with quiet_opencv():
            capture = cv2.VideoCapture(self._device)
        if capture.isOpened():
            return capture
        capture.release()
        devices = ", ".join(sorted(glob.glob("/dev/video*"))) or "none"
        raise SourceError(
            f"cannot open {self.name}; cameras here: {devices}. Is it connected, free, "
            "and are you in the group 'video'?",
            docs="camera-does-not-open",
        )

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        capture, self._capture = self._capture or self._open(), None
        stream = Stream(self.name, "live", capture.get(cv2.CAP_PROP_FPS) or None)
        begun, index = None, -1
        try:
            while not self.closed:
                with quiet_opencv():
                    ok = capture.grab()
                now = time.monotonic()
                if not ok:
                    raise SourceError(
                        f"{self.name} stopped after {index + 1} frames; is it still connected?",
                        docs="camera-does-not-open",
                    )
                index += 1
                begun = now if begun is None else begun
                if index % self.stride:
                    continue
                ok, image = capture.retrieve()
                if not ok:
                    self.problems[f"{self.name}: frames that cannot be decoded"] += 1
                    continue
                if image.ndim == 2:
                    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
                yield Frame(image, stream, index, now - begun)
        finally:
            capture.release()

    def close(self) -> None:
        """Stop; a camera that was never read is released here."""
        super().close()
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
