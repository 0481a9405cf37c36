"""Write mp4 files that every browser plays: H.264, yuv420p, BT.709, index at the front."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Tuple

import numpy as np

from ...cache import files
from ...errors import OutputError
from ...types import Array

CLOCK = 90000
CODEC = "libx264"
JUMP_S = 60.0


class Mp4:
    """Encoder of a video file: images (H, W, 3) uint8 BGR with their times in seconds.

    The first image sets the size (an odd side gets one more pixel); later ones are scaled to it. Times are shifted to
    begin at 0; a jump of more than a minute is removed as a clock change. `pixel_aspect` is a pixel's width by its
    height. The file appears on `close` as `path`, or the first free one of `names` if given.
    Raises `OutputError`.
    """

    def __init__(
        self,
        path: Path,
        hw: Tuple[int, int],
        fps: Optional[float],
        pixel_aspect: Optional[Fraction] = None,
        names: Optional[Iterable[Path]] = None,
    ) -> None:
        self.path, self._names = path, names
        self._part: Optional[files.PartFile] = None
        self._hw = hw
        self._pixel_aspect = pixel_aspect
        self._jump = round(CLOCK * max(JUMP_S, 10 / fps if fps else 0.0))
        self._fps = Fraction(min(max(fps or 25.0, 1.0), 240.0)).limit_denominator(1001)
        self._zero_s: Optional[float] = None
        self._last = -1
        self._step = self._gap = round(CLOCK / self._fps)
        self._container: Any = None
        self._video: Any = None
        self._reformatter: Any = None
        self._bgr: Any = None
        self._canvas: Optional[Array] = None
        import av

        try:
            self._part = files.PartFile(path)
            self._begin(self._part.path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise self._failure(error) from error

    def canvas(self, image: Array) -> Array:
        """Copy an image to a canvas to draw on and `write` next; FFmpeg's own buffer where possible."""
        lines = self._lines()
        if image.shape != lines.shape or not lines.flags.c_contiguous:
            return np.array(image)
        np.copyto(lines, image)
        self._canvas = lines
        return lines

    def write(self, image: Array, pts_s: Optional[float]) -> None:
        """Append an image; without a time it follows the last one at the frame rate."""
        import av

        try:
            frame = self._reformatter.reformat(
                self._fill_frame(image), format="yuv420p", src_colorspace="itu601", dst_colorspace="itu709",
                src_color_range=2, dst_color_range=1,
            )  # fmt: skip
            frame.pts, frame.time_base = self._tick(pts_s), Fraction(1, CLOCK)
            self._mux(frame)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Flush the encoder, write the index and finish the file under its name."""
        import av

        assert self._part is not None
        try:
            self._mux(None)
            self._container.close()
            self.path = self._part.finish(self._names)
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise self._failure(error) from error

    def abort(self) -> None:
        """Remove the file."""
        import av

        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError):  # writing the index may fail on a full disk
                self._container.close()
        if self._part is not None:
            with suppress(OSError):  # an error is already being raised
                self._part.drop()

    def _begin(self, part: Path) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._container = av.open(f"file:{part}", "w", format="mp4", options={"movflags": "+faststart"})
        large = self._hw[0] * self._hw[1] > LARGE
        options = {**_OPTIONS, **(_LEAN if large else {})}
        if self._pixel_aspect:
            options["aspect"] = f"{self._pixel_aspect.numerator}:{self._pixel_aspect.denominator}"
        video = self._container.add_stream(CODEC, rate=self._fps, options=options)
        video.height, video.width = (side + side % 2 for side in self._hw)
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, CLOCK)
        # PyAV's default is slice threads, which wait in each call and leave cores idle. Frame threads need more memory,
        # too much for large frames.
        video.codec_context.thread_type = "SLICE" if large else "FRAME"
        video.codec_context.open()
        self._bgr = av.VideoFrame(video.width, video.height, "bgr24")
        self._video = video

    def _fit(self, image: Array) -> Array:
        import cv2

        height, width = self._hw
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        if height % 2 or width % 2:
            image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(image)

    def _fill_frame(self, image: Array) -> Any:
        """Return FFmpeg's frame filled with an image, which is copied unless it is the canvas."""
        if image is not self._canvas:
            np.copyto(self._lines(), self._fit(image))
        return self._bgr

    def _lines(self) -> Array:
        """Return the pixels of FFmpeg's frame as an array; the frame is reused."""
        plane = self._bgr.planes[0]
        lines: Array = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return lines[:, : self._bgr.width * 3].reshape(self._bgr.height, self._bgr.width, 3)

    def _tick(self, pts_s: Optional[float]) -> int:
        after = self._last + 1
        if pts_s is None:
            tick = self._last + self._step if self._last >= 0 else 0
        else:
            if self._zero_s is None:
                self._zero_s = pts_s
            tick = round((pts_s - self._zero_s) * CLOCK)
            # The clock jumped back (a camera restarted) or far ahead (a damaged time): continue from here.
            if tick < after - CLOCK or tick > after + self._jump:
                tick = self._last + self._step
                self._zero_s = pts_s - tick / CLOCK
        tick = max(tick, after)
        if self._last >= 0:
            self._gap = tick - self._last
        self._last = tick
        return tick

    def _mux(self, frame: Any) -> None:
        for packet in self._video.encode(frame):
            packet.duration = self._gap  # used by mp4 for the last frame only; others end where the next begins
            self._container.mux(packet)

    def _failure(self, error: Exception) -> OutputError:
        if type(error).__name__ in ("UnknownCodecError", "EncoderNotFoundError"):
            return OutputError(
                f"cannot write {self.path}: this FFmpeg has no {CODEC}; install PyAV from its wheel (pip install av)"
            )
        height, width = self._hw
        why = getattr(error, "strerror", None) or str(error)
        return OutputError(f"cannot write {self.path} ({width}x{height}): {why}")


# Above 1080p x264's lookahead and half-pixel planes need half a gigabyte. Without them files are larger for the same
# quality.
LARGE = 1920 * 1088
_LEAN: Dict[str, str] = {"threads": "2", "bf": "0", "x264-params": "rc-lookahead=0:sync-lookahead=0:mbtree=0:subme=0"}
_OPTIONS: Dict[str, str] = {
    "preset": "veryfast",
    "crf": "23",
    # Untagged, a browser guesses the colours by the height.
    "colorspace": "bt709",
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "color_range": "tv",
}
