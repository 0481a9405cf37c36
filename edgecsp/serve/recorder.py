"""Record events of lines and zones: store them with a snapshot, publish them, and add a clip when its time has passed.

    stream's thread -> Recorder.record -> (JPEG, EventStore, bus) -> after_s later: clip

With a folder this runs in a thread of its own, so that no stream waits for an encoder or a disk; without one, at once.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, TypeVar

from ..cache import files
from ..errors import OutputError
from ..media.sources import Source
from ..media.sources.packets import RecentPackets
from ..types import Frame, Result
from . import _render, events, unexpected
from .event_store import AFTER_S, BEFORE_S, EventStore

_T = TypeVar("_T")
LOG = logging.getLogger(__name__)
MARGIN_S = 1.0  # a packet may come so much later than its frame's time says
IMAGES = 8  # frames that wait for their snapshot; the events of others have none
PRUNE_S = 60.0


@dataclass
class _Clip:
    """A clip that is to be written: the times of its stream from when to when, and the events that it is of."""

    packets: RecentPackets
    stream: str
    begin_s: float
    end_s: float
    due: float
    event_ids: List[str]


@dataclass(frozen=True)
class _Item:
    """An event, the frame for its snapshot, and the packets for its clip."""

    event: Dict[str, Any]
    frame: Optional[Frame]
    tracks: Result
    packets: Optional[RecentPackets]


class Recorder:
    """Stores and publishes events; `start` it, and always `close` it.

    Clips go from `before_s` before an event to `after_s` after it; with `clips` false there are only snapshots.
    Failures of the disk are logged, and events go on without their files.
    """

    def __init__(
        self,
        store: EventStore,
        bus: events.Bus,
        *,
        before_s: float = BEFORE_S,
        after_s: float = AFTER_S,
        clips: bool = True,
    ) -> None:
        self.store = store
        self._bus = bus
        self._before_s, self._after_s = before_s, after_s
        self._has_clips = clips and store.folder is not None
        self._queue: SimpleQueue[Optional[_Item]] = SimpleQueue()
        self._clips: List[_Clip] = []
        self._jpeg: Tuple[Optional[Frame], bytes] = (None, b"")
        self._logged: Set[str] = set()
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Start the thread, if there is a folder; returns at once."""
        if self.store.folder is not None:
            self._thread = unexpected.start_thread("stream", self._run, self._stop, "edgecsp-events")

    def close(self, patience_s: float = 2.0) -> None:
        """Write the clips that are due, up to now, and end the thread."""
        if self._thread is not None:
            self._stop.set()
            self._queue.put(None)
            unexpected.join_threads([self._thread], patience_s)

    def watch(self, source: Source) -> Optional[RecentPackets]:
        """Keep the latest packets of a source that is about to be read, for clips; None when there are none."""
        if not self._has_clips:
            return None
        packets = RecentPackets(self._before_s + 2 * self._after_s + 2 * MARGIN_S)
        source.on_packet = packets.add
        return packets

    def record(
        self, event: Dict[str, Any], frame: Frame, tracks: Result, packets: Optional[RecentPackets] = None
    ) -> None:
        """Record an event of a frame; never waits for a disk."""
        if self._thread is None:
            self._add(_Item(event, None, tracks, None))
        else:
            self._queue.put(_Item(event, frame if self._queue.qsize() < IMAGES else None, tracks, packets))

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not (self._stop.is_set() and self._queue.empty() and not self._clips):
            wait_s = min([PRUNE_S, *(clip.due - time.monotonic() for clip in self._clips)])
            try:
                item = self._queue.get(timeout=max(0.0, wait_s))
            except Empty:
                self._try(self.store.prune)
            else:
                if item is not None:
                    self._add(item)
            is_due = [self._stop.is_set() or clip.due <= time.monotonic() for clip in self._clips]
            due = [clip for clip, is_now in zip(self._clips, is_due) if is_now]
            self._clips = [clip for clip, is_now in zip(self._clips, is_due) if not is_now]
            for clip in due:
                self._write_clip(clip)

    def _add(self, item: _Item) -> None:
        """Store an event, with its snapshot, and publish it."""
        event_id = item.event["id"]
        self._try(lambda: self.store.add(item.event))
        if item.frame is not None:
            jpeg = self._encode(item.frame, item.tracks)
            self._try(lambda: self.store.add_file([event_id], "snapshot", lambda path: _write(path, jpeg)))
        stored = self._try(lambda: self.store.find(event_id))
        self._bus.publish(events.area(stored or {**item.event, "snapshot": None, "clip": None}))
        if item.packets is not None:
            self._plan_clip(item.event, item.packets)

    def _plan_clip(self, event: Dict[str, Any], packets: RecentPackets) -> None:
        """Plan the clip of an event, or extend the one that is under way, once as far as a clip goes on."""
        begin_s, end_s = event["pts_s"] - self._before_s, event["pts_s"] + self._after_s
        due = time.monotonic() + self._after_s + MARGIN_S
        longest_s = self._before_s + 2 * self._after_s
        clip = next((each for each in reversed(self._clips) if each.packets is packets), None)
        if clip is not None and end_s - clip.begin_s <= longest_s:
            clip.end_s, clip.due = end_s, due
            clip.event_ids.append(event["id"])
        else:
            self._clips.append(_Clip(packets, event["stream"], begin_s, end_s, due, [event["id"]]))

    def _encode(self, frame: Frame, tracks: Result) -> bytes:
        if self._jpeg[0] is not frame:  # several events of one frame have the same image
            self._jpeg = frame, _render.encode_jpeg(_render.render_frame(frame, tracks))
        return self._jpeg[1]

    def _write_clip(self, clip: _Clip) -> None:
        if clip.packets.reason:
            self._say(f"no clips of stream {clip.stream}: {clip.packets.reason}")
        else:
            self._try(lambda: self.store.add_file(
                clip.event_ids, "clip", lambda path: clip.packets.write(path, clip.begin_s, clip.end_s)
            ))  # fmt: skip

    def _try(self, work: Callable[[], _T]) -> Optional[_T]:
        """Do what may fail for a full disk; log that once."""
        try:
            return work()
        except OutputError as error:
            self._say(f"{error}; events go on without it")
            return None

    def _say(self, text: str) -> None:
        kind = text.split(":")[-1]  # not the path, which is another for each event
        if kind not in self._logged:
            self._logged.add(kind)
            LOG.warning("%s", text)


def _write(path: Path, data: bytes) -> None:
    with files.atomic(path) as file:
        file.write(data)
