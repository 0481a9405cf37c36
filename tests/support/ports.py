"""Ports of servers that tests start."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, server: subprocess.Popen[Any]) -> None:
    """Wait until somebody answers there, a minute at most."""
    late = time.monotonic() + 60
    while time.monotonic() < late:
        assert server.poll() is None, f"{server.args!r} has ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody answers at port {port} after a minute")
