"""State shared by readers, workers and the consumer of results: one lock and its conditions."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Tuple

from ...system import cpu
from ...types import Frame
from ..sources import Source

AHEAD = 4  # frames that a source is read ahead; half of it with several sources
PLACE_BYTES = 26 << 20  # per worker, and one more: a 4K image. A source without frames in flight may exceed it
READY = 2  # frames besides those of the workers: one being written, and of a file another
VIDEOS = 8  # video files read concurrently; each has a decoder, and often an encoder
CREDIT = 8  # turns that a source without a ready frame may catch up
PATIENCE_S = 15.0

Item = Tuple[Source, Optional[Frame], Any]


class Reader:
    """A source, its queue of frames and its turn."""

    def __init__(self, source: Source, lock: threading.Lock) -> None:
        self.source = source
        self.frames: Deque[Frame] = deque()
        self.in_flight = 0  # frames waiting or being processed
        self.space = threading.Condition(lock)
        self.turn = 0
        self.over = False
        self.error: Optional[BaseException] = None
        self.thread: Optional[threading.Thread] = None


class FrameScheduler:
    """Threads between sources and results; `begin`, take the `results`, and always `end`."""

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
        """Start the readers and workers."""
        with self._lock:
            self._begin_sources()
        for _ in range(self._count):
            thread = threading.Thread(target=self._compute, name="edgecsp-work", daemon=True)
            thread.start()
            self._workers.append(thread)

    def end(self) -> None:
        """Stop and join all threads, and close the sources."""
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

    # -- consumer -----------------------------------------------------------------------------------------------

    def results(self) -> Iterator[Item]:
        """Yield (source, frame, result) in the order of input; (source, None, error) at the end of a source."""
        while True:
            with self._lock:
                while self._given_count not in self._results and not self._broken and not self._stop.is_set():
                    if not self._reading and not self._waiting and self._given_count == self._taken_count:
                        return
                    self._done.wait(0.1)  # a signal sets `stop` without notifying
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
            del frame, what  # a reference would keep the image in memory until the next one
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
            while self._compute_one():  # one call each, so that no frame is referenced while idle
                pass
        except BaseException as error:  # noqa: BLE001 - a source's thread cannot be started
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
        except BaseException as error:  # noqa: BLE001 - raised in the consumer's thread
            what = error
        with self._lock:
            self._answer(number, reader, frame, what)
        return True

    def _take(self) -> Optional[Tuple[int, Reader, Frame]]:
        """Take the next frame with its number in the order of results; None at the end."""
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
                    # With several sources each reads some frames in a row, which keeps its decoder's data in the cache.
                    if not reader.frames or len(self._reading) == 1:
                        reader.space.notify()
                    self._work.notify()  # there may be more work
                    return number, reader, frame
                self._reading.remove(reader)
                self._answer(number, reader, None, reader.error)
                self._begin_sources()
            self._work.notify_all()
            return None

    def _next(self) -> Optional[Reader]:
        """Select the next reader that has a frame or has ended; None when there is none or the buffers are full."""
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
        """Start waiting sources: live ones at once, videos up to `VIDEOS`, image sources one by one."""
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
            # Wait for room first: a frame already read would exceed the bound.
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
        except BaseException as caught:  # noqa: BLE001 - raised in the consumer's thread
            error = caught
        with self._lock:
            reader.over, reader.error = True, error
            self._work.notify()

    def _await_room(self, reader: Reader, size: int) -> bool:
        """Wait until another frame of that size may be read; False when the run has ended."""
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
            if reader.source.live:  # drop older frames
                while reader.frames:
                    self._held_bytes -= reader.frames.popleft().image.nbytes
                    reader.in_flight -= 1
            reader.frames.append(frame)
            reader.in_flight += 1
            self._held_bytes += frame.image.nbytes
            self._work.notify()
