"""A login is said once, to whom it is for, and is in nothing that leaves us: each output is searched for it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from support import media
from support.ports import free_port
from support.waiting import eventually

pytest.importorskip("uvicorn")

SECRETS = ("hunter2", "eve", "swordfish", "opensesame", "xyzzy")
TOKEN = "0123456789abcdef"
SITE = """\
engine = "ort"
listen = "127.0.0.1:{port}"
token = "file:token"

[[streams]]
name = "dead"
source = "env:DEAD_URL"

[[streams]]
name = "film"
source = "street.mp4"

[mqtt]
url = "mqtt://eve:hunter2@127.0.0.1:1/home"

[[webhooks]]
url = "http://eve:hunter2@127.0.0.1:1/services/xyzzy"
secret = "env:HOOK_SECRET"
"""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Tuple[int, Any, Path]]:
    """A site that runs: its port, its process, the file of what it says."""
    port = free_port()
    media.video(tmp_path / "street.mp4", 15)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "site.toml").write_text(SITE.format(port=port))
    env = {
        **os.environ,
        "DEAD_URL": "rtsp://eve:hunter2@127.0.0.1:1/live?password=opensesame",
        "HOOK_SECRET": "swordfish",
        "EDGECSP_HOME": str(tmp_path / "home"),
    }
    said = tmp_path / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgecsp", "up", str(tmp_path / "site.toml")], stdout=file, stderr=file, env=env
        )
    try:
        yield port, process, said
    finally:
        process.kill()
        process.wait()


def ask(port: int, path: str, *, most: int = 1 << 20, timeout_s: float = 5.0, token: str = TOKEN) -> Tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body, late = b"", time.monotonic() + timeout_s
        while len(body) < most and time.monotonic() < late:
            try:
                piece = answer.read1(65536)
            except OSError:  # it is silent for so long
                break
            if not piece:
                break
            body += piece
        return answer.status, str(answer.headers).encode() + body
    finally:
        connection.close()


def answered(port: int) -> Dict[str, Any]:
    try:
        status, body = ask(port, "/api/streams")
    except OSError:
        return {}
    return {"body": body} if status == 200 and b'"live"' in body and b'"no signal"' in body else {}


@pytest.mark.slow
def test_no_login_in_a_page_a_metric_an_event_a_log_a_file_or_an_error(
    up: Tuple[int, Any, Path], tmp_path: Path
) -> None:
    port, process, said = up
    eventually(lambda: answered(port), 60)
    paths = (
        "/", "/api/streams", "/api/state", "/api/streams/dead", "/api/streams/dead/picture.jpg", "/metrics",
        "/openapi.json", "/docs", "/v2", "/v2/models/codes",
        "/v2/health/ready", "/nowhere/hunter",
    )  # fmt: skip
    outputs: List[Tuple[str, bytes]] = [(path, ask(port, path)[1]) for path in paths]
    outputs.append(("/events", ask(port, "/events?", most=4000, timeout_s=3.0)[1]))
    outputs.append(("dead.jpg", ask(port, "/api/streams/dead/video", most=40_000, timeout_s=2.0)[1]))
    metrics = dict(outputs)["/metrics"]
    assert b'edgecsp_stream_up{stream="film"} 1.0' in metrics
    assert b'edgecsp_stream_up{stream="dead"} 0.0' in metrics
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert process.wait(10) == 130
    assert time.monotonic() - begun < 4
    words = said.read_bytes()
    assert b"rtsp://127.0.0.1:1/live" in words
    assert b"mqtt://127.0.0.1:1/home" in words, "that the broker is away is told"
    assert b"dead: no signal (cannot open rtsp://127.0.0.1:1/live" in words
    assert b"film: live" in words
    assert b"Traceback" not in words
    outputs.append(("what it says", words))
    for place in sorted((tmp_path / "home").rglob("*")):
        if place.is_file() and place.suffix in (".db", ".json", ".txt", ".db-wal"):
            outputs.append((place.name, place.read_bytes()))
            outputs.append(("the name of it", str(place).encode()))
    for name, data in outputs:
        text = data.replace(b"event", b"").replace(b"EVENT", b"").replace(b"Event", b"")
        for secret in (*SECRETS, TOKEN):
            if secret == "eve":  # within words of English; as a login it stands before : or @
                assert b"eve:" not in text, name
                assert b"eve@" not in text, name
            else:
                assert secret.encode() not in text, (name, secret)
    assert json.loads(dict(outputs)["/openapi.json"].partition(b"\n\n")[2])


def test_a_pipelines_secrets_are_those_that_the_source_hides() -> None:
    from edgecsp.media.sources import _gst_launch
    from edgecsp.serve import address

    for name in ("user-pw", "user_pw", "api-key", "authorization", "x-token", "login"):
        word = f"{name}=hidden"
        assert "hidden" not in address.shown(f"gst:rtspsrc location=x {word} ! fakesink")
        assert "hidden" not in _gst_launch.shown(word)
