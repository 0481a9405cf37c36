"""A real RTSP server in a process of its own (rtsp_server.py); its Debian packages: tests/test_rtsp.py."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from support.repository import TESTS

PYTHON = "/usr/bin/python3"  # which has GStreamer
SERVER = TESTS / "support" / "rtsp_server.py"
USER, PASSWORD = "watcher", "hunter2"


class RtspServer:
    """The server's process, at the same port each time it is started; it serves a test image or a video."""

    def __init__(self, video: str = "") -> None:
        if not os.path.exists(PYTHON):
            pytest.skip(f"no {PYTHON} to run the RTSP server")
        self.video = video
        self.port = "0"
        self.process: Any = None

    def start(self) -> None:
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "G_DEBUG": ""}
        words = [PYTHON, str(SERVER), USER, PASSWORD, self.port, self.video]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        port = self.process.stdout.readline().strip()
        if not port:
            reason = (self.process.stderr.read().strip().splitlines() or ["it ended"])[-1]
            self.kill()
            pytest.skip(f"no RTSP server here ({reason}); Debian: see tests/test_rtsp.py")
        self.port = port

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    @property
    def url(self) -> str:
        return f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/live"
