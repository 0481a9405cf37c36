"""One inference session for all clients: two queues into the same workers, and a watchdog for every engine call.

    streams, one frame each       -+
                                   +-> workers, alternating: decode, preprocess, infer, postprocess -> result
    requests, a bounded queue     -+

A worker processes an image from start to end, as in `media.scheduler`. There is at least one more worker than the
engine's concurrency, so that the stages before and after the engine overlap.
Images are not joined to batches: a model's graph has batch size 1 (`onnx_model.reshape`), and the CPU engines are
faster with concurrent images than with a larger batch.

An engine call that hangs cannot be stopped, only abandoned: its worker is replaced, its job fails, and a new session
replaces the old one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Deque, List, Optional

from ..errors import EdgecspError, EngineFailed, ServerOverloaded, SessionHung
from ..media import scheduler
from ..options import Thresholds
from ..pipeline import Detector
from ..types import Model, Result
from . import unexpected
from .inference_context import ImageOrLoader, InferenceContext

PATIENCE_S = 1.0  # how long `close` waits for running calls
WITHIN_S, MOST = 60.0, 5  # with more new sessions than MOST in this time, the engine is considered broken
AGAIN_S = 5.0


class _Job:
    """Work with a future of its value."""

    def __init__(self, work: Callable[[InferenceContext], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.queued_at = time.perf_counter()

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):  # already answered, or cancelled by the caller
            self.future.set_exception(error)


class _Worker:
    """A worker thread and its current job."""

    def __init__(self) -> None:
        self.thread: Optional[threading.Thread] = None
        self.context: Optional[InferenceContext] = None
        self.job: Optional[_Job] = None
        self.is_abandoned = False


class InferencePool:
    """One inference session for all clients: requests wait in a bounded queue, each stream has one frame in progress.

    `open_detector` is called here, and again when an engine call fails or does not return for `hung_s` seconds.
    `observe(stage, seconds)` may be set; it is called for each stage of each image (decode, wait, preprocess, infer,
    post). Raises what `open_detector` raises. Thread-safe.
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
        self._why = ""  # why there is no session
        self._broken_reason = ""  # error message while reopening is paused
        self._broken = False
        self._abandoned: List[_Worker] = []
        self._closed = False
        self._ended = threading.Event()
        self._detector: Optional[Detector] = open_detector()
        self._last_detector: Detector = self._detector
        self.model: Model = self._detector.model
        self.places = self._detector.session.concurrency
        self._workers: List[_Worker] = []
        with self._lock:
            # One more than in `media.scheduler`: a worker waiting for the GIL, which the event loop needs too, is idle.
            for _ in range(max(scheduler.workers(self.places), self.places + 1)):
                self._start_worker()
        self._watcher = unexpected.start_thread("worker", self._watch_all, self._ended, "edgecsp-watch")

    @property
    def detector(self) -> Detector:
        """The current detector, or the last one while there is none."""
        return self._last_detector

    @property
    def depth(self) -> int:
        """Number of waiting requests."""
        return len(self._requests)

    @property
    def healthy(self) -> bool:
        """Whether there is a working session."""
        return self._detector is not None and not self._closed

    def detect(self, image_or_loader: ImageOrLoader, settings: Optional[Thresholds] = None) -> Result:
        """Detect objects in a stream's image, (H, W, 3) uint8 BGR; blocks. Raises `EngineFailed` or `SessionHung`."""
        job = _Job(lambda context: context.detect(image_or_loader, settings))
        with self._lock:
            self._refuse()
            self._streams.append(job)
            self._work.notify()
        result: Result = job.future.result()
        return result

    def submit(self, image_or_loader: ImageOrLoader, settings: Optional[Thresholds] = None) -> Future[Any]:
        """Queue a request's image, or a function that loads one; return a future of the result.

        Raises `ServerOverloaded` when the queue is full.
        """
        return self.ask(lambda context: context.detect(image_or_loader, settings))

    def ask(self, work: Callable[[InferenceContext], Any]) -> Future[Any]:
        """Queue any work that needs the session, as a request; return a future of its value.

        Raises `ServerOverloaded`.
        """
        job = _Job(work)
        with self._lock:
            self._refuse()
            if len(self._requests) >= self.queue:
                raise ServerOverloaded(
                    f"{self.queue} requests are waiting, which is the limit; try again in a second, or serve "
                    "with a larger --queue",
                    1,
                )
            self._requests.append(job)
            self._work.notify()
        return job.future

    def close(self) -> None:
        """Fail waiting jobs, wait a moment for running ones, and close the session."""
        with self._lock:
            self._closed = True
            self._ended.set()
            waiting = self._take_all()
            self._work.notify_all()
            self._watch.notify_all()
        for job in waiting:
            job.fail(EngineFailed("the server is shutting down"))
        threads = [worker.thread for worker in self._workers if worker.thread is not None]
        unexpected.join_threads((*threads, self._watcher), PATIENCE_S)
        for worker in self._workers:
            if worker.job is not None:
                worker.job.fail(EngineFailed("the server is shutting down"))
        # A session that is still in use is left open until the process ends.
        detector, self._detector = self._detector, None
        if detector is not None and not any(thread.is_alive() for thread in threads):
            detector.close()

    def _refuse(self) -> None:
        if self._closed:
            raise EngineFailed("the server is shutting down")
        if self._broken:
            raise EngineFailed(self._broken_reason)

    # -- workers -------------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        worker = _Worker()
        self._workers.append(worker)
        worker.thread = unexpected.start_thread("worker", partial(self._run, worker), self._ended, "edgecsp-serve")

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
            except BaseException as caught:  # noqa: BLE001 - set on the future
                error = caught
            with self._lock:
                worker.job = worker.context = None
                if worker.is_abandoned:  # it was replaced, and its job has failed
                    self._abandoned.remove(worker)
                    return
                if isinstance(error, EngineFailed) and context.detector is self._detector:
                    self._lose(str(error))
            if error is not None:
                job.fail(error)
            else:
                with suppress(InvalidStateError):
                    job.future.set_result(value)
            del job, context, error  # or they would keep the image in memory until the next job
            value = None

    def _take(self, worker: _Worker) -> Optional[_Job]:
        """Take the next job, alternating between the queues; None after `close`. The lock must be held."""
        while not self._closed:
            if self._detector is not None and (self._streams or self._requests):
                first = self._streams and not (self._last_was_stream and self._requests)
                job = (self._streams if first else self._requests).popleft()
                self._last_was_stream = bool(first)
                if not job.future.set_running_or_notify_cancel():
                    continue  # cancelled by the caller
                worker.job, worker.context = job, InferenceContext(self._detector, self.observe)
                return job
            self._work.wait()
        return None

    def _take_all(self) -> List[_Job]:
        """Take all waiting jobs. The lock must be held."""
        waiting = [*self._requests, *self._streams]
        self._requests.clear()
        self._streams.clear()
        return waiting

    # -- watchdog ------------------------------------------------------------------------------------------------

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
                why = f"the engine did not respond for {self._hung_s:g} s; a new session is being opened"
                job.fail(SessionHung(why))
            if lacking:
                self._reopen()

    def _leave_hung(self) -> List[_Job]:
        """Abandon the workers whose engine call hangs; return their jobs. The lock must be held."""
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
                self._lose(f"the engine did not respond for {self._hung_s:g} s")
        return jobs

    def _lose(self, why: str) -> None:
        """Stop using the current session. The lock must be held."""
        # It is not closed: other workers may be using it. The last reference frees it.
        self._detector = None
        self._why = why
        self._watch.notify_all()

    def _reopen(self) -> None:
        """Open a new session, unless that happened too often."""
        now = time.monotonic()
        if len(self._opened_at) == MOST and now - self._opened_at[0] < WITHIN_S:
            self._break(
                f"the engine was reopened {MOST} times within {WITHIN_S:g} s and still fails ({self._why}); "
                "restart the server, or use another --engine",
                WITHIN_S - (now - self._opened_at[0]),
            )
            return
        self._opened_at.append(now)
        try:
            detector = self._open()
        except BaseException as error:  # noqa: BLE001 - reported to clients, and retried
            if not isinstance(error, EdgecspError):
                unexpected.report("worker", error)
            self._break(f"the engine cannot be reopened: {error}", AGAIN_S)
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
        """Fail all waiting jobs and pause before the next attempt."""
        with self._lock:
            self._broken, self._broken_reason = True, why
            waiting = self._take_all()
        for job in waiting:
            job.fail(EngineFailed(why))
        with self._lock:
            if not self._closed:
                self._watch.wait(pause_s)
