"""Hours of `edgecsp up` and `edgecsp serve` under disturbance: memory, threads, descriptors, files.

    python -m benchmarks.soak [--hours 6] [--engine NAME] [--every 60] [--callers 8] [--json FILE] [--log FOLDER]

`up` watches three streams with tracking, lines, zones and clips: a video in a loop, an RTSP server that is killed and
started again once a minute, and an address that nobody answers at. Every other 20 seconds somebody looks at a
stream's MJPEG, the page's state and the list of events. The events' folder is bounded at 20 MB. `serve` answers
so many callers, each of whom sends a JPEG a second. Both run at the same time.

A sample is taken every `--every` seconds and appended to the file as a line of JSON, so that a run that is ended early
is not lost. The slope of an hour is that of the least squares through its samples. Linux; the RTSP server is the
system's GStreamer (Debian: gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and -bad); without it the stream is
another video.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from . import command_line, proc
from .images import image_paths

HERE = Path(__file__).resolve().parent
VIDEO = HERE / "codes.mp4"
RTSP_SERVER = HERE.parent / "tests" / "support" / "rtsp_server.py"
FOLDER_MB = 20
SITE = """
engine = "{engine}"
listen = "127.0.0.1:{port}"

[events]
folder = "events"
max_mb = {megabytes}
before_s = 3
after_s = 3

[[streams]]
name = "video"
source = "{video}"
track = true
{areas}

[[streams]]
name = "rtsp"
source = "env:SOAK_RTSP"
track = true
{areas}

[[streams]]
name = "dead"
source = "rtsp://127.0.0.1:9/live"
track = true
"""
AREAS = """
[[streams.lines]]
name = "middle"
points = [[0.5, 0.0], [0.5, 1.0]]
anchor = "center"
cooldown_s = 5

[[streams.zones]]
name = "left"
points = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
dwell_s = 2
max_count = 2
cooldown_s = 10
"""


def main() -> None:
    """Run, sample, print the table by hours."""
    options = {"hours": 6.0, "engine": "auto", "every": (60.0, "seconds between samples"), "callers": 8}
    args = command_line.parser(__doc__, **options, json=Path, log=Path).parse_args()
    rows: List[Dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        subjects = _Subjects(args, Path(folder))
        try:
            end, due = time.monotonic() + args.hours * 3600, time.monotonic()
            began = due
            while time.monotonic() < end:
                due += args.every
                time.sleep(max(0.0, min(due, end) - time.monotonic()))
                rows.append({"hours": (time.monotonic() - began) / 3600, **subjects.sample()})
                if args.json:
                    with args.json.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
        except KeyboardInterrupt:
            print("ended early", file=sys.stderr)
        finally:
            subjects.close()
    print(table(rows))


def table(rows: Sequence[Dict[str, float]]) -> str:
    """Write one line of Markdown an hour and process: memory at its end, slope, threads, descriptors, CPU."""
    lines = [
        "| process | hours | memory at the end, MiB | slope, MiB an hour | threads | descriptors | of a core | did |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, did in (("up", "crossings"), ("serve", "answers")):
        for hour in range(int(rows[-1]["hours"]) + 1):
            for first, last in ((0.0, 0.5), (0.5, 1.0)) if hour == 0 else ((0.0, 1.0),):
                inside = [row for row in rows if hour + first <= row["hours"] < hour + last]
                if len(inside) < 3:
                    continue
                times = [row["hours"] for row in inside]
                memory = [row[f"{name}_rss"] / 2**20 for row in inside]
                slope = float(np.polyfit(times, memory, 1)[0])
                spent_s = (times[-1] - times[0]) * 3600
                cpu = (inside[-1][f"{name}_cpu_s"] - inside[0][f"{name}_cpu_s"]) / spent_s
                threads, handles = (
                    _range([row[f"{name}_{what}"] for row in inside]) for what in ("threads", "handles")
                )
                lines.append(
                    f"| `{name}` | {times[0]:.1f} to {times[-1]:.1f} | {memory[-1]:.1f} | {slope:+.2f} | {threads} | "
                    f"{handles} | {cpu:.2f} | {inside[-1][did] - inside[0][did]:.0f} {did} |"
                )
    most = max(row["folder_bytes"] for row in rows) / 1e6
    return "\n".join([*lines, "", f"The events' folder held at most {most:.1f} MB of {FOLDER_MB}."])


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"


class _Subjects:
    """Both servers, and everybody who disturbs them."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._folder, self._ended, self.answers = folder, threading.Event(), 0
        self._rtsp: Optional[subprocess.Popen[str]] = None
        rtsp_port = self._start_rtsp("0")
        url = f"rtsp://u:p@127.0.0.1:{rtsp_port}/live" if rtsp_port else str(VIDEO)
        print(f"the RTSP stream is {'a GStreamer server' if rtsp_port else 'a video: no RTSP server here'}")
        self._up_port, self._serve_port = _free_port(), _free_port()
        site = SITE.format(engine=args.engine, port=self._up_port, megabytes=FOLDER_MB, video=VIDEO, areas=AREAS)
        (folder / "site.toml").write_text(site)
        logs = args.log or folder
        logs.mkdir(parents=True, exist_ok=True)
        serve = ["serve", f"--port={self._serve_port}", f"--engine={args.engine}", "--quiet"]
        self._processes = {
            "up": _start(["up", str(folder / "site.toml")], logs / "up.log", {"SOAK_RTSP": url}),
            "serve": _start(serve, logs / "serve.log", {}),
        }
        for port in (self._up_port, self._serve_port):
            _await_port(port)
        jpegs = [cv2.imencode(".jpg", cv2.imread(str(each)))[1].tobytes() for each in image_paths()[: args.callers]]
        work: List[Tuple[Callable[..., None], Tuple[Any, ...]]] = [
            (self._look, ()),
            *((self._call, (jpegs[at % len(jpegs)],)) for at in range(args.callers)),
        ]
        if rtsp_port:
            work.append((self._disturb, (rtsp_port,)))
        self._threads = [threading.Thread(target=each, args=taken) for each, taken in work]
        for thread in self._threads:
            thread.start()

    def sample(self) -> Dict[str, float]:
        """Read both processes' figures. Raises `SystemExit` when one has ended."""
        row: Dict[str, float] = {"answers": self.answers, "crossings": self._count_crossings()}
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise SystemExit(f"{name} has ended with {process.returncode}; see --log")
            folder = Path(f"/proc/{process.pid}")
            row[f"{name}_rss"] = proc.resident(folder)
            row[f"{name}_cpu_s"] = proc.stat(folder).cpu_s
            row[f"{name}_threads"] = len(list((folder / "task").iterdir()))
            row[f"{name}_handles"] = len(list((folder / "fd").iterdir()))
        row["folder_bytes"] = _measure(self._folder / "events")
        return row

    def close(self) -> None:
        """End both as a user would, and wait for them."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for name, process in self._processes.items():
            process.send_signal(signal.SIGTERM)
            print(f"{name} ended with {process.wait(30)} on SIGTERM")
        if self._rtsp:
            self._rtsp.kill()
            self._rtsp.wait()

    def _start_rtsp(self, port: str) -> str:
        if not os.path.exists("/usr/bin/python3"):
            return ""
        words = ["/usr/bin/python3", str(RTSP_SERVER), "u", "p", port, str(VIDEO)]
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        self._rtsp = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
        assert self._rtsp.stdout is not None
        return self._rtsp.stdout.readline().strip()

    def _disturb(self, port: str) -> None:
        while not self._ended.wait(60):
            assert self._rtsp is not None
            self._rtsp.kill()
            self._rtsp.wait()
            self._ended.wait(3)
            self._start_rtsp(port)

    def _look(self) -> None:
        while not self._ended.wait(20):
            end = time.monotonic() + 20
            with socket.create_connection(("127.0.0.1", self._up_port), 10) as video:
                video.sendall(b"GET /api/streams/video/video HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while time.monotonic() < end and not self._ended.is_set():
                    video.recv(1 << 18)
                    for path in ("/api/state", "/api/events?limit=50"):
                        _get(self._up_port, path)
                    self._ended.wait(0.5)

    def _call(self, jpeg: bytes) -> None:
        while not self._ended.wait(1):
            connection = http.client.HTTPConnection("127.0.0.1", self._serve_port, timeout=30)
            connection.request("POST", "/v1/detect", jpeg, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            connection.close()
            self.answers += 1

    def _count_crossings(self) -> int:
        text = _get(self._up_port, "/metrics").decode()
        names = ("edgecsp_line_crossings", "edgecsp_zone_entries")
        return int(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(names)))


def _start(words: Sequence[str], log: Path, env: Dict[str, str]) -> subprocess.Popen[Any]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgecsp", *words], cwd=HERE.parent, stderr=log.open("w"), env={**os.environ, **env}
    )


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"nobody answers at port {port}")


def _measure(folder: Path) -> int:
    """Bytes of a folder on its disk; events that share a clip have hard links to it."""
    sizes = {}
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile, or under its temporary name
            status = path.stat()
            sizes[status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


if __name__ == "__main__":
    main()
