"""Find where a video can be split so that its segments decode to the same frames: from its packets, without decoding.

A piece that begins at a keyframe holds the frames from that one's presentation time on. What comes later in the file
and is shown before it (an open GOP's leading pictures) belongs to the piece before, which decodes on until a frame of
the next one comes out. So a keyframe is a place to cut when nothing that is shown after it lies before it in the file.

An index is believed where each packet has a time of its own and is a frame: in mp4 and Matroska, for the codecs below.
Everything else is one piece. What a piece decodes to is held against the index once more (see `work`).
"""

from __future__ import annotations

import bisect
from collections import Counter
from typing import Any, List, NamedTuple

from ..media.sources.ffmpeg_log import capture_log, demuxer_errors, local_errors
from .segment import open_video
from .shards import Item, SplitPoint

CONTAINERS = ("mov", "matroska")
CODECS = ("h264", "hevc", "av1", "vp9", "mjpeg", "mpeg4")


class Index(NamedTuple):
    """The number of frames by a video's packets, its split points, and the reason if there are none."""

    frames: int
    split_points: List[SplitPoint]
    reason: str = ""


def index(item: Item) -> Index:
    """Index a video. Raises `SourceError` when it cannot be read."""
    import av

    damage: Counter[str] = Counter()
    with open_video(item, damage) as (container, video):
        name, codec = container.format.name.split(",")[0], video.codec_context.name
        if name not in CONTAINERS:
            return Index(0, [], f"{name} has no index that tells the frames")
        if codec not in CODECS:
            return Index(0, [], f"packets of {codec} need not be frames")
        if damage:
            return Index(0, [], next(iter(damage)))
        try:
            with capture_log(), local_errors() as errors:
                video_index = _index_packets(container, video)
            return Index(0, [], "its container is damaged") if demuxer_errors(container, errors) else video_index
        except av.error.FFmpegError as error:
            return Index(0, [], f"its packets cannot all be read ({error.strerror})")


def _index_packets(container: Any, video: Any) -> Index:
    times: List[int] = []
    keys: List[int] = []
    latest = None
    for packet in container.demux(video):
        if packet.size == 0:  # how PyAV says that this was the last
            continue
        if packet.pts is None or packet.is_corrupt:
            return Index(0, [], "packets without a time" if packet.pts is None else "damaged packets")
        if packet.is_discard:  # outside of the edit list: decoded, never shown
            continue
        # A cut before the first frame would be none.
        if packet.is_keyframe and latest is not None and packet.pts > latest:
            keys.append(packet.pts)
        latest = packet.pts if latest is None else max(latest, packet.pts)
        times.append(packet.pts)
    ordered = sorted(times)
    if any(a == b for a, b in zip(ordered, ordered[1:])):
        return Index(0, [], "two packets of the same time")
    return Index(len(ordered), [SplitPoint(pts, bisect.bisect_left(ordered, pts)) for pts in keys])
