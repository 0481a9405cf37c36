"""One image's line: microseconds of CPU before, in and after the network, for a decoded 1280x720 frame.

    python -m benchmarks.line [--engine NAME] [--threads 2] [--rounds 120] [--before FOLDER] [--json FILE]

The bundled model, and YOLOv3-tiny and YOLO-Fastest when their weights are among the test data. The three steps
alternate, so that each finds the caches as the others leave them; each figure is the median of CPU time, which other
programs disturb less than they do the clock. The CPU time of `infer` is all threads'. Before and after it there is
one thread alone, whose time is taken: an engine's threads spin for a while after they are done, and OpenCV is told to
use one. "of the clock" is what remains when the threads of `infer` share its work evenly and nobody else is there.
The last column is decode + NMS at conf 0.001, on the fullest of 24 images.
`--before FOLDER` measures another checkout of edgecsp in turns with this one, and prints both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import cv2

from edgecsp import pipeline
from edgecsp.bench import stats
from edgecsp.importers import darknet
from edgecsp.options import Thresholds

from . import command_line
from .images import DATA, image_paths

HERE = Path(__file__).resolve().parents[1]
STEPS = ("prepare", "infer", "finish")
VAL_CONF = 0.001


def main() -> None:
    """Parse, measure, print."""
    args = command_line.parser(
        __doc__, engine="auto", threads=2, rounds=(120, "timed calls of each step"),
        turns=(3, "processes of each checkout, with --before"), before=(Path, "the root of another checkout"),
        json=Path, raw=(False, argparse.SUPPRESS),
    ).parse_args()  # fmt: skip
    if args.raw:
        print(json.dumps(dict(_measured(args))))
        return
    roots = {"now": HERE, **({"before": args.before.resolve()} if args.before else {})}
    runs_by_root: Dict[str, List[Dict[str, Any]]] = {name: [] for name in roots}
    for _ in range(args.turns if args.before else 1):
        for name, root in roots.items():
            runs_by_root[name].append(_child(root, args))
    report = {name: _middle(runs) for name, runs in runs_by_root.items()}
    for name in reversed(list(report)):
        _show(name, report[name], args.threads)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))


def _child(root: Path, args: argparse.Namespace) -> Dict[str, Dict[str, float]]:
    """The figures of another root's edgecsp, as the code here measures it, in a process of its own."""
    # Whichever edgecsp is imported first is the one; benchmarks/ is then this checkout's.
    code = f"import edgecsp, sys; sys.path.insert(0, {str(HERE)!r}); from benchmarks.line import main; main()"
    words = ["--raw", "--engine", args.engine, "--threads", str(args.threads), "--rounds", str(args.rounds)]
    env = dict(os.environ, PYTHONPATH=str(root), EDGECSP_TEST_DATA=str(DATA.resolve()))
    done = subprocess.run([sys.executable, "-c", code, *words], env=env, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{root}: {done.stderr.strip()}")
    return {name: _summary(samples) for name, samples in json.loads(done.stdout).items()}


def _models() -> Iterator[Tuple[str, Any]]:
    yield "codes", "codes"
    for name in ("yolov3-tiny", "yolo-fastest-1.1-xl"):
        weights = DATA / "weights" / f"{name}.weights"
        cfg = weights.with_suffix(".cfg")
        cfg = cfg if cfg.is_file() else HERE / "tests" / "data" / cfg.name
        if weights.is_file() and cfg.is_file():
            yield name, darknet.load(cfg, weights).model


def _measured(args: argparse.Namespace) -> Iterator[Tuple[str, Dict[str, Any]]]:
    cv2.setNumThreads(1)
    frames = [cv2.resize(cv2.imread(str(path)), (1280, 720)) for path in image_paths()[:24]]
    for name, model in _models():
        with pipeline.load(model, args.engine, threads=args.threads) as detector:
            yield name, {**_steps(detector, frames[0], args.rounds), "val": _val(detector, frames)}


def _steps(detector: pipeline.Detector, image: Any, rounds: int) -> Dict[str, Any]:
    """CPU microseconds of the three steps, in turns."""
    taken: Dict[str, List[float]] = {step: [] for step in STEPS}

    def timed(step: str, work: Callable[..., Any], *arguments: Any) -> Any:
        clock = time.process_time_ns if step == "infer" else time.thread_time_ns
        begun = clock()
        result = work(*arguments)
        taken[step].append((clock() - begun) / 1e3)
        return result

    for _ in range(rounds + 5):
        batch, geometry = timed("prepare", detector.prepare, image)
        timed("finish", detector.finish, timed("infer", detector.infer, batch), geometry)
    return {step: values[5:] for step, values in taken.items()}


def _val(detector: pipeline.Detector, images: List[Any]) -> List[List[float]]:
    """CPU microseconds of `finish` at the threshold of a validation, of each image."""
    low = pipeline.Detector(detector.model, detector.session, Thresholds(conf=VAL_CONF))
    times = []
    for image in images:
        batch, geometry = detector.prepare(image)
        outputs = detector.infer(batch)
        taken = []
        for _ in range(7):
            begun = time.thread_time_ns()
            low.finish(outputs, geometry)
            taken.append((time.thread_time_ns() - begun) / 1e3)
        times.append(taken)
    return times


def _summary(samples: Dict[str, Any]) -> Dict[str, float]:
    """Median and lowest tenth of each step; for `val` the median of the image that has most to it."""
    median = {step: stats.median(samples[step]) for step in STEPS}
    least = {f"{step}, least": stats.quantiles(samples[step], 0.1)[0] for step in STEPS}
    return {**median, **least, "val": max(map(stats.median, samples["val"]))}


def _middle(runs: List[Dict[str, Any]]) -> Dict[str, Dict[str, float]]:
    return {name: {key: stats.median([run[name][key] for run in runs]) for key in runs[0][name]} for name in runs[0]}


def _show(when: str, figures: Dict[str, Dict[str, float]], threads: int) -> None:
    print(f"{when}: CPU microseconds an image of 1280x720, median (lowest tenth)")
    columns = ("model", *STEPS, "not inference", "of the clock", "at conf 0.001")
    print(f"  {columns[0]:20}" + "".join(f"{name:>17}" for name in columns[1:]))
    for name, row in figures.items():
        cells = [f"{row[step]:.0f} ({row[f'{step}, least']:.0f})" for step in STEPS]
        shares = [(row["prepare" + which] + row["finish" + which]) / row["infer" + which] for which in ("", ", least")]
        cells += [f"{shares[0] * times:.1%} ({shares[1] * times:.1%})" for times in (1, threads)]
        print(f"  {name:20}" + "".join(f"{cell:>17}" for cell in (*cells, f"{row['val']:.0f}")))


if __name__ == "__main__":
    main()
