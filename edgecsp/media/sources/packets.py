"""Keep the newest packets of a video, and write some of them to an mp4 file: nothing is decoded or encoded.

The packets are copied out of FFmpeg's container, so that they outlast it: a camera may break off before its clip is
written. There is no sound in them.
"""

from __future__ import annotations

import io
import itertools
import threading
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any, Deque, List, NamedTuple

from ...cache import files
from ...errors import OutputError

CODECS = ("h264", "hevc", "av1", "vp9")  # what browsers play in an mp4; H.265 only where the device can
MOST_BYTES = 64 << 20
REORDERED = 16  # frames at most, by the standards


class _Packet(NamedTuple):
    """A packet apart from its container; times in ticks of the stream."""

    data: bytes
    pts: int
    dts: int
    duration: int
    is_key: bool


class RecentPackets:
    """The packets of the last `seconds` of one opened video, from a keyframe on, in at most `most_bytes`.

    The reader of the video calls `add` with each packet; any thread may call `write`. `reason` says why there is
    nothing to write, "" when there may be something.
    """

    def __init__(self, seconds: float, most_bytes: int = MOST_BYTES) -> None:
        self.reason = "its source gives no packets"  # a camera through OpenCV or GStreamer, still images
        self._seconds, self._most_bytes = seconds, most_bytes
        self._lock = threading.Lock()
        self._groups: Deque[List[_Packet]] = deque()  # each begins with a keyframe
        self._bytes = 0
        self._untimed = b""  # a keyframe that gets its time from the packet after it
        self._tick = Fraction(1)
        self._parameters: Any = None

    def add(self, packet: Any) -> None:
        """Add the next packet of PyAV as it was demuxed."""
        if not packet.size or (self._parameters is None and not self._begin(packet)):
            return
        if packet.pts is None:
            # FFmpeg's RTSP reader gives the first keyframe no time, and cameras send the next one seconds later.
            self._untimed = bytes(packet) if packet.is_keyframe and not self._groups else b""
            return
        if self._untimed:
            # Room for three B-frames that are shown before this one.
            before = 4 if packet.stream.codec_context.has_b_frames else 1
            pts = packet.pts - before * _ticks_of_frame(packet)
            dts = min(pts, pts if packet.dts is None else packet.dts) - REORDERED
            self._add(_Packet(self._untimed, pts, dts, packet.duration or 0, True))
            self._untimed = b""
        last = self._groups[-1][-1].dts if self._groups else packet.pts - REORDERED
        dts = last + 1 if packet.dts is None else packet.dts  # Matroska leaves the first ones open
        self._add(_Packet(bytes(packet), packet.pts, dts, packet.duration or 0, packet.is_keyframe))

    def _add(self, copied: _Packet) -> None:
        with self._lock:
            if self._groups and copied.dts <= self._groups[-1][-1].dts:  # the clock went back, which no mp4 can
                self._clear()
            if copied.is_key:
                self._groups.append([])
            if self._groups:
                self._groups[-1].append(copied)
                self._bytes += len(copied.data)
                self._forget(copied.dts - self._seconds / self._tick)

    def _begin(self, packet: Any) -> bool:
        """Keep the stream's parameters with its first keyframe; whether there is one, of a codec for browsers."""
        codec = packet.stream.codec_context.name
        if codec not in CODECS:
            self.reason = f"browsers do not play {codec} in an mp4"
        elif packet.is_keyframe:
            self._tick, self._parameters, self.reason = Fraction(packet.time_base), _copy_parameters(packet), ""
        return self._parameters is not None

    def _forget(self, limit: float) -> None:
        """Forget the groups that are not needed any more, or for which there is no room."""
        while len(self._groups) > 1 and (self._groups[1][0].dts <= limit or self._bytes > self._most_bytes):
            self._bytes -= sum(len(each.data) for each in self._groups.popleft())
        if self._bytes > self._most_bytes:
            self._clear()  # up to the next keyframe

    def _clear(self) -> None:
        self._groups.clear()
        self._bytes = 0

    def write(self, path: Path, begin_s: float, end_s: float) -> float:
        """Write what lies between two presentation times, from the keyframe before on, as an mp4; return its seconds.

        0.0, and no file, when there is nothing. Raises `OutputError`.
        """
        import av

        packets = self._cut(begin_s / self._tick, end_s / self._tick)
        if not packets:
            return 0.0
        try:
            with files.PartFile(path) as part:
                _mux(part.path, self._parameters.streams.video[0], packets, self._tick)
                part.finish()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
        last = max(each.pts + each.duration for each in packets)
        return float((last - min(each.pts for each in packets)) * self._tick)

    def _cut(self, begin: float, end: float) -> List[_Packet]:
        with self._lock:
            groups = list(self._groups)
            packets = [each for group in groups for each in group]
        starts = [group[0].dts for group in groups if group[0].pts <= begin]
        packets = [each for each in packets if not starts or each.dts >= starts[-1]]
        # Frames are decoded in another order than shown: end where no frame is missing that is shown before the last.
        next_pts = list(itertools.accumulate((each.pts for each in reversed(packets)), min))[::-1]
        last_pts = itertools.accumulate((each.pts for each in packets), max)
        for count, (last, following) in enumerate(zip(last_pts, next_pts[1:]), 1):
            if end <= last < following:
                return packets[:count]
        return packets


def _ticks_of_frame(packet: Any) -> int:
    """How long a frame is shown; by the stream's rate where the packet does not say, as in PyAV 12."""
    rate = packet.stream.guessed_rate
    return packet.duration or (max(1, round(1 / (rate * packet.time_base))) if rate else 1)


def _copy_parameters(packet: Any) -> Any:
    """Open a video of this one packet, whose parameters are those of its stream, and which outlasts that."""
    import av

    memory = io.BytesIO()
    with av.open(memory, "w", format="nut") as container:
        only = _Packet(bytes(packet), 0, 0, packet.duration or 0, True)
        _mux_one(container, _add_stream(container, packet.stream), only, 0, packet.time_base)
    memory.seek(0)
    return av.open(memory)


def _mux(path: Path, parameters: Any, packets: List[_Packet], tick: Fraction) -> None:
    import av

    zero = packets[0].pts
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _add_stream(container, parameters)
        if parameters.codec_context.name == "hevc":
            stream.codec_context.codec_tag = "hvc1"  # FFmpeg's own choice, hev1, does not play on Apple's devices
        for each in packets:
            _mux_one(container, stream, each, zero, tick)


def _add_stream(container: Any, parameters: Any) -> Any:
    if hasattr(container, "add_stream_from_template"):  # PyAV 14
        return container.add_stream_from_template(parameters)
    return container.add_stream(template=parameters)


def _mux_one(container: Any, stream: Any, copied: _Packet, zero: int, tick: Fraction) -> None:
    import av

    packet = av.Packet(copied.data)
    packet.pts, packet.dts, packet.duration = copied.pts - zero, copied.dts - zero, copied.duration
    packet.time_base, packet.stream, packet.is_keyframe = tick, stream, copied.is_key
    container.mux(packet)
