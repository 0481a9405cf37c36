"""Events go to a real web server: signed, in order, again when it fails, and nobody waits for it."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
import time
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from edgecsp.errors import UsageError
from edgecsp.serve import events, webhooks
from edgecsp.serve.retry import Backoff
from edgecsp.serve.webhooks import Webhooks, hook
from support.waiting import eventually
from support.watching import detections, frame, threads

QUICK: Dict[str, Any] = {"every_s": 0.0, "backoff": lambda: Backoff(0.01, 0.05)}


class Site:
    """A web server: `answers` are its next codes, then 204; `got` what was posted."""

    def __init__(self) -> None:
        self.answers: List[int] = []
        self.got: List[Tuple[str, Dict[str, str], bytes]] = []
        self.silent = threading.Event()
        self.port = 0

    def url(self, path: str = "/hook", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{path}"

    @property
    def frames(self) -> List[int]:
        return [json.loads(body)["frame"] for _, _, body in self.got]


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if made.silent.is_set():
                time.sleep(1.0)
                return
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = made.answers.pop(0) if made.answers else 204
            if code == 204:
                made.got.append((self.path, dict(self.headers), body))
            self.send_response(code)
            self.send_header("Location", made.url("/elsewhere"))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def happens(bus: events.Bus, index: int, count: int, stream: str = "cam1") -> None:
    bus.publish(events.detections(stream, frame(index), detections(count)))


def test_a_post_has_the_event_its_number_and_a_signature(site: Site) -> None:
    bus = events.Bus()
    hooks = Webhooks([hook(site.url("/hook?room=1", "eve:hun%40ter2@"), secret="swordfish")], bus, **QUICK)
    hooks.start()
    happens(bus, 5, 1)
    eventually(lambda: sum(hooks.sent.values()) == 1)
    hooks.close()
    (path, headers, body) = site.got[0]
    assert path == "/hook?room=1"
    said = json.loads(body)
    assert (said["type"], said["stream"], said["frame"]) == ("detections", "cam1", 5)
    assert headers["X-Edgecsp-Event"] == "detections"
    assert headers["X-Edgecsp-Delivery"] == str(said["id"])
    wanted = hmac.new(b"swordfish", body, hashlib.sha256).hexdigest()
    assert headers["X-Edgecsp-Signature-256"] == f"sha256={wanted}"
    assert headers["Authorization"] == "Basic ZXZlOmh1bkB0ZXIy"
    assert threads() == []


def test_what_fails_is_tried_again_and_the_order_is_kept(site: Site, log_lines: List[str]) -> None:
    bus = events.Bus()
    site.answers = [503, 429, 500, 204, 204, 502]
    hooks = Webhooks([hook(site.url())], bus, **QUICK)
    hooks.start()
    for index in range(6):
        happens(bus, index, index % 2 + 1)
    eventually(lambda: len(site.got) == 6)
    eventually(lambda: sum(hooks.sent.values()) == 6)
    hooks.close()
    assert site.frames == list(range(6))
    assert sum(hooks.dropped.values()) == 0
    reason = "the server answered 503 Service Unavailable"
    assert log_lines[0] == f"webhook http://127.0.0.1:{site.port}: {reason}; retrying"


@pytest.mark.parametrize("code", [400, 404, 301, 302, 307])
def test_what_is_refused_is_given_up_and_no_redirect_is_followed(site: Site, code: int, log_lines: List[str]) -> None:
    bus = events.Bus()
    site.answers = [code]
    hooks = Webhooks([hook(site.url())], bus, **QUICK)
    hooks.start()
    happens(bus, 0, 1)
    eventually(lambda: sum(hooks.dropped.values()) == 1)
    happens(bus, 1, 2)
    eventually(lambda: site.frames == [1])
    hooks.close()
    assert [path for path, _, _ in site.got] == ["/hook"]
    assert "the event is dropped" in log_lines[0]


def test_after_so_many_tries_it_is_given_up(site: Site) -> None:
    bus = events.Bus()
    site.answers = [503] * 3
    hooks = Webhooks([hook(site.url())], bus, tries=3, **QUICK)
    hooks.start()
    happens(bus, 0, 1)
    happens(bus, 1, 2)
    eventually(lambda: site.frames == [1])
    hooks.close()
    assert sum(hooks.dropped.values()) == 1


def test_a_server_that_is_silent_keeps_nobody_waiting(site: Site) -> None:
    """Nor what comes behind: at most `queue` events wait, the newest."""
    bus = events.Bus()
    site.silent.set()
    slow = hook(site.url())
    hooks = Webhooks([slow], bus, queue=5, timeout_s=0.2, tries=2, **QUICK)
    hooks.start()
    begun = time.monotonic()
    for index in range(100):
        happens(bus, index, index % 2 + 1)
    assert time.monotonic() - begun < 1.0, "publishing does not wait"
    eventually(lambda: hooks.dropped[slow.name] >= 90)
    assert hooks.waiting[slow.name] <= 5
    site.silent.clear()
    eventually(lambda: 99 in site.frames)
    begun = time.monotonic()
    hooks.close()
    assert time.monotonic() - begun < 3
    assert site.frames == sorted(site.frames)


def test_a_hook_may_be_for_some_streams_alone(site: Site) -> None:
    bus = events.Bus()
    hooks = Webhooks([hook(site.url(), streams=["door"])], bus, **QUICK)
    hooks.start()
    happens(bus, 1, 1, "yard")
    happens(bus, 2, 1, "door")
    eventually(lambda: site.got)
    hooks.close()
    assert site.frames == [2]


def test_no_login_in_what_is_logged(log_lines: List[str]) -> None:
    bus = events.Bus()
    secret = hook("https://eve:hunter2@127.0.0.1:1/services/hunter2?token=hunter2", secret="hunter2")
    hooks = Webhooks([secret], bus, tries=2, **QUICK)
    hooks.start()
    happens(bus, 0, 1)
    eventually(lambda: sum(hooks.dropped.values()) == 1)
    hooks.close()
    everything = str(log_lines) + repr(secret) + str(hooks.sent)
    assert log_lines
    assert "hunter2" not in everything
    assert "eve" not in everything.replace("event", "")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://eve:hunter2@x/y",
        "x",
        "http://",
        "http://eve:hunter2@x:hunter2/",
        "http://[eve:hunter2@x/",
        "http://eve:hunter2",
        "https://x/a b",
    ],
)
def test_what_is_no_webhook_is_said_without_its_login(url: str) -> None:
    with pytest.raises(UsageError, match="webhook") as caught:
        hook(url)
    assert "hunter2" not in str(caught.value)


def test_the_signature_is_that_of_rfc_2104() -> None:
    # RFC 4231, test case 2
    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert webhooks.signature("Jefe", b"what do ya want for nothing?") == f"sha256={wanted}"


def test_events_share_a_connection_and_one_that_was_closed_meanwhile_is_no_loss() -> None:
    """A server of HTTP/1.1 that closes a connection after two events, before it answers the third on it."""
    connections: List[int] = []
    frames: List[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connections.append(0)
            super().setup()

        def do_POST(self) -> None:
            connections[-1] += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if connections == [3]:
                self.close_connection = True
                return
            frames.append(json.loads(body)["frame"])
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        bus = events.Bus()
        target = hook(f"http://127.0.0.1:{server.server_address[1]}/hook")
        hooks = Webhooks([target], bus, tries=1, **QUICK)
        hooks.start()
        for index in range(6):
            happens(bus, index, index % 2 + 1)
        eventually(lambda: hooks.sent[target.name] + hooks.dropped[target.name] == 6)
        hooks.close()
        server.shutdown()
        thread.join()
    assert (frames, connections) == ([0, 1, 2, 3, 4, 5], [3, 4])
    assert hooks.dropped[target.name] == 0
