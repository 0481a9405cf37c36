"""URLs: live cameras and broadcasts, videos and images on web servers. Every call has a timeout."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, Callable, Dict, Iterator, Mapping, Optional
from urllib.parse import unquote, urlsplit

from ...errors import SourceError
from ...options.choices import MAX_PIXELS
from ...system.redaction import redact, redact_text
from ...types import Frame
from . import video
from .base import Source
from .ffmpeg_log import local_errors, open_container
from .images import MAX_BYTES, EncodedImage

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "http", "https")
TIMEOUT_S = 10.0


class NetworkSource(Source):
    """A URL read by FFmpeg: a live stream, or a video file of known length over http.

    It is opened at once. RTSP uses TCP unless `options` (FFmpeg's) say otherwise. Opening, and
    waiting for a frame, end after `timeout_s` with a `SourceError`.
    """

    moving = True

    def __init__(
        self, url: str, *, stride: int = 1, timeout_s: float = TIMEOUT_S, options: Optional[Mapping[str, str]] = None
    ) -> None:
        super().__init__(redact(url), stride=stride)
        self._url = url
        self._timeout_s = timeout_s
        self._rtsp = url.lower().startswith("rtsp")
        self._options: Dict[str, str] = {"rtsp_transport": "tcp"} if self._rtsp else {}
        self._options.update(options or {})
        self._container: Any = self._open()
        try:
            video.track(self._container, self.name)
        except SourceError:
            self._container.close()
            raise
        finite = bool(self._container.duration)
        self.live = not (finite and url.lower().startswith("http"))
        self._endless = not finite and self._rtsp
        self._stream = video.describe(self._container, self.name, "live" if self.live else "video", stride)

    @property
    def frames(self) -> Optional[int]:
        """Expected number of frames of a video file, None for a live stream."""
        return self._stream.frames

    @property
    def is_still_image(self) -> bool:
        """Whether FFmpeg identifies the content as a single still image."""
        name: str = self._container.format.name if self._container else ""
        return name.endswith("_pipe") or name == "image2"

    def _open(self) -> Any:
        import av

        begun = time.monotonic()
        # FFmpeg's RTSP waits twice: after the first timeout it still returns a packet that it held back.
        wait_s = self._timeout_s / 2 if self._rtsp else self._timeout_s

        def connect() -> Any:
            with local_errors():  # the first frames are decoded here, so their errors are not another video's
                return open_container(
                    self._url, timeout=(self._timeout_s, wait_s), container_options=self._options
                )  # fmt: skip

        try:
            return _interruptible(connect)
        except (av.error.FFmpegError, UnicodeError, ValueError) as error:
            reason = self._reason(error, begun)
        # Outside of the except block: PyAV's message contains the URL, which exception chaining would show.
        reason += "; check the address, the login and the network"
        raise SourceError(f"cannot open {self.name}: {reason}", docs="rtsp-timeout" if self._rtsp else "")

    def _reason(self, error: Exception, begun: float) -> str:
        import av

        # An interrupted handshake is reported as "invalid data", so the time decides.
        late = time.monotonic() - begun >= self._timeout_s * 0.99
        if late or isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
            return f"no response for {self._timeout_s:g} s"
        return getattr(error, "strerror", None) or type(error).__name__

    def __iter__(self) -> Iterator[Frame]:
        import av

        container, self._container = self._container or self._open(), None
        reason, last_frame_at, count = "the server ended the stream", time.monotonic(), 0
        with container:
            decoded = video.frames(
                container, self._stream, self.problems, self.stride, lambda: self.closed, self._timeout_s, self.threads,
                reopen=self._open, on_packet=self.on_packet,
            )  # fmt: skip
            try:
                for frame in decoded:
                    count += 1
                    yield frame
                    last_frame_at = time.monotonic()
            except av.error.FFmpegError as error:
                reason = self._reason(error, last_frame_at)
            else:
                if self.closed or not self._endless:
                    return
        raise SourceError(f"{self.name} failed after {count} frames: {reason}", docs="rtsp-timeout")

    def close(self) -> None:
        """Stop; a container that was never read is closed here."""
        super().close()
        container, self._container = self._container, None
        if container is not None:
            container.close()


def _interruptible(connect: Callable[[], Any]) -> Any:
    """Connect so that Ctrl-C ends the wait at once: within FFmpeg's calls a KeyboardInterrupt would be late, and lost.

    A container that is open too late is closed.
    """
    if threading.current_thread() is not threading.main_thread():
        return connect()  # signals arrive in the main thread alone
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(connect())
        except BaseException as error:  # noqa: BLE001 (whoever waits gets it)
            future.set_exception(error)

    threading.Thread(target=work, name="edgecsp-connect", daemon=True).start()
    try:
        return future.result()
    except KeyboardInterrupt:
        future.add_done_callback(_close_late)
        raise


def _close_late(future: Future[Any]) -> None:
    if future.exception() is None:
        future.result().close()


def open_url(
    url: str, *, stride: int, timeout_s: float, options: Optional[Mapping[str, str]], max_pixels: int = MAX_PIXELS
) -> Source:
    """Open a URL as an image, a video or a live stream; raises `SourceError`."""
    from . import IMAGE_SUFFIXES

    path = None
    with suppress(ValueError):  # its message may contain credentials, so it is not chained
        path = urlsplit(url).path
    if path is None:
        raise SourceError(f"{redact(url)} is not a valid URL (brackets, or invalid characters in the host name)")
    web = url.lower().startswith("http")
    if web and PurePosixPath(unquote(path)).suffix.lower() in IMAGE_SUFFIXES:
        return EncodedImage(download(url, timeout_s), redact(url), max_pixels)
    source = NetworkSource(url, stride=stride, timeout_s=timeout_s, options=options)
    if web and source.is_still_image:
        source.close()
        return EncodedImage(download(url, timeout_s), source.name, max_pixels)
    return source


def download(url: str, timeout_s: float) -> bytes:
    """Download a URL, at most 1 GiB; `timeout_s` bounds each wait, not the whole download."""
    from ...system.http import RequestFailed, shared_client

    try:
        with shared_client().open(url, timeout_s=timeout_s) as response:
            if 200 <= response.status < 300:
                return response.read(MAX_BYTES)
            reason = f"the server answered {response.status_text}"
    except RequestFailed as error:
        reason = str(error)
    # Outside of the except block: the errors that this one was made of may quote the URL.
    raise SourceError(f"cannot open {redact(url)}: {redact_text(reason)}; check the address, the login and the network")
