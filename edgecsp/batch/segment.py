"""Shards as sources: a segment of a video, a whole video, or a group of images, from disk or a store."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Dict, Iterator, Optional, Tuple

from ..errors import SourceError
from ..media.sources import Source, images, video
from ..media.sources.ffmpeg_log import open_container
from ..types import Frame, Stream
from . import storage
from .shards import IMAGE, Item, Shard

OpenVideo = Tuple[Any, Any]


def open_source(part: Shard, threads: int) -> Source:
    """Open a shard's frames, numbered and named as `edgecsp run` does; `threads` are the decoder's."""
    return Group(part) if part.kind == IMAGE else Segment(part, threads)


@contextmanager
def open_video(item: Item, problems: Dict[str, int]) -> Iterator[OpenVideo]:
    """Open a container and its video track. Damage is counted in `problems`. Raises `SourceError`."""
    import av

    if not storage.is_uri(item.place):
        with video.open_video(item.place, problems) as container:
            yield container, video.track(container, item.source)
        return
    with storage.open_remote(item.place) as file:
        try:
            container = video.open_with_log(
                lambda: open_container(file, container_options={"protocol_whitelist": ""}),
                item.source, problems,
            )  # fmt: skip
        except av.error.FFmpegError as error:
            raise SourceError(f"{item.source} is not a video FFmpeg can read ({error.strerror})") from error
        with container:
            yield container, video.track(container, item.source)


class Segment(Source):
    """The frames of a video with begin <= pts < end, numbered from `first`; all frames of a whole video.

    `frame_count` counts the frames so far.
    """

    moving = True

    def __init__(self, part: Shard, threads: int) -> None:
        super().__init__(part.items[0].source)
        self.part = part
        self.frame_count = 0
        self._decoder_threads = threads  # `threads` is set by whoever reads several at once

    @property
    def frames(self) -> Optional[int]:
        """The number of frames by the index."""
        return self.part.frames

    def __iter__(self) -> Iterator[Frame]:
        part, self.frame_count = self.part, 0
        item = part.items[0]
        with open_video(item, self.problems) as (container, track):
            stream = video.describe(container, self.name, "video", 1)
            begin_s, end_s = (_seconds(pts, track) for pts in (part.begin, part.end))
            if part.begin is not None:
                _seek(container, track, part.begin)
            decoded = video.frames(
                container, stream, self.problems, 1, lambda: self.closed, threads=self._decoder_threads,
                path=None if storage.is_uri(item.place) else item.place,
                begin_s=-math.inf if begin_s is None else begin_s,
            )  # fmt: skip
            for frame in decoded:
                if begin_s is not None and (frame.pts_s is None or frame.pts_s < begin_s):
                    self.problems.clear()  # leading pictures refer to what was before the cut: no damage
                    continue
                if end_s is not None and (frame.pts_s is None or frame.pts_s >= end_s):
                    break
                mine = replace(frame, index=part.first + self.frame_count) if part.is_segment else frame
                self.frame_count += 1
                del frame
                yield mine
                del mine


def _seconds(pts: Optional[int], track: Any) -> Optional[float]:
    """Half a tick before a presentation time, in seconds, so that rounding does not matter."""
    return None if pts is None else float((pts - 0.5) * track.time_base)


def _seek(container: Any, track: Any, pts: int) -> None:
    """Seek to the last keyframe whose presentation time is not after `pts`."""
    # Files are searched by decoding time, which lies before: with short GOPs a later keyframe is found.
    tick_s = float(track.time_base)
    for back_s in (0.0, 1.0, 8.0, 64.0, 1e6):
        target = pts - int(back_s / tick_s)
        container.seek(target, stream=track)
        if _has_keyframe_by(container, track, pts):
            container.seek(target, stream=track)
            return
    raise SourceError(f"no keyframe at or before {pts * track.time_base} s")


def _has_keyframe_by(container: Any, track: Any, pts: int) -> bool:
    for packet in container.demux(track):
        if packet.size == 0:
            return False
        if packet.is_keyframe and packet.pts is not None:
            return bool(packet.pts <= pts)
    return False


class Group(Source):
    """Image files, each a stream of its own; `failed` has the errors and warnings of each."""

    def __init__(self, part: Shard) -> None:
        super().__init__(part.label)
        self.part = part
        self.failed: Dict[str, str] = {}

    @property
    def frames(self) -> Optional[int]:
        """The number of files."""
        return len(self.part.items)

    def __iter__(self) -> Iterator[Frame]:
        self.failed.clear()
        for item in self.part.items:
            if self.closed:
                return
            try:
                image, warnings = _read_image(item)
            except SourceError as error:
                self.failed[item.source] = str(error)
                continue
            if warnings:
                self.failed[item.source] = "; ".join(warnings)
            yield Frame(image, Stream(item.source, "image", frames=1))
            del image


def _read_image(item: Item) -> images.DecodedImage:
    if not storage.is_uri(item.place):
        return images.read(item.place)
    with storage.open_remote(item.place) as file:
        data = file.read(images.MAX_BYTES + 1)
    return images.decode(bytes(data), item.source)
