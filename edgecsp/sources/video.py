"""Videos through PyAV: every frame upright, in true colours, with its own time; damage is counted."""

from __future__ import annotations

import math
import os
import time
from typing import Any, Callable, Dict, Iterator, Optional

import numpy as np

from .. import cpu
from ..core import Array, Frame, Stream
from ..errors import SourceError
from .base import Source
from .paths import check_regular
from .pictures import looks_like

Problems = Dict[str, int]


class Video(Source):
    """A video file; a stream of kind "video". It is opened when read, so many can wait."""

    moving = True

    def __init__(self, path: str, *, stride: int = 1) -> None:
        super().__init__(path, stride=stride, paths=[path])
        self._stream: Optional[Stream] = None

    @property
    def frames(self) -> Optional[int]:
        """Expected number of frames after the stride, by the file's header; None when it does not tell."""
        if self._stream is None:
            try:
                self.check()
            except SourceError:
                return None  # told when it is read
        return self._stream.frames if self._stream else None

    def check(self) -> None:
        """Read the header once; raises `SourceError`."""
        with open_video(self.name) as container:
            self._stream = describe(container, self.name, "video", self.stride)

    def __iter__(self) -> Iterator[Frame]:
        with open_video(self.name) as container:
            stream = self._stream = describe(container, self.name, "video", self.stride)
            yield from frames(container, stream, self.problems, self.stride, lambda: self.closed, threads=self.threads)


def open_video(path: str) -> Any:
    """A file -> an open PyAV container that holds a video; raises `SourceError`."""
    import av

    check_regular(path)
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        if not head:
            raise SourceError(f"{path} is empty (0 bytes)")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    try:
        # "file:" because a name like 12:30.mp4 is a protocol to FFmpeg; the whitelist because a playlist in
        # disguise may name any URL.
        container = av.open(f"file:{path}", container_options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except av.error.FFmpegError as error:
        hint = "; an mp4 that was cut off or never finished has no index" if head[4:8] == b"ftyp" else ""
        raise SourceError(
            f"{path} is not a video FFmpeg can read: {os.path.getsize(path)} bytes, {looks_like(head)} "
            f"({error.strerror}){hint}"
        ) from error
    try:
        track(container, path)
    except SourceError:
        container.close()
        raise
    return container


def track(container: Any, name: str) -> Any:
    """The first video track that is no cover art; raises `SourceError`."""
    found = [s for s in container.streams.video if not _is_cover(container, s)]
    kind = container.format.name
    if kind == "tty":  # FFmpeg renders plain text as a video of a terminal
        raise SourceError(f"{name} holds no video: FFmpeg takes it for plain text")
    if not found:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceError(f"{name} holds no video: FFmpeg takes it for {kind} with {kinds}")
    if found[0].codec_context is None:
        raise SourceError(f"{name} holds a video in a codec that this FFmpeg does not know ({kind})")
    return found[0]


def _is_cover(container: Any, stream: Any) -> bool:
    if hasattr(stream, "disposition"):
        from av.stream import Disposition

        return bool(int(stream.disposition) & int(Disposition.attached_pic))
    # PyAV 12 does not tell: a still codec without a rate beside sound, in a file.
    codec = stream.codec_context
    still = codec is not None and codec.name in ("mjpeg", "png") and stream.average_rate is None
    return still and bool(container.streams.audio) and container.format.name != "rtsp"


def describe(container: Any, name: str, kind: str, stride: int) -> Stream:
    """An open container -> its `Stream`: frames per second, and the expected frames after the stride."""
    video = track(container, name)
    rate = video.average_rate or video.guessed_rate
    fps = float(rate) if rate else None
    total: Optional[int] = None
    if kind == "video":
        total = video.frames or None
        if total is None and fps and container.duration:
            total = round(container.duration / 1e6 * fps)
    return Stream(name, kind, fps, math.ceil(total / stride) if total else None)


def frames(
    container: Any,
    stream: Stream,
    problems: Problems,
    stride: int,
    stopped: Callable[[], bool],
    patience_s: float = math.inf,
    threads: Optional[int] = None,
) -> Iterator[Frame]:
    """Decode an open container: every `stride`-th frame as (H, W, 3) uint8 BGR, upright, pts in seconds.

    What cannot be decoded is counted in `problems`. Raises PyAV's error when a live stream breaks, and
    `SourceError` when it brings no frame for `patience_s`.
    """
    video = track(container, stream.name)
    # Frame threads hold back one frame each, which a live view would pay for in delay.
    video.thread_type = "SLICE" if stream.kind == "live" else "AUTO"
    # FFmpeg's own choice is a thread more than there are CPUs, and a frame's memory more.
    video.codec_context.thread_count = threads or cpu.threads()
    to_bgr = _ToBgr()
    index, end_s = -1, 0.0
    for index, picture in enumerate(_decoded(container, video, stream, problems, stopped, patience_s)):
        pts_s = picture.time
        if pts_s is None and stream.fps:
            pts_s = index / stream.fps  # a bare H.264 stream has no clock
        end_s = max(end_s, pts_s or 0.0)
        if picture.is_corrupt:
            problems[f"{stream.name}: damaged frames"] += 1
        if index % stride:
            continue
        image = to_bgr(picture)
        if image is None:
            problems[f"{stream.name}: frames of a kind that cannot be shown"] += 1
            continue
        frame = Frame(image, stream, index, pts_s)
        del image
        yield frame
        del frame  # what nobody else keeps is gone before the next one is made
    if not stopped() and stream.kind == "video":
        _note_missing(container, video, stream, index + 1, end_s, problems)


def _note_missing(container: Any, video: Any, stream: Stream, seen: int, end_s: float, problems: Problems) -> None:
    if not seen:
        raise SourceError(f"{stream.name} holds no frame that can be decoded ({video.codec_context.name})")
    # Fewer frames than the index says is normal in a file that was trimmed; ending early as well is not.
    short_s = (video.duration or 0) * video.time_base - end_s if video.duration else 0.0
    lost = video.frames - seen
    if lost > 0 and stream.fps and short_s > 2.5 / stream.fps:
        problems[f"{stream.name}: frames missing, the file is cut short"] += lost


def _decoded(
    container: Any, video: Any, stream: Stream, problems: Problems, stopped: Callable[[], bool], patience_s: float
) -> Iterator[Any]:
    import av

    seen = time.monotonic()
    # In an mp4 it is the last packet of a file cut short; its error would cost the frames the threads still hold.
    cut_off = "mp4" in container.format.name
    for packet in _packets(container, stream, problems):
        if stopped():
            return
        if packet.stream is video:
            if packet.is_corrupt:
                problems[f"{stream.name}: damaged packets"] += 1
                if cut_off:
                    continue
            try:
                pictures = packet.decode()
            except av.error.FFmpegError:
                problems[f"{stream.name}: packets that cannot be decoded"] += 1
                pictures = []
            while pictures:
                yield pictures.pop(0)
                # Now, not before the yield: the reader's own time does not count against the stream.
                seen = time.monotonic()
        if time.monotonic() - seen > patience_s:
            raise SourceError(f"{stream.name} sends data, but no frame for {patience_s:g} s")


def _packets(container: Any, stream: Stream, problems: Problems) -> Iterator[Any]:
    import av

    try:
        # All tracks: with one chosen, PyAV would wait for it for ever while the others go on.
        yield from container.demux()
    except av.error.FFmpegError:
        if stream.kind == "live":
            raise
        problems[f"{stream.name}: read errors, the rest is lost"] += 1


class _ToBgr:
    """PyAV frame -> (H, W, 3) uint8 BGR, upright, C-contiguous; None when swscale refuses."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # kept: it remembers its tables from frame to frame
        self._upright = _Upright()

    def __call__(self, frame: Any) -> Optional[Array]:
        import av

        try:
            bgr = self._reformatter.reformat(frame, format="bgr24", **_colours(frame)).to_ndarray()
        except (av.error.FFmpegError, ValueError):
            return None
        return np.ascontiguousarray(self._upright(bgr, frame))


class _Upright:
    """Turns pictures as their frames' display matrix says; it is looked up when the rotation is another than before.

    Not for every frame: PyAV's frame and its side data hold each other, so that each frame asked is kept until Python
    happens to collect what it finds in circles, which at 4K may be a gigabyte later.
    """

    def __init__(self) -> None:
        self._rotation: Any = None
        self._turned: Callable[[Array], Array] = np.asarray

    def __call__(self, image: Array, frame: Any) -> Array:
        rotation = getattr(frame, "rotation", 0)  # PyAV 12 does not tell: there the first frame decides
        if rotation != self._rotation:
            self._rotation, self._turned = rotation, _turn(frame, rotation)
        return self._turned(image)


def _turn(frame: Any, rotation: float) -> Callable[[Array], Array]:
    try:
        found = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 stumbles over side data that is newer than itself, such as the EXIF of MJPEG
        return lambda image: np.rot90(image, round(rotation / 90))
    if found is None:
        return np.asarray
    matrix = bytes(found)
    return lambda image: upright(image, matrix)


def _colours(frame: Any) -> Dict[str, Any]:
    name = frame.format.name
    if not name.startswith(("yuv", "nv", "p0")):
        return {}
    full = int(frame.color_range) == 2 or name.startswith("yuvj")
    # 1 is BT.709, 9 and 10 BT.2020; FFmpeg and OpenCV take what is not tagged for BT.601, and so do we.
    source = {1: "itu709", 9: "bt2020", 10: "bt2020"}.get(int(frame.colorspace), "itu601")
    names = _colourspaces()
    source = source if source.upper() in names else "itu709"
    # The destination means nothing for RGB, but PyAV 12 ignores the source unless the two differ.
    return {
        "src_colorspace": source,
        "dst_colorspace": "itu709" if source == "itu601" else "itu601",
        "src_color_range": 2 if full else 1,
        "dst_color_range": 2,
    }


def _colourspaces() -> Any:
    from av.video.reformatter import Colorspace

    return [item.name for item in Colorspace]


def upright(image: Array, matrix: bytes) -> Array:
    """Turn and mirror a picture as a display matrix says (nine int32: a b u c d v x y w; quarter turns only)."""
    a, b, _, c, d = np.frombuffer(matrix[:20], "<i4").tolist()
    across, down = a, d
    if abs(b) > abs(a):
        image = image.transpose(1, 0, 2)
        across, down = c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
