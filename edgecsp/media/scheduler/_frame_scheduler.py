"""What readers, workers and the one who takes the results share: one lock, and who waits for what."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Tuple

from ...system import cpu
from ...types import Frame
from ..sources import Source

AHEAD = 4  # frames that a source may be ahead; of several that are read, half of it
PLACE_BYTES = (
    26 << 20
)  # for each worker, and one more: a 4K picture. A source that has nothing under way may go over it
READY = 2  # frames beside those of the workers: one that is being written, and of a file another
VIDEOS = 8  # video files that are read at the same time; each has a decoder, and often an encoder
CREDIT = 8  # turns that a source which had no frame ready may catch up
PATIENCE_S = 15.0

Item = Tuple[Source, Optional[Frame], Any]


class Reader:
    """A source, the frames it is ahead, and its turn."""

    def __init__(self, source: Source, lock: threading.Lock) -> None:
        self.source = source
        self.frames: Deque[Frame] = deque()
        self.in_flight = 0  # frames that wait or are worked on
        self.space = threading.Condition(lock)
        self.turn = 0
        self.over = False
        self.error: Optional[BaseException] = None
        self.thread: Optional[threading.Thread] = None


class FrameScheduler:
    """The threads between sources and results; `begin` it, take its `results`, and `end` it in any case."""

    def __init__(
        self, opened: Sequence[Source], detect: Callable[[Frame], Any], workers: int, stop: threading.Event
    ) -> None:
        self._detect = detect
        self._stop = stop
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._readers = [Reader(source, self._lock) for source in opened]
        self._waiting: Deque[Reader] = deque(self._readers)
        self._reading: List[Reader] = []
        self._workers: List[threading.Thread] = []
        self._count = workers
        self._places = workers + (1 if len(opened) == 1 and opened[0].live else READY)
        self._most = (workers + 1) * PLACE_BYTES
        self._results: Dict[int, Tuple[Reader, Optional[Frame], Any]] = {}
        self._taken_count = self._given_count = self._turn = self._held_bytes = 0
        self._short = self._left = False
        self._broken: Optional[BaseException] = None

    def begin(self) -> None:
        """Start reading and computing."""
        with self._lock:
            self._begin_sources()
        for _ in range(self._count):
            thread = threading.Thread(target=self._compute, name="edgecsp-work", daemon=True)
            thread.start()
            self._workers.append(thread)

    def end(self) -> None:
        """Stop all threads, wait for them, close the sources."""
        with self._lock:
            self._left = True
            for condition in (self._work, *(reader.space for reader in self._readers)):
                condition.notify_all()
        late = time.monotonic() + PATIENCE_S
        for thread in (*self._workers, *(reader.thread for reader in self._readers)):
            if thread is not None:
                thread.join(max(0.0, late - time.monotonic()))
        for reader in self._readers:
            reader.source.close()

    # -- the one who takes the results --------------------------------------------------------------------------

    def results(self) -> Iterator[Item]:
        """(source, frame, result) in the order in which the frames were taken in; (source, None, error) at its end."""
        while True:
            with self._lock:
                while self._given_count not in self._results and not self._broken and not self._stop.is_set():
                    if not self._reading and not self._waiting and self._given_count == self._taken_count:
                        return
                    self._done.wait(0.1)  # a signal sets `stop` and wakes nobody
                if self._broken:
                    raise self._broken
                if self._stop.is_set():
                    return
                reader, frame, what = self._results.pop(self._given_count)
            if frame is None:
                reader.source.close()
            elif isinstance(what, BaseException):
                raise what
            item = reader.source, frame, what
            size = frame.image.nbytes if frame else 0
            del frame, what  # a name would keep the picture until the next one is there
            yield item
            del item
            with self._lock:
                self._given_count += 1
                self._release(reader, size)
                self._work.notify()

    def _release(self, reader: Reader, size: int) -> None:
        self._held_bytes -= size
        reader.in_flight -= 1
        if self._short:
            self._short = False
            for reader in self._reading:
                reader.space.notify()

    # -- workers -------------------------------------------------------------------------------------------------

    def _compute(self) -> None:
        try:
            while self._compute_one():  # a call each, so that no frame is held while there is nothing to do
                pass
        except BaseException as error:  # noqa: BLE001 - no place in the order: a source's thread cannot be started
            with self._lock:
                self._broken = error
                self._done.notify()

    def _compute_one(self) -> bool:
        work_item = self._take()
        if work_item is None:
            return False
        number, reader, frame = work_item
        try:
            what = self._detect(frame)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that can tell the user
            what = error
        with self._lock:
            self._answer(number, reader, frame, what)
        return True

    def _take(self) -> Optional[Tuple[int, Reader, Frame]]:
        """The next frame, with its number in the order of the results; None when there will be no more."""
        with self._lock:
            while not self._left and (self._reading or self._waiting):
                reader = self._next()
                if reader is None:
                    self._work.wait()
                    continue
                number, self._taken_count = self._taken_count, self._taken_count + 1
                self._turn = reader.turn = max(reader.turn, self._turn - CREDIT) + 1
                if reader.frames:
                    frame = reader.frames.popleft()
                    # Of several, each reads some in a row: its decoder finds its pictures in the cache, and 32 that
                    # lie ready of eight would be in no cache.
                    if not reader.frames or len(self._reading) == 1:
                        reader.space.notify()
                    self._work.notify()  # there may be more for another
                    return number, reader, frame
                self._reading.remove(reader)
                self._answer(number, reader, None, reader.error)
                self._begin_sources()
            self._work.notify_all()
            return None

    def _next(self) -> Optional[Reader]:
        """Whose turn it is, of those that have a frame (or their end) to give; None when nobody has, or none may."""
        if self._taken_count - self._given_count >= self._places:
            return None
        ready = [reader for reader in self._reading if reader.frames or reader.over]
        return min(ready, key=lambda reader: reader.turn, default=None)

    def _answer(self, number: int, reader: Reader, frame: Optional[Frame], what: Any) -> None:
        self._results[number] = reader, frame, what
        if number == self._given_count:
            self._done.notify()

    # -- readers -------------------------------------------------------------------------------------------------

    def _begin_sources(self) -> None:
        """Start those whose time has come: live ones at once, so many videos together, pictures one by one."""
        for reader in list(self._waiting):
            source = reader.source
            beside = sum(other.source.moving == source.moving and not other.source.live for other in self._reading)
            if source.live or beside < (VIDEOS if source.moving else 1):
                self._waiting.remove(reader)
                self._reading.append(reader)
                reader.turn = self._turn
        beside = sum(reader.source.moving for reader in self._reading)
        for reader in self._reading:
            if reader.thread is None:
                reader.source.threads = max(1, cpu.threads() // beside) if beside > 1 else None
                thread = threading.Thread(target=self._read, args=(reader,), name="edgecsp-read", daemon=True)
                thread.start()
                reader.thread = thread

    def _read(self, reader: Reader) -> None:
        error: Optional[BaseException] = None
        try:
            # The room is waited for first: a frame in the hand would be one more to hold.
            frames, size = iter(reader.source), 0
            while self._await_room(reader, size):
                frame = next(frames, None)
                if frame is None:
                    break
                size = frame.image.nbytes
                self._put(reader, frame)
                del frame
            else:
                return
        except BaseException as caught:  # noqa: BLE001 - carried to the thread that can tell the user
            error = caught
        with self._lock:
            reader.over, reader.error = True, error
            self._work.notify()

    def _await_room(self, reader: Reader, size: int) -> bool:
        """Wait until another frame of that size may be read; whether anybody still wants one."""
        with self._lock:
            while not self._left and not self._has_room(reader, size):
                reader.space.wait()
            return not self._left

    def _has_room(self, reader: Reader, size: int) -> bool:
        if reader.source.live or not reader.in_flight:
            return True
        fits = self._held_bytes + size <= self._most
        self._short |= not fits
        return fits and len(reader.frames) < (AHEAD if len(self._reading) == 1 else AHEAD // 2)

    def _put(self, reader: Reader, frame: Frame) -> None:
        with self._lock:
            if reader.source.live:  # the frame that waits is older than this one
                while reader.frames:
                    self._held_bytes -= reader.frames.popleft().image.nbytes
                    reader.in_flight -= 1
            reader.frames.append(frame)
            reader.in_flight += 1
            self._held_bytes += frame.image.nbytes
            self._work.notify()
