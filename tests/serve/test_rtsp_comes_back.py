"""A real RTSP server is killed again and again: the stream comes back each time, and nothing is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import time
from typing import Any, Iterator, List

import pytest

from edgecsp.media import sources
from edgecsp.serve import events, streams
from edgecsp.serve.live import StreamState
from edgecsp.serve.retry import Backoff
from support.repository import TESTS
from support.waiting import eventually
from support.watching import Finds, handles, threads

SERVER = TESTS / "support" / "rtsp_server.py"
USER, PASSWORD = "watcher", "hunter2"
KILLS = 20


class Server:
    """The server's process, at the same port each time it is started."""

    def __init__(self) -> None:
        self.port = "0"
        self.process: Any = None

    def start(self) -> None:
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "G_DEBUG": ""}
        words = ["/usr/bin/python3", str(SERVER), USER, PASSWORD, self.port]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        port = self.process.stdout.readline().strip()
        if not port:
            reason = (self.process.stderr.read().strip().splitlines() or ["it ended"])[-1]
            self.kill()
            pytest.skip(f"no RTSP server here ({reason}); Debian: see tests/test_rtsp.py")
        self.port = port

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    @property
    def url(self) -> str:
        return f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/live"


@pytest.fixture
def server() -> Iterator[Server]:
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("no /usr/bin/python3 to run the RTSP server")
    made = Server()
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.mark.slow
def test_killed_20_times_it_comes_back_20_times(server: Server) -> None:
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
    gc.collect()
    assert handles() <= before[1]
    everything = str(told) + str(reasons) + str(view.described()) + repr(view)
    assert PASSWORD not in everything
    assert USER not in everything


def test_a_server_that_falls_silent_is_left_and_asked_again(server: Server) -> None:
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
        eventually(lambda: "no answer for 3 s" in view.reason)
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
