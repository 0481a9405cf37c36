"""One session for all who ask: two lanes into the same workers, and a watch over every call of the engine.

    streams, a place each         -+
                                   +-> workers, in turns: decode, prepare, infer, finish -> the answer
    requests, a bounded queue     -+

A worker takes a picture all the way, as in `flow`: it is never handed over. There is at least one more than the engine
takes pictures at once, so that what lies before and behind it overlaps.
Pictures are not joined to batches: a model's graph is made for one (`onnx_model.reshape`), and the CPU engines are
faster with pictures side by side than with a larger batch.

A call that does not come back cannot be stopped, only left: its worker is given up, whoever waits for it is told, and
a new session takes the old one's place.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Deque, List, Optional

from .. import backends
from ..errors import EdgecspError, EngineFailed, ServerOverloaded, SessionHung
from ..media import scheduler
from ..pipeline import Detector, Settings
from ..types import Model, Result
from . import unexpected
from .inference_context import ImageOrLoader, InferenceContext

PATIENCE_S = 1.0  # how long `close` waits for calls under way
WITHIN_S, MOST = 60.0, 5  # so many new sessions in so much time; one more, and the engine is what is broken
AGAIN_S = 5.0


class _Job:
    """What somebody waits for."""

    def __init__(self, work: Callable[[InferenceContext], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.queued_at = time.perf_counter()

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):  # answered already, or given up by who asked
            self.future.set_exception(error)


class _Worker:
    """A thread, and what it is doing."""

    def __init__(self) -> None:
        self.thread: Optional[threading.Thread] = None
        self.context: Optional[InferenceContext] = None
        self.job: Optional[_Job] = None
        self.is_abandoned = False


class InferencePool:
    """One session for all who ask: requests wait in a bounded queue, streams have a place of their own each.

    `open_detector` is called here, and again when a call of the engine has not come back for `hung_s` seconds or has
    failed. `observe(stage, seconds)` may be set: it is told each stage of each picture (decode, wait, preprocess,
    infer, post). Raises what `open_detector` raises. Any thread may use it.
    """

    def __init__(self, open_detector: Callable[[], Detector], *, queue: int = 64, hung_s: float = 10.0) -> None:
        self.observe: Callable[[str, float], None] = lambda stage, seconds: None
        self.queue = queue
        self.restarts = 0
        self._open = open_detector
        self._hung_s = hung_s
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._watch = threading.Condition(self._lock)
        self._requests: Deque[_Job] = deque()
        self._streams: Deque[_Job] = deque()
        self._last_was_stream = False
        self._opened_at: Deque[float] = deque(maxlen=MOST)
        self._why = ""  # why there is no session at the moment
        self._broken_reason = ""  # what is told to all while there will be none for some time
        self._broken = False
        self._abandoned: List[_Worker] = []
        self._closed = False
        self._ended = threading.Event()
        self._detector: Optional[Detector] = open_detector()
        self._last_detector: Detector = self._detector
        self.model: Model = self._detector.model
        self.places = backends.at_once(self._detector.session)
        self._workers: List[_Worker] = []
        with self._lock:
            # One more than in `flow`: Python's lock is the loop's as well, and who waits for it leaves a place empty.
            for _ in range(max(scheduler.workers(self.places), self.places + 1)):
                self._start_worker()
        words = ("worker", self._watch_all, self._ended)
        self._watcher = threading.Thread(target=unexpected.keep_running, args=words, name="edgecsp-watch", daemon=True)
        self._watcher.start()

    @property
    def detector(self) -> Detector:
        """The present one; while there is none, the last."""
        return self._last_detector

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._requests)

    @property
    def healthy(self) -> bool:
        """Whether there is a session to ask."""
        return self._detector is not None and not self._closed

    def detect(self, image_or_loader: ImageOrLoader, settings: Optional[Settings] = None) -> Result:
        """What is in a stream's picture, (H, W, 3) uint8 BGR; waits for it. Raises `EngineFailed` or `SessionHung`."""
        job = _Job(lambda context: context.detect(image_or_loader, settings))
        with self._lock:
            self._refuse()
            self._streams.append(job)
            self._work.notify()
        result: Result = job.future.result()
        return result

    def submit(self, image_or_loader: ImageOrLoader, settings: Optional[Settings] = None) -> Future[Any]:
        """Queue a request's image, or what makes one; a future of what is in it.

        Raises `ServerOverloaded` when too many wait.
        """
        return self.ask(lambda context: context.detect(image_or_loader, settings))

    def ask(self, work: Callable[[InferenceContext], Any]) -> Future[Any]:
        """Queue any work that needs the session, in the requests' lane; a future of its value.

        Raises `ServerOverloaded`.
        """
        job = _Job(work)
        with self._lock:
            self._refuse()
            if len(self._requests) >= self.queue:
                raise ServerOverloaded(
                    f"{self.queue} requests wait already; ask again in a second, or serve with a larger --queue", 1
                )
            self._requests.append(job)
            self._work.notify()
        return job.future

    def close(self) -> None:
        """Fail what waits, wait a moment for what is under way, give the session back."""
        with self._lock:
            self._closed = True
            self._ended.set()
            waiting = [*self._requests, *self._streams]
            self._requests.clear()
            self._streams.clear()
            self._work.notify_all()
            self._watch.notify_all()
        for job in waiting:
            job.fail(EngineFailed("the server is being shut down"))
        late = time.monotonic() + PATIENCE_S
        threads = [worker.thread for worker in self._workers]
        for thread in (*threads, self._watcher):
            if thread is not None:
                thread.join(max(0.0, late - time.monotonic()))
        for worker in self._workers:
            if worker.job is not None:
                worker.job.fail(EngineFailed("the server is being shut down"))
        # A session that somebody is still inside of is left to the end of the process.
        detector, self._detector = self._detector, None
        if detector is not None and not any(thread and thread.is_alive() for thread in threads):
            detector.close()

    def _refuse(self) -> None:
        if self._closed:
            raise EngineFailed("the server is being shut down")
        if self._broken:
            raise EngineFailed(self._broken_reason)

    # -- workers -------------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        worker = _Worker()
        words = ("worker", partial(self._run, worker), self._ended)
        worker.thread = threading.Thread(target=unexpected.keep_running, args=words, name="edgecsp-serve", daemon=True)
        self._workers.append(worker)
        worker.thread.start()

    def _run(self, worker: _Worker) -> None:
        while True:
            with self._lock:
                job = self._take(worker)
                if job is None:
                    return
                context = worker.context
            assert context is not None
            error: Optional[BaseException] = None
            try:
                self.observe("wait", time.perf_counter() - job.queued_at)
                value = job.work(context)
            except BaseException as caught:  # noqa: BLE001 - carried to the one who waits for it
                error = caught
            with self._lock:
                worker.job = worker.context = None
                if worker.is_abandoned:  # its place is taken, and whoever waited has been told
                    self._abandoned.remove(worker)
                    return
                if isinstance(error, EngineFailed) and context.detector is self._detector:
                    self._lose(str(error))
            if error is not None:
                job.fail(error)
            else:
                with suppress(InvalidStateError):
                    job.future.set_result(value)
            del job, context, error  # or the picture stays until the next one comes
            value = None

    def _take(self, worker: _Worker) -> Optional[_Job]:
        """The next job, the lanes in turns; None when there will be no more. The lock is held."""
        while not self._closed:
            if self._detector is not None and (self._streams or self._requests):
                first = self._streams and not (self._last_was_stream and self._requests)
                job = (self._streams if first else self._requests).popleft()
                self._last_was_stream = bool(first)
                if not job.future.set_running_or_notify_cancel():
                    continue  # who asked has gone
                worker.job, worker.context = job, InferenceContext(self._detector, self.observe)
                return job
            self._work.wait()
        return None

    # -- the watch -----------------------------------------------------------------------------------------------

    def _watch_all(self) -> None:
        while True:
            hung: List[_Job] = []
            with self._lock:
                if self._closed:
                    return
                hung = self._leave_hung()
                lacking = self._detector is None
                if not lacking:
                    self._watch.wait(min(1.0, self._hung_s / 4))
            for job in hung:
                job.fail(SessionHung(f"the engine has not answered for {self._hung_s:g} s; a new session is opened"))
            if lacking:
                self._reopen()

    def _leave_hung(self) -> List[_Job]:
        """Give up the workers whose call does not come back; their jobs. The lock is held."""
        now, jobs = time.monotonic(), []
        for worker in list(self._workers):
            context, job = worker.context, worker.job
            begun = context.begun if context else None
            if context is None or job is None or begun is None or now - begun < self._hung_s:
                continue
            worker.is_abandoned = True
            self._workers.remove(worker)
            self._abandoned.append(worker)
            jobs.append(job)
            self._start_worker()
            if context.detector is self._detector:
                self._lose(f"the engine has not answered for {self._hung_s:g} s")
        return jobs

    def _lose(self, why: str) -> None:
        """Ask no more of the present session. The lock is held."""
        # It is not closed: other workers may be inside of it. With the last of them it goes.
        self._detector = None
        self._why = why
        self._watch.notify_all()

    def _reopen(self) -> None:
        """Put a session where there is none, unless that was done too often."""
        now = time.monotonic()
        if len(self._opened_at) == MOST and now - self._opened_at[0] < WITHIN_S:
            self._break(
                f"the engine was opened again {MOST} times within {WITHIN_S:g} s and is still not well ({self._why}); "
                "start the server again, or with another --engine",
                WITHIN_S - (now - self._opened_at[0]),
            )
            return
        self._opened_at.append(now)
        try:
            detector = self._open()
        except BaseException as error:  # noqa: BLE001 - told to all who ask, and tried again
            if not isinstance(error, EdgecspError):
                unexpected.report("worker", error)
            self._break(f"the engine cannot be opened again: {error}", AGAIN_S)
            return
        with self._lock:
            self.restarts += 1
            self._broken = False
            if not self._closed:
                self._detector = self._last_detector = detector
                self._work.notify_all()
                return
        detector.close()

    def _break(self, why: str, pause_s: float) -> None:
        """There is no session, and will be none for a while: nobody waits for it."""
        with self._lock:
            self._broken, self._broken_reason = True, why
            waiting = [*self._requests, *self._streams]
            self._requests.clear()
            self._streams.clear()
        for job in waiting:
            job.fail(EngineFailed(why))
        with self._lock:
            if not self._closed:
                self._watch.wait(pause_s)
