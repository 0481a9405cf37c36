"""GStreamer pipelines (`gst:PIPELINE`) and Jetson CSI cameras (`csi://0`), through gst-launch-1.0.

A pipeline runs in a child process that writes raw BGR. OpenCV's wheels come without GStreamer, and PyGObject would have
to be compiled for the Jetson TX2's Python; gst-launch comes with every GStreamer, and a crash of a board's plugin ends
only the child process.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from typing import Iterator, List, Optional
from urllib.parse import parse_qsl

from ...errors import SourceError
from ...types import Frame, Stream
from ._gst_launch import PROGRAM, Launched, Silent, redact_word
from .base import Source

CSI = {"width": 1280, "height": 720, "fps": 30, "flip": 0}
IN_A_CONTAINER = (
    "; csi:// needs a Jetson; in a container add: --runtime nvidia --volume /tmp/argus_socket:/tmp/argus_socket"
)


class GStreamerSource(Source):
    """Frames of a GStreamer pipeline, opened at once; live if GStreamer reports it as live.

    `words` are the pipeline as arguments of gst-launch-1.0, without a sink: any raw video is converted to BGR. `pts_s`
    is the time since the first frame (live), else by the frame rate. Opening, and waiting for a frame, end after
    `timeout_s` with a `SourceError`, as do errors of GStreamer.
    """

    moving = True

    def __init__(self, name: str, words: List[str], *, stride: int = 1, timeout_s: float, hint: str = "") -> None:
        super().__init__(name, stride=stride)
        self._words, self._timeout_s, self._hint = words, timeout_s, hint
        self._launched: Optional[Launched] = self._open()
        self.live = self._launched.live
        self._stream = Stream(name, "live" if self.live else "video", self._launched.caps.fps)

    def _open(self) -> Launched:
        launched = Launched(self._words)
        try:
            launched.wait_for_caps(self._timeout_s)
        except Silent as error:
            launched.stop()
            reason = launched.reason() or str(error)
            raise SourceError(f"cannot open {self.name}: {reason}{self._hint}") from None
        except BaseException:
            launched.stop()
            raise
        return launched

    def __iter__(self) -> Iterator[Frame]:
        launched, self._launched = self._launched or self._open(), None
        begun, index = None, -1
        try:
            while not self.closed:
                image = launched.read(self._timeout_s)
                if image is None:
                    break
                now = time.monotonic()
                begun = now if begun is None else begun
                index += 1
                if index % self.stride == 0:
                    fps = launched.caps.fps
                    pts_s = now - begun if self.live else index / fps if fps else None
                    yield Frame(image, self._stream, index, pts_s)
            if self.closed or (launched.has_ended() and index >= 0):
                return
            reason = launched.reason() or "the pipeline stopped"
        except Silent as error:
            reason = str(error)
        finally:
            launched.stop()
        raise SourceError(f"{self.name} failed after {index + 1} frames: {reason}")

    def close(self) -> None:
        """Stop; a pipeline that was never read is stopped here."""
        super().close()
        launched, self._launched = self._launched, None
        if launched is not None:
            launched.stop()


def open_pipeline(uri: str, *, stride: int, timeout_s: float) -> Source:
    """Open `gst:PIPELINE` or `csi://N?width=&height=&fps=&flip=`; raises `SourceError`."""
    if os.name != "posix":
        raise SourceError(f"{uri.partition(':')[0]}: sources need Linux; for a local camera give its number")
    if uri.lower().startswith("csi:"):
        return GStreamerSource(uri, csi_words(uri), stride=stride, timeout_s=timeout_s, hint=IN_A_CONTAINER)
    try:
        words = shlex.split(uri[len("gst:") :])
    except ValueError as error:
        raise SourceError(f"gst: unbalanced quotes in the pipeline ({error})") from None
    if words[:1] == [PROGRAM]:
        words = words[1:]
    if "appsink" in words:  # as in pipelines for OpenCV
        words = words[: words.index("appsink")]
    while words[-1:] == ["!"]:
        words = words[:-1]
    if not words:
        raise SourceError("gst: the pipeline is empty; for example 'gst:v4l2src device=/dev/video0'")
    return GStreamerSource("gst:" + " ".join(map(redact_word, words)), words, stride=stride, timeout_s=timeout_s)


def csi_words(uri: str) -> List[str]:
    """Build the pipeline of a Jetson camera from `csi://1?width=1920&fps=60`; raises `SourceError`."""
    match = re.fullmatch(r"csi://(\d+)/?(?:\?(.*))?", uri, re.IGNORECASE)
    query = dict(parse_qsl(match[2] or "", keep_blank_values=True)) if match else {}
    if not match or set(query) - set(CSI) or not all(value.isdecimal() for value in query.values()):
        raise SourceError(
            f"{uri} is invalid; give the camera's number and integer options: csi://0?width=1280&height=720&fps=30&flip=0"
        )
    values = {**CSI, **{key: int(value) for key, value in query.items()}}
    size = f"width={values['width']},height={values['height']},framerate={values['fps']}/1"
    return [
        *("nvarguscamerasrc", f"sensor-id={match[1]}", "!", f"video/x-raw(memory:NVMM),format=NV12,{size}"),
        *("!", "nvvidconv", f"flip-method={values['flip']}", "!", "video/x-raw,format=BGRx"),
    ]
