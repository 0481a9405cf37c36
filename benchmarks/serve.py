"""The server under load against its own session: images a second, CPU an image, the slowest answers, memory.

    python -m benchmarks.serve --viewers 10 [--streams 4]
    python -m benchmarks.serve [--model NAME] [--engine NAME] [--threads 2] [--callers 32] [--seconds 5] [--rounds 5]

JPEG images of 640x480 go in, JSON comes out. Three things take turns: `alone` (this many threads in one process
decode the JPEG and call a detector opened as the server opens its own), `waits` (one caller, so that nobody waits),
and `load` (that many callers, each asks again as soon as it is answered). Every answer is compared with what the
detector alone says of the image, byte for byte.

The callers are on the same machine and take their share of the same cores, which the server would have in the field.
So the clock's ratio is printed as it is, and beside it the ratio of CPU times an image (the process's own and all its
threads', from the kernel), which does not depend on who else computes: on a machine with nobody else on it the first
would be the second. The slowest hundredth of the answers is held against what the queue makes of it: one caller's
latency, times callers a place in the engine.

`--viewers 10` measures another thing: a video is watched (`codes.mp4`, at its own rate), and one and so many look at
its MJPEG and ask for the page's state once a second; CPU of the server with all of them over that with one.
With `--streams 4` as many videos are watched, whose MJPEGs the viewers share out, without tracks and with them (a line
and a zone each) in turns: CPU seconds of the server a second and a processed frame.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import cv2

from edgecsp import pipeline
from edgecsp.bench import stats
from edgecsp.media.sinks.rows import to_dict
from edgecsp.media.sources.images import decode
from edgecsp.system import cpu
from edgecsp.types import Frame, Stream

from . import command_line, proc
from .images import image_paths

HERE = Path(__file__).resolve().parent
MODEL = {"model": pipeline.BUNDLED_MODEL, "weights": str, "engine": "auto"}  # options of several benchmarks


def main() -> None:
    """Parse, measure, print."""
    numbers = {"threads": cpu.threads(), "callers": 32, "seconds": 5.0, "rounds": 5, "viewers": 0, "streams": 1}
    args = command_line.parser(__doc__, **MODEL, **numbers, json=Path).parse_args()
    report = _load(args) if not args.viewers else _viewers(args) if args.streams == 1 else _streams(args)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


# -- load ----------------------------------------------------------------------------------------------------------


def _load(args: argparse.Namespace) -> Dict[str, Any]:
    taken = [
        cv2.imencode(".jpg", cv2.resize(cv2.imread(str(each)), (640, 480)))[1].tobytes() for each in image_paths()[:16]
    ]
    cv2.setNumThreads(1)  # as the server's own: images go side by side
    detector = pipeline.load(
        args.model, args.engine, weights=args.weights, threads=args.threads, concurrency=min(8, args.threads)
    )
    expected = [_answer(detector, data) for data in taken]
    rows: List[Dict[str, float]] = []
    with Served(args, []) as server:
        for turn in range(args.rounds + 1):  # the first round warms up and is not counted
            row = _alone(detector, taken, args.threads, args.seconds)
            for name, callers in (("waits", 1), ("load", args.callers)):
                cpu_s = server.cpu_s()
                figures = measure_requests(server.port, taken, expected, callers, args.seconds)
                row.update({f"{name}_{key}": value for key, value in figures.items()})
                row[f"{name}_cpu_ms"] = (server.cpu_s() - cpu_s) * 1e3 / max(1, figures["count"])
            row["rss_mib"] = server.rss() / 2**20
            if turn:
                rows.append(row)
    detector.close()
    return _summarize(args, rows)


def _answer(detector: pipeline.Detector, data: bytes) -> bytes:
    image = decode(data, "image").image
    # The name that the server gives an image without one.
    return json.dumps(to_dict(Frame(image, Stream("picture")), detector(image)), allow_nan=False).encode()


def _alone(detector: pipeline.Detector, taken: Sequence[bytes], threads: int, seconds: float) -> Dict[str, float]:
    counts = [0] * threads
    end = time.monotonic() + seconds
    began, used = time.monotonic(), time.process_time()

    def work(mine: int) -> None:
        while time.monotonic() < end:
            detector(decode(taken[(counts[mine] + mine) % len(taken)], "image").image)
            counts[mine] += 1

    workers = [threading.Thread(target=work, args=(at,)) for at in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spent = time.monotonic() - began
    return {"alone_fps": sum(counts) / spent, "alone_cpu_ms": (time.process_time() - used) * 1e3 / sum(counts)}


def _summarize(args: argparse.Namespace, rows: List[Dict[str, float]]) -> Dict[str, Any]:
    def show(name: str, values: Sequence[float], form: str = ".3f") -> float:
        print(f"  {name:48s}{stats.spread(values, form)}")
        return stats.median(values)

    def of(key: str) -> List[float]:
        return [row[key] for row in rows]

    print(
        f"{args.model} on {args.engine}, {args.threads} threads, {args.callers} callers: medians of {len(rows)} rounds"
    )
    share = args.callers / min(8, args.threads)
    report = {
        "alone_fps": show("the session alone, images a second", of("alone_fps"), ".1f"),
        "load_fps": show("the server, images a second", of("load_fps"), ".1f"),
        "clock": show("server over session, by the clock", [r["load_fps"] / r["alone_fps"] for r in rows]),
        "alone_cpu_ms": show("the session alone, CPU ms an image", of("alone_cpu_ms"), ".2f"),
        "load_cpu_ms": show("the server, CPU ms an image", of("load_cpu_ms"), ".2f"),
        "cpu": show("session over server, by CPU an image", [r["alone_cpu_ms"] / r["load_cpu_ms"] for r in rows]),
        "callers_cpu_ms": show("the callers, CPU ms an image", of("load_own_cpu_ms"), ".2f"),
        "waits_ms": show("one caller, median latency, ms", of("waits_p50_ms"), ".1f"),
        "p99_ms": show(f"{args.callers} callers, slowest hundredth, ms", of("load_p99_ms"), ".1f"),
        "p99_share": show(
            "that over one caller's x callers a place", [r["load_p99_ms"] / r["waits_p50_ms"] / share for r in rows]
        ),
        "wrong": sum(of("load_wrong") + of("waits_wrong")),
        "rss_mib": of("rss_mib"),
    }
    print(f"  wrong or refused answers: {report['wrong']:.0f} of {sum(of('load_count') + of('waits_count')):.0f}")
    print(f"  memory after each round, MiB: {', '.join(f'{each:.0f}' for each in of('rss_mib'))}")
    return {**report, "rows": rows}


def measure_requests(
    port: int, taken: Sequence[bytes], expected: Sequence[bytes], callers: int, seconds: float
) -> Dict[str, float]:
    """Let so many callers in one thread each ask again as soon as it is answered: counts, latencies, own CPU."""
    chooser, used = selectors.DefaultSelector(), time.process_time()
    requests = [
        b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        % len(data)
        + data
        for data in taken
    ]
    began = time.monotonic()
    end, number, wrong, latencies = began + seconds, 0, 0, []
    for _ in range(callers):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A whole request: one caller's sending does not keep the others waiting.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        chooser.register(connection, selectors.EVENT_READ, [number, time.monotonic(), b""])
        connection.sendall(requests[number % len(taken)])
        number += 1
    while chooser.get_map():
        for key, _ in chooser.select():
            assert isinstance(key.fileobj, socket.socket)
            connection, state = key.fileobj, key.data
            piece = connection.recv(1 << 16)
            state[2] = state[2] + piece if state[2] else piece
            whole = _whole(state[2]) if piece else (0, b"")
            if whole is None:
                continue
            now = time.monotonic()
            latencies.append(now - state[1])
            wrong += whole != (200, expected[state[0] % len(taken)])
            if now > end or not piece:
                chooser.unregister(connection)
                connection.close()
                continue
            state[:] = [number, now, b""]
            connection.sendall(requests[number % len(taken)])
            number += 1
    spent = time.monotonic() - began
    p50, p99 = (1e3 * value for value in stats.quantiles(latencies, 0.5, 0.99))
    count = len(latencies)
    return {
        "fps": count / spent, "count": count, "wrong": wrong, "p50_ms": p50, "p99_ms": p99,
        "own_cpu_ms": (time.process_time() - used) * 1e3 / count,
    }  # fmt: skip


def _whole(data: bytes) -> Any:
    """Status and body of an answer, None while it is not all there."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    at = head.lower().index(b"content-length:")
    size = int(head[at + 15 :].split(b"\r\n", 1)[0])
    return (int(head.split(b" ", 2)[1]), body) if len(body) >= size else None


# -- viewers -------------------------------------------------------------------------------------------------------


def _viewers(args: argparse.Namespace) -> Dict[str, Any]:
    rows: List[Tuple[float, float, float]] = []
    with Served(args, [str(HERE / "codes.mp4")]) as server:
        time.sleep(2)
        for turn in range(args.rounds + 1):
            row = tuple(_watched(server, count, args.seconds) for count in (0, 1, args.viewers))
            if turn:
                rows.append(row)  # type: ignore[arg-type]
    columns = [stats.median(column) for column in zip(*rows)]
    ratios = [row[2] / row[1] for row in rows]
    print(f"{args.model} on {args.engine}, codes.mp4 at its own rate: CPU of the server, medians of {len(rows)} rounds")
    for name, value in zip(("nobody looks", "one looks", f"{args.viewers} look"), columns):
        print(f"  {name:16s} {value * 100:6.1f} % of a core")
    print(f"  {args.viewers} over 1: {stats.spread(ratios)}")
    return {"rows": rows, "ratio": stats.median(ratios)}


def _streams(args: argparse.Namespace) -> Dict[str, Any]:
    """Watch several videos, with and without tracks, each by a server of its own that runs alone."""
    rows: Dict[str, List[Dict[str, float]]] = {"off": [], "on": []}
    for turn in range(args.rounds):
        for tracks in ("off", "on") if turn % 2 else ("on", "off"):
            with Served(args, [str(HERE / "codes.mp4")] * args.streams, tracks=tracks == "on") as server:
                time.sleep(2)
                row: Dict[str, float] = {}
                for name, count in (("nobody", 0), ("viewers", args.viewers)):
                    before, begun = server.processed(), time.monotonic()
                    row[f"{name}_cpu"] = _watched(server, count, args.seconds, args.streams)
                    row[f"{name}_fps"] = (server.processed() - before) / (time.monotonic() - begun)
                    row[f"{name}_cpu_ms"] = row[f"{name}_cpu"] / row[f"{name}_fps"] * 1e3
                rows[tracks].append(row)
    print(
        f"{args.model} on {args.engine}, {args.streams} times codes.mp4 at its own rate, {args.viewers} viewers: "
        f"medians of {args.rounds} rounds"
    )
    middle = {
        f"tracks_{tracks}": {key: stats.median([row[key] for row in of]) for key in of[0]}
        for tracks, of in rows.items()
    }
    for name, figures in middle.items():
        print(f"  {name:10s} " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    ratios = [on["viewers_cpu_ms"] / off["viewers_cpu_ms"] for on, off in zip(rows["on"], rows["off"])]
    print(f"  CPU a frame with tracks over without, {args.viewers} viewers: {stats.spread(ratios)}")
    return {**middle, "ratio": stats.median(ratios), "rows": rows}


def _watched(server: Served, count: int, seconds: float, streams: int = 1) -> float:
    """CPU seconds a second of the server while so many look."""
    chooser = selectors.DefaultSelector()
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port))
        path = f"/api/streams/cam{number % streams + 1}/video"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        chooser.register(connection, selectors.EVENT_READ)
    began, used, bytes_seen, asked_at = time.monotonic(), server.cpu_s(), 0, time.monotonic()
    while time.monotonic() - began < seconds:
        for key, _ in chooser.select(0.05) if count else ():
            bytes_seen += len(key.fileobj.recv(1 << 18))  # type: ignore[union-attr]
        if not count:
            time.sleep(0.05)
        if count and time.monotonic() - asked_at > 1:
            asked_at += 1
            for _ in range(count):
                with socket.create_connection(("127.0.0.1", server.port)) as connection:
                    connection.sendall(b"GET /api/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    while connection.recv(1 << 16):
                        pass
    spent = (server.cpu_s() - used) / (time.monotonic() - began)
    assert not count or bytes_seen > count * 1000, "they saw nothing"
    for key in list(chooser.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return spent


# -- the server ----------------------------------------------------------------------------------------------------


class Served:
    """`edgecsp serve` in a process of its own; with `tracks` it is `edgecsp up`, with a line and a zone each."""

    def __init__(
        self,
        args: argparse.Namespace,
        sources: Sequence[str],
        *,
        token: str = "",
        log: Any = None,
        tracks: bool = False,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        values = {"model": args.model, "engine": args.engine, "threads": args.threads, "weights": args.weights}
        words = [f"--{name}={value}" for name, value in {**values, "port": self.port}.items() if value is not None]
        self._folder = tempfile.TemporaryDirectory()
        command = ["serve", *sources, *words, "--quiet"]
        if tracks:
            site = Path(self._folder.name, "site.toml")
            site.write_text(_site(self.port, values, sources), "utf-8")
            command = ["up", str(site), "--quiet"]
        env = {**os.environ, **({"EDGECSP_TOKEN": token} if token else {})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgecsp", *command], cwd=HERE.parent, env=env, stderr=log
        )
        end = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU seconds that the process has used. Linux."""
        return proc.stat(Path(f"/proc/{self._process.pid}")).cpu_s

    def processed(self) -> int:
        """Frames that it has processed, of all streams."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/state", timeout=10) as answer:
            return sum(stream["frames"] for stream in json.load(answer)["streams"])

    def rss(self) -> int:
        """Bytes of it in memory."""
        return proc.resident(Path(f"/proc/{self._process.pid}"))

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)
        self._folder.cleanup()


def _site(port: int, values: Dict[str, Any], sources: Sequence[str]) -> str:
    """Write a site file with a line across each video and a zone in its middle."""
    lines = [f'listen = "127.0.0.1:{port}"']
    lines += [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
    for number, source in enumerate(sources, 1):
        lines.append(f'[[streams]]\nname = "cam{number}"\nsource = {json.dumps(source)}')
        lines.append('[[streams.lines]]\nname = "middle"\npoints = [[0, 0.5], [1, 0.5]]')
        lines.append('[[streams.zones]]\nname = "yard"\npoints = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
