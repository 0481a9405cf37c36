"""Frames a second of every engine and precision, beside OpenCV 4's DNN with the same network.

    python -m benchmarks.engines [--models yolov3-tiny,...] [--threads N] [--rounds 5] [--json FILE]

The paper's CPU engine is OpenCV's DNN: EDGECSP_OPENCV4_PYTHON names an interpreter with OpenCV 4 and numpy. Each engine
is a process of its own, all are open at once, and rounds go from one to the next, so that what disturbs the machine
disturbs all. ms is the median of all calls of all rounds, inference alone; the CPU column is what the process itself
computed a call, all threads together, which other programs on the machine hardly change.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import numpy as np

from edgecsp import backends, cpu, darknet, onnx_model, precision, preprocess, sources, store, zoo
from edgecsp.core import Array, Model

from .opencv4_engine import serve
from .pictures import DATA, pictures

MODELS = ("yolov3-tiny", "yolov3-tiny-prn", "yolo-fastest-1.1-xl")
BASE = "opencv 4"
TARGETS = {"fp32": 2.0, "int8": 4.0}  # times OpenCV 4, the geometric mean of the models
REPO = Path(__file__).resolve().parents[1]


@dataclass
class Timed:
    """One engine and precision with one model; `ms` of every call, `cpu_ms` of every round."""

    model: str
    engine: str
    precision: str
    ms: List[float] = field(default_factory=list)
    cpu_ms: List[float] = field(default_factory=list)

    @property
    def middle(self) -> float:
        """Median milliseconds a call."""
        return float(np.median(self.ms))


def network(name: str) -> Optional[Tuple[Model, str]]:
    """A model and what its weights are; None where there are neither weights nor an entry in the zoo."""
    weights, cfg = DATA / "weights" / f"{name}.weights", DATA / "weights" / f"{name}.cfg"
    cfg = cfg if cfg.is_file() else REPO / "tests" / "data" / f"{name}.cfg"
    if weights.is_file() and cfg.is_file():
        return darknet.load(cfg, weights).model, "real weights"
    return (store.random(name), "random weights") if name in zoo.names() else None


def in_int8(model: Model) -> Model:
    """The model in int8, its ranges from the test data's pictures, mirrored and cut until there are enough."""

    def batches() -> Iterator[Array]:
        for turn, path in enumerate(islice(cycle(pictures()), precision.LEAST)):
            for image in (frame.image for frame in sources.open(str(path))):
                cut = image[turn % 7 :, turn % 5 :, :] if turn % 2 else image[:, ::-1]
                yield preprocess.prepare(np.ascontiguousarray(cut), model.input)[0]

    return precision.quantized(model, batches(), threads=cpu.threads())


def ways(files: Dict[str, Path], threads: int, hw: Tuple[int, int]) -> Iterator[Tuple[str, str, List[str]]]:
    """Engine, precision and the command of its process, OpenCV 4 first."""
    python = os.environ.get("EDGECSP_OPENCV4_PYTHON")
    if python:
        script = str(Path(__file__).with_name("opencv4_engine.py"))
        yield BASE, "fp32", [python, script, str(files["fp32"]), str(threads), *map(str, hw)]
    for name in filter(backends.is_real, backends.names()):
        module = backends.module(name)
        for device in module.DEVICES:
            if backends.why_not(name, device):
                continue
            for kind in module.PRECISIONS:
                if kind == "fp16" and device == "cpu":
                    continue  # fp32 with roundings in between
                path = files["int8" if kind == "int8" else "fp32"]
                child = [sys.executable, "-m", "benchmarks.engines", "--child", name, device, kind, str(path)]
                shown = name if device == module.DEVICES[0] else f"{name} {device}"
                yield shown, kind, [*child, "--threads", str(threads)]


def child(engine: str, device: str, kind: str, path: str, threads: int) -> None:
    """Open a session in this process, then answer."""
    model = onnx_model.load(path)
    session = backends.open(model, engine, device=device, threads=threads, precision=kind)
    batch = np.random.default_rng(0).random((1, model.input.channels, *model.input.hw), np.float32)
    serve(lambda: session.run(batch))


def measure(name: str, model: Model, threads: int, rounds: int, calls: int) -> List[Timed]:
    """Every way of running one model, rounds alternated."""
    found: List[Timed] = []
    running: List[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        files = {"fp32": Path(scratch) / "fp32.onnx", "int8": Path(scratch) / "int8.onnx"}
        onnx_model.save(model, files["fp32"])
        onnx_model.save(in_int8(model), files["int8"])
        try:
            for engine, kind, command in ways(files, threads, model.input.hw):
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO, env=os.environ
                )
                running.append(process)
                found.append(Timed(name, engine, kind))
                answer(process, f"{engine} {kind}")
            for _ in range(rounds):
                for process, timed in zip(running, found):
                    assert process.stdin is not None
                    process.stdin.write(f"{calls}\n")
                    process.stdin.flush()
                    said = answer(process, f"{timed.engine} {timed.precision}")
                    timed.ms += said["ms"]
                    timed.cpu_ms.append(said["cpu_ms"])
        finally:
            for process in running:
                process.kill()
                process.wait()
    return found


def answer(process: subprocess.Popen[str], shown: str) -> Dict[str, List[float]]:
    """The next line of a process; it may say other things before it."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            said: Dict[str, List[float]] = json.loads(line)
            return said
    raise SystemExit(f"{shown} ended without an answer, with code {process.wait()}")


def show(found: List[Timed], about: str) -> None:
    """One model's table."""
    base = next((timed for timed in found if timed.engine == BASE), None)
    print(f"\n{found[0].model}, {about}")
    print(
        f"  {'engine':14} {'':5} {'fps':>8} {'ms':>8} {'quartiles':>17} {'CPU ms':>8} {'x OpenCV 4':>11} {'by CPU':>7}"
    )
    for timed in sorted(found, key=lambda each: each.middle):
        low, high = np.percentile(timed.ms, (25, 75))
        times = ("-", "-") if base is None else (f"{ratio(timed, base):.2f}", f"{ratio(timed, base, by_cpu=True):.2f}")
        print(
            f"  {timed.engine:14} {timed.precision:5} {1e3 / timed.middle:8.1f} {timed.middle:8.2f} "
            f"{f'{low:.2f} .. {high:.2f}':>17} {np.median(timed.cpu_ms):8.2f} {times[0]:>11} {times[1]:>7}",
            flush=True,
        )


def ratio(timed: Timed, base: Timed, by_cpu: bool = False) -> float:
    """How many times as fast as the base."""
    if by_cpu:
        return float(np.median(base.cpu_ms) / np.median(timed.cpu_ms))
    return base.middle / timed.middle


def summary(tables: List[List[Timed]]) -> None:
    """The best engine of each precision, over the models, against the targets."""
    for kind, target in TARGETS.items():
        for label, by_cpu in (("by the clock", False), ("by CPU time", True)):
            best = []
            for found in tables:
                base = next((timed for timed in found if timed.engine == BASE), None)
                if base is None:
                    print("no ratios: EDGECSP_OPENCV4_PYTHON names no interpreter with OpenCV 4")
                    return
                able = [timed for timed in found if timed.precision == kind and timed is not base]
                best.append(max((ratio(timed, base, by_cpu) for timed in able), default=math.nan))
            mean = math.exp(sum(map(math.log, best)) / len(best))
            print(f"best {kind} {label}: {mean:.2f} times OpenCV 4 (geometric mean of {len(best)}; target {target:g})")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=cpu.threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20, help="calls a round")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child, threads=args.threads)
        return
    print(f"{cpu.name()}, {', '.join(cpu.isa())}, {args.threads} threads, {args.rounds} rounds of {args.calls}")
    tables = []
    for name in args.models.split(","):
        made = network(name)
        if made is None:
            print(f"\n{name}: no weights at {DATA / 'weights'}, left out")
            continue
        tables.append(measure(name, made[0], args.threads, args.rounds, args.calls))
        show(tables[-1], f"{made[0].input.hw[1]}x{made[0].input.hw[0]}, {made[1]}")
    print()
    summary(tables)
    if args.json:
        said = {"cpu": cpu.name(), "isa": cpu.isa(), "threads": args.threads}
        args.json.write_text(json.dumps({**said, "rows": [asdict(timed) for each in tables for timed in each]}))


if __name__ == "__main__":
    main()
