"""An exception that nobody expected is logged with its traceback, counted and answered; the thread goes on."""

from __future__ import annotations

import logging
import threading
from typing import Any, Iterator, List

import pytest

pytest.importorskip("uvicorn")

from edgecsp.media.sources import Source
from edgecsp.serve import app, app_state, events, openapi, streams, unexpected, webhooks
from edgecsp.serve.live import StreamState
from support import served
from support.tiny import Tiny
from support.waiting import eventually
from support.watching import frame


class Bug(Exception):
    """What no code of the server knows."""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    unexpected._logged.clear()
    yield


def counted(site: served.Site, where: str) -> float:
    for line in site.ask("/metrics").body.decode().splitlines():
        if line.startswith(f'edgecsp_unexpected_errors_total{{where="{where}"}} '):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_a_bug_in_a_route_is_answered_logged_and_counted(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Any) -> bytes:
        raise Bug("rtsp://eve:hunter2@door/live is\nedgecsp: all is well \x1b[2J")

    monkeypatch.setattr(app_state.AppState, "state", broken)
    with served.served(tiny.model) as site, caplog.at_level(logging.ERROR):
        before = counted(site, "request")
        answer = site.ask("/api/state")
        assert (answer.status, list(answer.json)) == (500, ["error"])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "hunter2" not in answer.body.decode()
        assert counted(site, "request") == before + 1
        assert site.ask("/v2/health/live").status == 200, "the server goes on"
    (record,) = [each for each in caplog.records if each.name == "edgecsp.serve.unexpected"]
    said = record.getMessage()
    assert "Traceback (most recent call last)" in said
    assert "in broken" in said
    assert answer.json["error"].split()[2].strip(";") in said, "the answer's reference finds the log"
    assert "hunter2" not in said
    assert "\x1b" not in said
    assert not [line for line in said.split("\n")[1:] if not line.startswith("    ")], "no line can be forged"


def test_the_same_bug_writes_its_traceback_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    before = unexpected.counts().get("request", 0)
    for _ in range(20):
        try:
            raise Bug("again")
        except Bug as error:
            unexpected.report("request", error)
    assert unexpected.counts()["request"] == before + 20
    assert sum("Traceback" in record.getMessage() for record in caplog.records) == 1
    assert len(caplog.records) == 20


def test_every_operation_promises_that_answer(tiny: Tiny) -> None:
    for path, verbs in openapi.document("m")["paths"].items():
        for verb, operation in verbs.items():
            assert "500" in operation["responses"], (path, verb)
    assert len(app.routes()) > 10


class Broken(Source):
    """A camera whose library stumbles."""

    live = True

    def __iter__(self) -> Any:
        yield frame()
        raise Bug("the decoder")


class Detects:
    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: Any, settings: Any) -> Any:
        self.calls += 1
        raise Bug("the detector")


def test_a_streams_thread_reports_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    before = unexpected.counts().get("stream", 0)
    opened: List[Source] = []

    def open_source(uri: str) -> Source:
        opened.append(Broken(uri))
        return opened[-1]

    from edgecsp.serve.retry import Backoff

    view = StreamState("rtsp://door/live", "door")
    made = streams.Streams(
        [view], Detects(), events.Bus(), backoff=lambda: Backoff(0.01, 0.01), open_source=open_source
    )
    with made:
        eventually(lambda: len(opened) >= 2, 20)
    assert unexpected.counts()["stream"] > before
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "Bug: the detector" in told
    assert "Bug: the decoder" in told
    assert "Traceback" in told


def test_a_workers_thread_answers_reports_and_goes_on(tiny: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    from edgecsp.serve.inference_pool import InferencePool

    with served.served(tiny.model, threads=1) as site:
        before = unexpected.counts().get("worker", 0)
        taken: List[int] = []
        real = InferencePool._take

        def take(self: InferencePool, worker: Any) -> Any:
            if len(taken) < 20:
                taken.append(1)
                raise Bug("the worker")
            return real(self, worker)

        workers = len(site.batcher._workers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(InferencePool, "_take", take)
            # Each worker finishes one piece of work, then meets the bug.
            for _ in range(workers):
                site.batcher.ask(lambda turn: 1).result(10)
            eventually(lambda: unexpected.counts().get("worker", 0) > before, 10)
        assert site.batcher.ask(lambda turn: 2).result(20) == 2
        assert all(worker.thread.is_alive() for worker in site.batcher._workers if worker.thread)


def test_a_senders_thread_reports_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: List[int] = []

    def deliver(self: Any, event: Any) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise Bug("the sender")
        return True

    monkeypatch.setattr(webhooks._Posts, "_deliver", deliver)
    bus = events.Bus()
    hooks = webhooks.Webhooks([webhooks.hook("http://127.0.0.1:1/x")], bus)
    hooks.start()
    before = unexpected.counts().get("webhook", 0)
    try:
        bus.publish(events.state("door", "live", ""))
        eventually(lambda: unexpected.counts().get("webhook", 0) == before + 1, 10)
        bus.publish(events.state("door", "no signal", ""))
        eventually(lambda: list(hooks.sent.values()) == [1], 10)
        assert list(hooks.dropped.values()) == [1]
    finally:
        hooks.close()


def test_a_thread_that_is_stopped_is_not_begun_again() -> None:
    stop = threading.Event()
    stop.set()
    calls: List[int] = []

    def work() -> None:
        calls.append(1)
        raise Bug("late")

    unexpected.keep_running("worker", work, stop)
    assert calls == [1]
