"""`edgecsp up` on the demo video with a line: events to a broker, a webhook and listeners, with snapshots and clips."""

from __future__ import annotations

import http.client
import http.server
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from support.ports import free_port
from support.repository import REPO, child_environment
from support.waiting import eventually

SITE = """\
listen = "127.0.0.1:{port}"
engine = "ort"

[[streams]]
name = "belt"
source = "{video}"
editable = true

[[streams.lines]]
name = "middle"
points = [[0, 0.5], [1, 0.5]]
anchor = "center"

[events]
folder = "events"
before_s = 1
after_s = 1

[[webhooks]]
url = "http://127.0.0.1:{hook}/"
"""


@pytest.fixture
def hook() -> Iterator[Tuple[int, List[Dict[str, Any]]]]:
    """A web server that takes what is posted: its port, and the bodies."""
    bodies: List[Dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1], bodies
    server.shutdown()
    server.server_close()
    thread.join()


def ask(port: int, path: str, method: str = "GET", body: Any = None) -> Tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def latest(port: int) -> List[Dict[str, Any]]:
    status, body = ask(port, "/api/events?kind=cross&limit=500")
    return json.loads(body)["events"] if status == 200 else []


@pytest.mark.slow
def test_what_crosses_the_line_is_told_everywhere(hook: Tuple[int, List[Dict[str, Any]]], tmp_path: Path) -> None:
    import av

    port = free_port()
    site = tmp_path / "site.toml"
    site.write_text(SITE.format(port=port, video=REPO / "benchmarks" / "codes.mp4", hook=hook[0]))
    command = [sys.executable, "-m", "edgecsp", "up", str(site)]
    process = subprocess.Popen(command, cwd=tmp_path, env=child_environment(), stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: [each for each in latest(port) if each["clip"]], 60)
        crossed = next(each for each in latest(port) if each["clip"])
        posted = [body["event"]["id"] for body in hook[1] if body["type"] == "area"]
        assert crossed["id"] in posted
        assert ask(port, crossed["snapshot"])[1][:2] == b"\xff\xd8"
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(ask(port, crossed["clip"])[1])
        with av.open(str(clip)) as container:
            times = [each.time for each in container.decode(video=0)]
        assert times[0] == 0 and times[-1] > 1.0
        counted = json.loads(ask(port, "/api/streams/belt/areas")[1])["counts"]["lines"]["middle"]
        assert sum(counted["in"].values()) + sum(counted["out"].values()) >= 1
        drawn = {"lines": [{"name": "left", "points": [[0.3, 0], [0.3, 1]]}]}
        assert ask(port, "/api/streams/belt/areas", "PUT", drawn)[0] == 200
        assert "left" in (tmp_path / "site.areas.json").read_text()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, said
    assert not [path.name for path in (tmp_path / "events").iterdir() if path.name.endswith(".part")]
