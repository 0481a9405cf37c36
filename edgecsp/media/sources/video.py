"""Videos through PyAV: every frame upright, with correct colours and its own time; damage is counted."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Callable, Dict, Iterator, List, Optional

from ...cache import files
from ...errors import SourceError
from ...system import cpu
from ...types import Frame, Stream
from ._ending import is_incomplete
from ._upright import ToBgr
from .base import Source
from .ffmpeg_log import Message, Watch, capture_log, demuxer_errors, local_errors, open_container
from .images import looks_like
from .paths import check_regular

Problems = Dict[str, int]

# Demuxers whose header has the real duration; others estimate it.
_WITH_DURATION = ("matroska", "flv", "live_flv", "asf")
# Demuxers of streams without timestamps, which assume 25 frames per second.
_RAW = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "obu")


class Video(Source):
    """A video file; a stream of kind "video". It is opened only when it is read."""

    moving = True

    def __init__(self, path: str, *, stride: int = 1) -> None:
        super().__init__(path, stride=stride, paths=[path])
        self._stream: Optional[Stream] = None

    @property
    def frames(self) -> Optional[int]:
        """Expected number of frames after the stride, by the file's header; None when unknown."""
        if self._stream is None:
            try:
                self.check()
            except SourceError:
                return None  # reported when it is read
        return self._stream.frames if self._stream else None

    def check(self) -> None:
        """Read the header once; raises `SourceError`."""
        with open_video(self.name) as container:
            self._stream = describe(container, self.name, "video", self.stride)

    def __iter__(self) -> Iterator[Frame]:
        with open_video(self.name, self.problems) as container:
            stream = self._stream = describe(container, self.name, "video", self.stride)
            yield from frames(
                container, stream, self.problems, self.stride, lambda: self.closed, threads=self.threads,
                path=self.name, reopen=lambda: open_video(self.name), on_packet=self.on_packet,
            )  # fmt: skip


def open_video(path: str, problems: Optional[Problems] = None) -> Any:
    """Open a file as a PyAV container with a video track; raises `SourceError`.

    Damage found while opening is counted in `problems`.
    """
    import av

    check_regular(path)
    head = files.read(path, 64)
    if not head:
        raise SourceError(f"{path} is empty (0 bytes)")
    try:
        # "file:" because FFmpeg would read 12:30.mp4 as a protocol; the whitelist because a disguised playlist may name
        # any URL.
        container = open_with_log(
            lambda: open_container(f"file:{path}", container_options={"protocol_whitelist": "file"}),
            path, problems,
        )  # fmt: skip
    except av.error.FFmpegError as error:
        hint = "; an mp4 that is truncated or was never finished has no index" if head[4:8] == b"ftyp" else ""
        raise SourceError(
            f"{path} is not a video that FFmpeg can read: {os.path.getsize(path)} bytes, {looks_like(head)} "
            f"({error.strerror}){hint}"
        ) from error
    try:
        track(container, path)
    except SourceError:
        container.close()
        raise
    return container


def open_with_log(open_container: Callable[[], Any], name: str, problems: Optional[Problems]) -> Any:
    """Open a container and count damage found by the demuxer in `problems`, if given."""
    with capture_log(), local_errors() as errors:
        container = open_container()
    # The mov demuxer reads only the index here, and logs errors for harmless ones.
    if problems is not None and not container.format.name.startswith("mov"):
        _note_container(container, name, errors, problems)
    return container


def track(container: Any, name: str) -> Any:
    """Find the first video track that is not cover art; raises `SourceError`."""
    tracks = [s for s in container.streams.video if not _is_cover(container, s)]
    kind = container.format.name
    if kind == "tty":  # FFmpeg renders plain text as a video of a terminal
        raise SourceError(f"{name} has no video: FFmpeg identifies it as plain text")
    if not tracks:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceError(f"{name} has no video: FFmpeg identifies it as {kind} with {kinds}")
    if tracks[0].codec_context is None:
        raise SourceError(f"{name} has a video in a codec that this FFmpeg does not support ({kind})")
    return tracks[0]


def _is_cover(container: Any, stream: Any) -> bool:
    if hasattr(stream, "disposition"):
        from av.stream import Disposition

        return bool(int(stream.disposition) & int(Disposition.attached_pic))
    # Missing in PyAV 12: assume cover art for a still codec without a rate next to audio, in a file.
    codec = stream.codec_context
    still = codec is not None and codec.name in ("mjpeg", "png") and stream.average_rate is None
    return still and bool(container.streams.audio) and container.format.name != "rtsp"


def describe(container: Any, name: str, kind: str, stride: int) -> Stream:
    """Describe an open container as a `Stream`: frames per second, and expected frames after the stride."""
    video = track(container, name)
    rates = (video.average_rate, video.guessed_rate)
    rate = next(filter(None, reversed(rates) if container.format.name in _RAW else rates), None)
    fps = float(rate) if rate else None
    total: Optional[int] = None
    if kind == "video":
        total = video.frames or None
        if total is None and fps and container.duration:
            total = round(container.duration / 1e6 * fps)
    return Stream(name, kind, fps, math.ceil(total / stride) if total else None, _pixel_aspect(video))


def _pixel_aspect(video: Any) -> Optional[Fraction]:
    aspect = video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio
    return Fraction(aspect) if aspect and aspect != 1 else None


def frames(
    container: Any,
    stream: Stream,
    problems: Problems,
    stride: int,
    stopped: Callable[[], bool],
    patience_s: float = math.inf,
    threads: Optional[int] = None,
    path: Optional[str] = None,
    reopen: Optional[Callable[[], Any]] = None,
    begin_s: float = -math.inf,
    on_packet: Optional[Callable[[Any], None]] = None,
) -> Iterator[Frame]:
    """Decode an open container: every `stride`-th frame as (H, W, 3) uint8 BGR, upright, pts in seconds.

    Undecodable frames are counted in `problems`. Raises PyAV's error when a live stream fails, and `SourceError` when
    no frame comes for `patience_s`. `path` is the file, if it is one; `reopen` opens the container again, to find out
    which of several videos was damaged. After a seek, frames before `begin_s` may refer to frames that were not read,
    which is not counted as damage. `on_packet` is called with each packet of the video before it is decoded.
    """
    video = track(container, stream.name)
    # Frame threads delay by one frame each, which adds latency to a live stream.
    video.thread_type = "SLICE" if stream.kind == "live" else "AUTO"
    # FFmpeg's default is one thread, and one frame of memory, more than there are CPUs.
    video.codec_context.thread_count = threads or cpu.threads()
    to_bgr = ToBgr()
    progress = _Progress(stream.kind == "live", begin_s)
    index = -1
    watch = Watch(video.codec_context)
    try:
        with watch:
            decoded = _decode(container, video, stream, problems, stopped, patience_s, progress, watch, on_packet)
            for index, decoded_frame in enumerate(decoded):
                pts_s = decoded_frame.time
                if pts_s is None and stream.fps:
                    pts_s = index / stream.fps  # a raw H.264 stream has no timestamps
                progress.see(pts_s or 0.0)
                if not progress.is_begun:  # the first frames of a live stream refer to frames that were not received
                    progress.is_begun = decoded_frame.key_frame if progress.is_live else (pts_s or 0.0) >= begin_s
                    watch.forget()
                watch.flagged += decoded_frame.is_corrupt
                _note_damaged(watch, stream, problems)
                if index % stride:
                    continue
                image = to_bgr(decoded_frame)
                if image is None:
                    problems[f"{stream.name}: frames in a pixel format that cannot be converted"] += 1
                    continue
                if not index and stream.pixel_aspect and to_bgr.is_sideways:
                    stream = replace(stream, pixel_aspect=1 / stream.pixel_aspect)
                frame = Frame(image, stream, index, pts_s)
                del image
                yield frame
                del frame  # free the frame before the next one is decoded
    finally:
        _note_damaged(watch, stream, problems)  # also frames in flight when the reader left
    if stopped() or stream.kind != "video":
        return
    if watch.is_unclear:  # without `reopen`, assume that it is this one
        watch.damaged = _recount(reopen(), stream.name) if reopen else max(1, watch.damaged)
    _note_damaged(watch, stream, problems)
    _note_missing(container, video, stream, index + 1, progress, problems, path)


@dataclass
class _Progress:
    """Progress of reading a video: frame time, time over all tracks, bytes."""

    is_live: bool
    begin_s: float = -math.inf
    is_begun: bool = field(init=False)
    is_cut: bool = False  # reported by the demuxer
    frame_s: float = 0.0  # time of the latest frame
    gap_s: float = 0.0  # longest time between two frames
    end_s: float = 0.0  # end of the latest packet
    end_byte: int = 0
    ticks: Dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.is_begun = not self.is_live

    def see(self, pts_s: float) -> None:
        """Record a frame."""
        self.gap_s = max(self.gap_s, pts_s - self.frame_s)
        self.frame_s = max(self.frame_s, pts_s)

    def read(self, packet: Any) -> None:
        """Record a packet of any track."""
        number = packet.stream_index
        if number not in self.ticks:
            self.ticks[number] = float(packet.stream.time_base or 0)
        if packet.pts is not None:
            begin_s = packet.pts * self.ticks[number]
            self.end_s = max(self.end_s, begin_s + (packet.duration or 0) * self.ticks[number])
            if begin_s < self.begin_s and packet.stream.type == "video":
                self.is_begun = False
        if packet.pos is not None:
            self.end_byte = max(self.end_byte, packet.pos + packet.size)


def _note_damaged(watch: Watch, stream: Stream, problems: Problems) -> None:
    more = watch.new_damaged()
    if more:
        problems[f"{stream.name}: damaged frames"] += more


def _note_container(container: Any, name: str, errors: List[Message], problems: Problems) -> None:
    count = demuxer_errors(container, errors)
    if count:
        problems[f"{name}: errors in the container, frames may be missing"] += count


def _note_missing(
    container: Any,
    video: Any,
    stream: Stream,
    frame_count: int,
    progress: _Progress,
    problems: Problems,
    path: Optional[str],
) -> None:
    if not frame_count:
        is_http = stream.name.startswith(("http://", "https://"))
        hint = "; download it: its server may not send parts of a file (Range)" if is_http else ""
        raise SourceError(f"{stream.name} has no frame that can be decoded ({video.codec_context.name}){hint}")
    lost = _lost(container, video, stream, frame_count, progress)
    if lost > 0:
        problems[f"{stream.name}: frames missing, the file is truncated"] += lost
    elif progress.is_cut or (path is not None and is_incomplete(path, container.format.name, progress.end_byte)):
        problems[f"{stream.name}: frames missing, the file is truncated or has a hole"] += 1


def _lost(container: Any, video: Any, stream: Stream, frame_count: int, progress: _Progress) -> int:
    """Estimate how many frames are missing after the last one, by the container's metadata."""
    if not stream.fps:
        return 0
    kind = container.format.name.split(",")[0]
    if kind in _WITH_DURATION and container.duration:
        # Over all tracks: audio may be longer than the video. The last frame may be as long as any other.
        promised_s: float = container.duration / 1e6
        short_s = promised_s - progress.end_s
        if short_s <= max(0.5, 2.5 / stream.fps, 1.5 * progress.gap_s):
            return 0
        return max(round(short_s * stream.fps), round(promised_s * stream.fps) - frame_count)
    # Fewer frames than in the index are normal in a trimmed file, unless it also ends early.
    end_s = video.duration * video.time_base if video.duration else 0
    if kind == "avi":  # its demuxer derives the duration from the file size, not the header
        end_s = video.frames / stream.fps
    lost: int = video.frames - frame_count
    return lost if end_s - progress.frame_s > 2.5 / stream.fps else 0


def _recount(container: Any, name: str) -> int:
    """Count the packets with decoding errors in a single thread, whose messages are certainly about this video."""
    import av

    count = 0
    with container, capture_log():
        video = track(container, name)
        video.thread_type, video.codec_context.thread_count = "SLICE", 1
        for packet in _packets(container, Stream(name, "video"), Counter(), _Progress(is_live=False)):
            if packet.stream is video:
                with local_errors() as errors:
                    try:
                        packet.decode()
                    except av.error.FFmpegError:
                        continue
                count += bool(errors)
    return count


def _decode(
    container: Any, video: Any, stream: Stream, problems: Problems, stopped: Callable[[], bool], patience_s: float,
    progress: _Progress, watch: Watch, on_packet: Optional[Callable[[Any], None]],
) -> Iterator[Any]:  # fmt: skip
    import av

    last_frame_at = time.monotonic()
    # In an mp4 this is the last packet of a truncated file; its error would lose frames still in the decoder threads.
    cut_off = "mp4" in container.format.name
    for packet in _packets(container, stream, problems, progress):
        if stopped():
            return
        if packet.stream is video:
            if packet.is_corrupt:
                problems[f"{stream.name}: damaged packets"] += 1
                if cut_off:
                    continue
            if on_packet is not None:
                on_packet(packet)
            try:
                with watch.decoding():
                    decoded = packet.decode()
            except av.error.FFmpegError:
                problems[f"{stream.name}: packets that cannot be decoded"] += 1
                decoded = []
            while decoded:
                yield decoded.pop(0)
                # After the yield: time spent by the consumer does not count.
                last_frame_at = time.monotonic()
        if time.monotonic() - last_frame_at > patience_s:
            raise SourceError(f"{stream.name} sends data, but no frame for {patience_s:g} s", docs="rtsp-timeout")


def _packets(container: Any, stream: Stream, problems: Problems, progress: _Progress) -> Iterator[Any]:
    import av

    # All tracks: with one selected, PyAV would block while only others have data.
    demuxed = container.demux()
    while True:
        try:
            with local_errors() as errors:
                packet = next(demuxed, None)
        except av.error.FFmpegError:
            if stream.kind == "live":
                raise
            problems[f"{stream.name}: read error, the rest is lost"] += 1
            return
        if errors and stream.kind != "live":
            ended = [one for one in errors if "ended prematurely" in one[2]]
            progress.is_cut |= bool(ended)
            _note_container(container, stream.name, [one for one in errors if one not in ended], problems)
        if packet is None:
            return
        if stream.kind != "live":
            progress.read(packet)
        yield packet
