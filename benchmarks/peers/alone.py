"""The network alone: `edgecsp bench`'s worker beside benchmark_app, plain onnxruntime and OpenCV 4, alternated.

The first two compute with the libraries that edgecsp's engines are, so they must agree; OpenCV 4 is the paper's engine.
At its own defaults benchmark_app computes several images at a time, so `measure_throughput` compares images a second.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

import edgecsp
from edgecsp import importers
from edgecsp.bench import stats
from edgecsp.bench.cases import Case
from edgecsp.bench.process import Process as Worker
from edgecsp.system import cpu

from .processes import HERE, Peer, end, seconds_each, start
from .subjects import Subject

WITHIN = 0.05  # of the other's median
WARM_S = 5.0
# edgecsp's engine, what it is beside, whose interpreter that needs, and whether they must agree.
PAIRS = (
    ("openvino", "benchmark_app", "OpenVINO Model API", True),
    ("ort", "plain onnxruntime", "plain onnxruntime", True),
    ("openvino", "OpenCV 4", "OpenCV 4 DetectionModel", False),
)
SCRIPTS = {"plain onnxruntime": "alone_onnxruntime.py", "OpenCV 4": "alone_opencv4.py"}


def measured(
    chosen: Sequence[Subject], able: Sequence[Peer], threads: int, rounds: int, seconds: float
) -> List[Dict[str, Any]]:
    """A row for each model and pair: both sides' round medians, and the median of their ratios."""
    rows = []
    for subject in chosen:
        for engine, other, whose, must in PAIRS:
            python = _python(able, whose)
            if not python:
                continue
            path = subject.request["files"]["onnx"]
            ours, theirs = [], []
            with ExitStack() as stack:
                mine = stack.enter_context(closing(Worker(_request(path, engine, threads), f"edgecsp on {engine}")))
                turn = _benchmark_app
                if other in SCRIPTS:
                    turn = stack.enter_context(_Plain(SCRIPTS[other])).turn
                for _ in range(rounds):
                    ours.append(stats.median(mine.round(seconds, 600.0)["ms"]))
                    theirs.append(turn(python, subject.request, threads, seconds))
            ratio = stats.median(stats.ratios(ours, theirs))
            rows.append(
                {
                    "model": subject.name, "engine": engine, "other": other, "ours_ms": ours, "theirs_ms": theirs,
                    "ratio": ratio, "within": not must or abs(ratio - 1) <= WITHIN,
                }
            )  # fmt: skip
            off = "" if rows[-1]["within"] else "MORE THAN 5 % OFF"
            print(
                f"{subject.name:14} edgecsp {engine:10} {stats.median(ours):8.2f} ms   {other:18} "
                f"{stats.median(theirs):8.2f} ms   ratio {ratio:.3f}  {off}",
                flush=True,
            )
    return rows


def measure_throughput(
    chosen: Sequence[Subject], able: Sequence[Peer], rounds: int, seconds: float
) -> List[Dict[str, Any]]:
    """A row a model: images a second of edgecsp as it chooses itself and of benchmark_app without options, by rounds.

    edgecsp computes as many images side by side as the machine has CPUs, as `edgecsp run` on a video does.
    """
    rows: List[Dict[str, Any]] = []
    python = _python(able, "OpenVINO Model API")
    for subject in chosen if python else ():
        path = subject.request["files"]["onnx"]
        ours, theirs = [], []
        with closing(_Throughput(path)) as mine:
            for _ in range(rounds):
                ours.append(mine.round(seconds))
                out = _run_benchmark_app(python, ["-m", path, "-d", "CPU", "-t", str(max(1, round(seconds)))])
                theirs.append(_figure(out, r"Throughput:\s*([\d.]+) FPS"))
        ratio = stats.median(stats.ratios(ours, theirs))
        rows.append(
            {"model": subject.name, "choice": mine.choice, "ours_fps": ours, "theirs_fps": theirs, "ratio": ratio}
        )
        print(
            f"{subject.name:26} edgecsp, {mine.choice:24} {stats.median(ours):8.1f} images/s   benchmark_app "
            f"{stats.median(theirs):8.1f} images/s   ratio {ratio:.3f}",
            flush=True,
        )
    return rows


class _Throughput:
    """The network of a detector at its defaults, several images at a time, in this process."""

    def __init__(self, path: str) -> None:
        self._count = cpu.threads()
        self._detector = edgecsp.load(path, concurrency=self._count)
        self.choice = self._detector.session.info.name
        session, spec = self._detector.session, self._detector.model.input
        dtype = np.uint8 if session.accepts_uint8 else np.float32
        shape = (1, *spec.hw, 3) if session.accepts_uint8 else (1, 3, *spec.hw)
        self._batch, self._session = np.zeros(shape, dtype), session
        self._pool = ThreadPoolExecutor(self._count)
        self.round(WARM_S)

    def round(self, seconds: float) -> float:
        """Images a second."""
        begun = time.perf_counter()
        counts = list(self._pool.map(lambda _: self._work(begun + seconds), range(self._count)))
        return sum(counts) / (time.perf_counter() - begun)

    def _work(self, end_s: float) -> int:
        count = 0
        while time.perf_counter() < end_s:
            self._session.run(self._batch)
            count += 1
        return count

    def close(self) -> None:
        """Free the session."""
        self._pool.shutdown()
        self._detector.close()


def _python(able: Sequence[Peer], name: str) -> str:
    peer = next(each for each in able if each.name == name)
    if peer.lacks:
        print(f"{name}: {peer.lacks}; left out")
    return "" if peer.lacks else peer.python


def _request(path: str, engine: str, threads: int) -> Dict[str, Any]:
    """The request that `edgecsp bench` sends to its worker."""
    case = Case(importers.load(path), engine, "cpu", "fp32", threads)
    task = {"mode": "model", "same_picture": False, "batch": 1, "calls": 1, "warm_s": WARM_S}
    return {**case.to_request(Path(path), accepts_uint8=False), **task}


class _Plain:
    """A library's own call in a process of its own, opened once."""

    def __init__(self, script: str) -> None:
        self._child: Any = None
        self._script, self._ms = script, 0.0

    def turn(self, python: str, request: Dict[str, Any], threads: int, seconds: float) -> float:
        """The median of a round."""
        if self._child is None:
            arguments = [request["files"]["onnx"], str(threads), *map(str, request["hw"])]
            self._child = start([python, str(HERE / self._script), *arguments], subprocess.DEVNULL)
            self._ms = self._calls(20)
        self._ms = self._calls(seconds_each(self._ms, seconds))
        return self._ms

    def _calls(self, calls: int) -> float:
        self._child.stdin.write(f"{calls}\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"{self._script} ended with code {self._child.wait()}")
        return float(line)

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child:
            end(self._child)


def _benchmark_app(python: str, request: Dict[str, Any], threads: int, seconds: float) -> float:
    """What benchmark_app reports as its median latency, in ms; fp32 and unpinned, as edgecsp's session is."""
    options = [
        "-m", request["files"]["onnx"], "-d", "CPU", "-api", "sync",
        "-hint", "none", "-nthreads", str(threads), "-nstreams", "1", "-infer_precision", "f32", "-pin", "NO",
        "-t", str(max(1, round(seconds))),
    ]  # fmt: skip
    return _figure(_run_benchmark_app(python, options), r"Median:\s*([\d.]+) ms")


def _run_benchmark_app(python: str, options: Sequence[str]) -> str:
    """Return what benchmark_app prints."""
    command = [str(Path(python).with_name("benchmark_app")), *options]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmark_app ended with code {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
    return done.stdout


def _figure(text: str, pattern: str) -> float:
    match = re.search(pattern, text)
    if not match:
        raise SystemExit(f"benchmark_app printed no {pattern}: {text.strip()[-300:]}")
    return float(match.group(1))
