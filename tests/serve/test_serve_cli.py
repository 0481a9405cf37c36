"""`edgecsp serve` as a program: what it says, how it ends, and what it refuses to begin with."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import numpy as np
import pytest

from edgecsp import cli
from edgecsp.serve import bind
from edgecsp.system import install
from support import served
from support.repository import REPO, child_environment

TOKEN = "correct-horse-battery-staple"


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> Tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["edgecsp", "serve", *words])
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        for number, was in kept.items():
            signal.signal(number, was)
    return int(ended.value.code or 0), capsys.readouterr().err


@contextlib.contextmanager
def started(*words: str, **more: str) -> Iterator[Tuple[subprocess.Popen, str, List[str]]]:
    """The program, where it answers, and what it said until then."""
    env = child_environment(**more)
    command = [sys.executable, "-m", "edgecsp", "serve", "--port", "0", "--threads", "1", "--engine", "ort", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            said: List[str] = []
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line.rstrip())
                if "Ctrl-C" in line:
                    break
            found = re.search(r"http://\S+?:\d+", "\n".join(said))
            assert found, said
            yield process, found.group(), said
        finally:
            process.kill()


def get(url: str, path: str, **headers: str) -> Tuple[int, bytes]:
    host, _, port = url.partition("//")[2].rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_a_film_and_ends_within_two_seconds(number: int) -> None:
    with started(str(REPO / "benchmarks" / "codes.mp4")) as (process, url, said):
        assert any("1 stream at" in line for line in said) and any("cam1: " in line for line in said)
        assert any(line.startswith("edgecsp: no --model given: using codes") for line in said)
        end = time.monotonic() + 30
        while b'"state": "live"' not in get(url, "/api/state")[1]:
            assert time.monotonic() < end
            time.sleep(0.1)
        host, _, port = url.partition("//")[2].rpartition(":")
        with socket.create_connection((host, int(port)), 10) as looker:
            looker.sendall(b"GET /api/streams/cam1/video HTTP/1.1\r\nHost: localhost\r\n\r\n")
            looker.recv(1 << 16)
            begun = time.monotonic()
            process.send_signal(number)
            assert process.wait(10) == 128 + number
            assert time.monotonic() - begun < 2.0
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_a_token_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    place = tmp_path / "token"
    place.write_text(TOKEN + "\n")
    place.chmod(0o600)
    with started("--token-file", str(place), "--host", "0.0.0.0") as (_, url, said):
        assert any("Authorization: Bearer" in line for line in said) and TOKEN not in "\n".join(said)
        assert get(url, "/v2")[0] == 401
        assert get(url, "/v2", Authorization=f"Bearer {TOKEN}")[0] == 200
    with started(EDGECSP_TOKEN=TOKEN) as (_, url, said):
        assert any("the API only" in line for line in said)
        assert get(url, "/v2")[0] == 401


def test_others_are_not_let_in_without_a_token(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("EDGECSP_TOKEN", raising=False)
    code, said = refused(monkeypatch, capsys, "--host", "0.0.0.0")
    assert (
        code == 2
        and "openssl rand -hex 16" in said
        and "--token-file" in said
        and "EDGECSP_TOKEN" in said
        and "ps" in said
    )


def test_what_it_cannot_begin_with(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    with contextlib.closing(bind("127.0.0.1", 0)) as held:
        held.listen()
        code, said = refused(monkeypatch, capsys, "--port", str(held.getsockname()[1]))
        assert code == 2 and "--port" in said and "in use" in said
    short = tmp_path / "short"
    short.write_text("abc")
    short.chmod(0o600)
    assert refused(monkeypatch, capsys, "--token-file", str(short))[0] == 2
    code, said = refused(monkeypatch, capsys, "--token-file", str(tmp_path / "shrt"))
    assert code == 3 and "did you mean" in said
    code, said = refused(monkeypatch, capsys, str(tmp_path / "no.mp4"))
    assert code == 3 and "no such file or folder" in said
    assert refused(monkeypatch, capsys, "--classes", "unicorn")[0] == 2
    assert refused(monkeypatch, capsys, "--mqtt", "http://x")[0] == 2
    assert refused(monkeypatch, capsys, "-")[0] == 2


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name == "uvicorn" else real(name, *rest))
    code, said = refused(monkeypatch, capsys)
    assert code == 6 and "needs uvicorn" in said and install.command("serve") in said


def test_a_picture_by_the_line_it_prints() -> None:
    with started() as (_, url, said):
        line = next(line for line in said if "curl" in line)
        assert f"{url}/v1/detect" in line
        host, _, port = url.partition("//")[2].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        with contextlib.closing(connection):
            connection.request(
                "POST",
                "/v1/detect",
                served.encoded(np.zeros((48, 64, 3), np.uint8), ".jpg"),
                {"Content-Type": "image/jpeg"},
            )
            assert connection.getresponse().status == 200
