"""A real RTSP server is killed again and again: the stream comes back each time, and nothing is left behind."""

from __future__ import annotations

import gc
import signal
import time
from typing import Iterator, List

import pytest

from edgecsp.media import sources
from edgecsp.serve import events, streams
from edgecsp.serve.live import StreamState
from edgecsp.serve.retry import Backoff
from support.rtsp import PASSWORD, USER, RtspServer
from support.waiting import eventually
from support.watching import Finds, handles, threads

KILLS = 20


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer() as made:
        yield made


@pytest.mark.slow
def test_killed_20_times_it_comes_back_20_times(server: RtspServer) -> None:
    before = threads(), handles()
    view, bus, counts = StreamState(server.url, "door"), events.Bus(), []  # type: ignore[var-annotated]
    reasons: List[str] = []
    with bus.subscribe(10_000) as heard, streams.Streams([view], Finds(), bus, backoff=lambda: Backoff(0.05, 0.2)):
        for kill in range(KILLS):
            eventually(lambda: view.state == "live" and view.latest(), 30)
            assert view.reconnects == kill
            server.kill()
            eventually(lambda: view.state == "no signal", 15)
            assert view.latest() is None
            reasons.append(view.reason)
            server.start()
            if kill in (1, KILLS - 1):
                eventually(lambda: view.state == "live" and view.latest(), 30)
                gc.collect()
                counts.append((threads(), handles()))
        assert view.reconnects == KILLS
        assert counts[0] == counts[1], "as many threads and handles as after the second time"
        told = [event for event in iter(heard.take, None) if event["type"] == "state"]
    assert sum(event["state"] == "live" for event in told) == KILLS + 1
    eventually(lambda: threads() == before[0])
    eventually(lambda: gc.collect() >= 0 and handles() <= before[1])
    everything = str(told) + str(reasons) + str(view.to_dict()) + repr(view)
    assert PASSWORD not in everything
    assert USER not in everything


def test_a_server_that_falls_silent_is_left_and_asked_again(server: RtspServer) -> None:
    """A cable that is pulled: nothing is said any more, and no connection ends."""
    before = threads(), handles()
    view, bus = StreamState(server.url, "door"), events.Bus()
    watched = streams.Streams(
        [view], Finds(), bus, stale_s=1.0, backoff=lambda: Backoff(0.05, 0.2),
        open_source=lambda uri: sources.open(uri, timeout_s=3.0),
    )  # fmt: skip
    with watched:
        eventually(lambda: view.state == "live", 30)
        server.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        eventually(lambda: view.state == "no signal")
        assert time.monotonic() - began < 2.5
        assert view.reason == "no frame for 1 s"
        eventually(lambda: "no response for 3 s" in view.reason)
        server.process.send_signal(signal.SIGCONT)
        eventually(lambda: view.state == "live", 30)
        assert view.reconnects >= 1
        server.process.send_signal(signal.SIGSTOP)
        eventually(lambda: view.state == "no signal")
        began = time.monotonic()
    assert time.monotonic() - began < 8, "closing waits for it no longer than for any answer"
    server.process.send_signal(signal.SIGCONT)
    assert threads() == before[0]
    gc.collect()
    assert handles() <= before[1]
