"""The session that all share: lanes in turns, a bounded queue, each asker its own answer, hung engines left."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List

import numpy as np
import pytest

from edgecsp import backends, pipeline
from edgecsp.errors import EngineFailed, ServerOverloaded, SessionHung
from edgecsp.options import Thresholds
from edgecsp.pipeline import Detector
from edgecsp.serve.inference_pool import InferencePool
from edgecsp.types import Detections
from support.tiny import Tiny

LOW = Thresholds(conf=0.001)


def opener(tiny: Tiny, **options: Any) -> Callable[[], Detector]:
    return lambda: pipeline.load(tiny.model, "ort", threads=1, **options)


class Stuck(backends.Session):
    """A session that waits for a gate, or fails."""

    def __init__(self, inner: Any, gate: threading.Event, error: bool = False) -> None:
        self._inner, self._gate, self._error = inner, gate, error

    def run(self, batch: Any) -> Any:
        if self._error:
            raise MemoryError("CUDA out of memory")
        self._gate.wait()
        return self._inner.run(batch)

    def close(self) -> None:
        self._inner.close()


def pictures(count: int) -> List[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8) for seed in range(count)]


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.scores, b.scores)


def test_everybody_gets_their_own_answer(tiny: Tiny) -> None:
    images = pictures(12)
    with opener(tiny)() as alone:
        expected = [alone(image, LOW) for image in images]
    assert len({len(each) for each in expected}) > 1 or not same(expected[0], expected[1]), "the answers differ"
    pool = InferencePool(lambda: pipeline.load(tiny.model, "ort", threads=2, concurrency=2))
    found: List[Any] = [None] * len(images)

    def stream(at: int) -> None:
        found[at] = pool.detect(images[at], LOW)

    try:
        threads = [threading.Thread(target=stream, args=(at,)) for at in range(6)]
        for thread in threads:
            thread.start()
        futures = [pool.submit(image, LOW) for image in images[6:]]
        found[6:] = [future.result(30) for future in futures]
        for thread in threads:
            thread.join(30)
        assert all(same(a, b) for a, b in zip(found, expected))
    finally:
        pool.close()


def test_settings_are_of_the_request(tiny: Tiny, picture: np.ndarray) -> None:
    pool = InferencePool(opener(tiny))
    try:
        every = pool.detect(picture, Thresholds(conf=0.001))
        assert isinstance(every, Detections) and len(every) > 3
        some = pool.detect(picture, Thresholds(conf=float(every.scores[1])))
        assert 0 < len(some) < len(every)
        wanted = int(every.class_ids[0])
        assert set(pool.detect(picture, Thresholds(conf=0.001, classes=(wanted,))).class_ids) == {wanted}
    finally:
        pool.close()


def test_the_queue_is_bounded_and_streams_are_not_kept_out(tiny: Tiny, picture: np.ndarray) -> None:
    gate = threading.Event()

    def opened() -> Detector:
        detector = opener(tiny)()
        detector.session = Stuck(detector.session, gate)
        return detector

    pool = InferencePool(opened, queue=3)
    try:
        busy = [pool.submit(picture, LOW) for _ in range(len(pool._workers))]
        until(lambda: pool.depth == 0)
        order: List[str] = []
        waiting = [pool.ask(lambda context, number=number: order.append(f"request {number}")) for number in range(3)]
        with pytest.raises(ServerOverloaded, match="--queue") as refused:
            pool.submit(picture, LOW)
        assert refused.value.status == 503 and refused.value.retry_after_s

        def frame() -> np.ndarray:
            order.append("stream")
            return picture

        thread = threading.Thread(target=pool.detect, args=(frame, LOW))
        thread.start()
        until(lambda: len(pool._streams) == 1)
        gate.set()
        for future in (*busy, *waiting):
            future.result(30)
        thread.join(30)
        assert order.index("stream") < 3, "it does not wait for all of the queue"
    finally:
        gate.set()
        pool.close()


def test_a_hung_session_is_replaced(tiny: Tiny, picture: np.ndarray) -> None:
    gate, opened = threading.Event(), []

    def open_detector() -> Detector:
        detector = opener(tiny)()
        if not opened:
            detector.session = Stuck(detector.session, gate)
        opened.append(detector)
        return detector

    pool = InferencePool(open_detector, hung_s=0.5)
    try:
        first = pool.submit(picture, LOW)
        with pytest.raises(SessionHung, match=r"0\.5 s"):
            first.result(10)
        assert len(pool.submit(picture, LOW).result(10)) > 0
        assert pool.healthy and pool.restarts == 1 and len(opened) == 2
        before = threading.active_count()
        gate.set()  # the one that was left comes back, and goes
        until(lambda: threading.active_count() == before - 1)
        assert len(pool.submit(picture, LOW).result(10)) > 0
    finally:
        gate.set()
        pool.close()


def test_an_engine_that_always_fails_is_told_so(tiny: Tiny, picture: np.ndarray) -> None:
    def opened() -> Detector:
        detector = opener(tiny)()
        detector.session = Stuck(detector.session, threading.Event(), error=True)
        return detector

    pool = InferencePool(opened)
    try:
        said = []
        for _ in range(12):
            with pytest.raises(EngineFailed) as failed:
                pool.detect(picture, LOW)
            said.append(str(failed.value))
            if "5 times" in said[-1]:
                break
        assert "CUDA out of memory" in said[0] and "5 times within 60 s" in said[-1]
        assert not pool.healthy and pool.restarts == 5
        with pytest.raises(EngineFailed, match="5 times"):
            pool.submit(picture, LOW)
    finally:
        pool.close()


def test_closing_answers_who_waits_and_leaves_no_thread(tiny: Tiny, picture: np.ndarray) -> None:
    before = threading.active_count()
    pool = InferencePool(opener(tiny))
    assert len(pool.submit(picture, LOW).result(10)) > 0
    pool.close()
    assert threading.active_count() == before
    with pytest.raises(EngineFailed, match="shutting down"):
        pool.submit(picture, LOW)


def test_what_raises_in_a_request_is_the_requests(tiny: Tiny, picture: np.ndarray) -> None:
    pool = InferencePool(opener(tiny))
    try:
        with pytest.raises(ZeroDivisionError):
            pool.ask(lambda context: 1 / 0).result(10)
        assert pool.healthy and pool.restarts == 0 and len(pool.submit(picture, LOW).result(10)) > 0
    finally:
        pool.close()


def until(done: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)
