"""Ctrl-C while a camera does not answer ends a program at once, with a KeyboardInterrupt of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from typing import Iterator, List

import pytest

from support.repository import child_environment

PYTHON = """
import sys
from edgecsp.media import sources
try:
    sources.open_all([sys.argv[1]])
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.fixture
def silent_camera() -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"rtsp://127.0.0.1:{listening.getsockname()[1]}/live"


@pytest.mark.parametrize(
    ("command", "code"),
    [(["-c", PYTHON], 7), (["-m", "edgecsp", "run", "-e", "ort", "--json", "-"], 130)],
    ids=["python", "run"],
)
def test_it_ends_before_the_timeout(silent_camera: str, command: List[str], code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, *command, silent_camera],
        env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        time.sleep(4)  # it waits ten seconds for an answer
        assert process.poll() is None
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code, errors
    assert time.monotonic() - begun < 4 and b"no response" not in errors
