"""Utilisation by `edgecsp run` on a video: how near it comes to keeping every core busy with the work itself.

    python -m benchmarks.video [--model NAME] [--engine NAME] [--video FILE] [--out] [--rounds 5]

First, what a frame costs: CPU milliseconds of each stage, alone on one thread. Then, in turns: `run` with its threads,
and the straight line in as many processes at once as there are cores, one thread each, which never wait for each other
and so keep all cores busy. Both compete alike with whatever else the machine does, so their ratio holds on a busy
machine too; the frames per second do not. `--out` draws and encodes as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from edgecsp import pipeline
from edgecsp.bench import stats
from edgecsp.media import draw, scheduler, sinks, sources
from edgecsp.media.sinks.mp4 import Mp4
from edgecsp.media.sinks.rows import to_dict
from edgecsp.system import cpu

from . import command_line
from .images import image_paths, video
from .serve import MODEL

Line = Dict[str, float]


def main() -> None:
    """Parse, measure, print."""
    args = command_line.parser(
        __doc__, **MODEL, video=(Path, "[default: 720p H.264 made of the test data's images]"),
        out=(False, "draw and encode, too"), rounds=5, alone=(False, argparse.SUPPRESS),
    ).parse_args()  # fmt: skip
    if args.alone:
        _serve(args)
        return
    with tempfile.TemporaryDirectory() as scratch:
        args.video = args.video or video(Path(scratch) / "in.mp4", image_paths(), hw=(720, 1280), fps=30, hold=15)
        stages = [line(args, Path(scratch)) for _ in range(2)][-1]
        crowd = _Crowd(args)
        rounds = []
        for turn in range(args.rounds + 1):  # the first round warms up and is not counted
            measured = (*overlapped(args, [args.video], Path(scratch))[:2], crowd.fps())
            rounds += [measured] * (turn > 0)
        crowd.close()
    _show(args, stages, rounds)


def line(args: argparse.Namespace, scratch: Path) -> Line:
    """CPU seconds a frame of each stage, one after the other, every library on one thread."""
    with _detector(args, threads=1) as detector, sources.open(str(args.video)) as source:
        detector(np.zeros((720, 1280, 3), np.uint8))
        source.threads = 1
        taken = time_stages(detector, source, time.process_time, scratch / "line.mp4" if args.out else None)
    return {stage: sum(seconds) / len(taken["decode"]) for stage, seconds in taken.items()}


def time_stages(
    detector: pipeline.Detector, source: sources.Source, clock: Callable[[], float], target: Optional[Path]
) -> Dict[str, List[float]]:
    """Seconds of each stage for each frame, one after the other; with a target frames are drawn and encoded."""
    taken: Dict[str, List[float]] = {}

    def timed(stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        begun = clock()
        result = work(*arguments)
        taken.setdefault(stage, []).append(clock() - begun)
        return result

    frames, writer = iter(source), None
    while True:
        frame = timed("decode", next, frames, None)
        if frame is None:
            taken["decode"].pop()
            break
        batch, geometry = timed("preprocess", detector.prepare, frame.image)
        outputs = timed("inference", detector.infer, batch)
        result = timed("decode+NMS", detector.finish, outputs, geometry)
        timed("json", _json, frame, result)
        if target:
            writer = writer or Mp4(target, frame.hw, frame.stream.fps)
            canvas = timed("draw", _annotate, writer, frame, result)
            timed("encode", writer.write, canvas, frame.pts_s)
    if writer:
        timed("encode", writer.close)
    return taken


def _json(frame: Any, result: Any) -> str:
    return json.dumps(to_dict(frame, result)) + "\n"


def _annotate(writer: Mp4, frame: Any, result: Any) -> Any:
    return draw.annotate(writer.canvas(frame.image), result, copy=False)


def overlapped(args: argparse.Namespace, paths: List[Path], scratch: Path) -> Tuple[float, float, List[Any]]:
    """`run` on some videos -> frames per second, CPU seconds a frame, and the source of each frame as written."""
    opened = sources.open_all([str(path) for path in paths])
    summary, order = pipeline.RunSummary(), []
    with _detector(args, concurrency=scheduler.choose_concurrency(opened)) as detector:
        detector(np.zeros((720, 1280, 3), np.uint8))
        out = scratch / "run" if args.out else None
        with sinks.open(out=out, json=scratch / "run.jsonl", sources=opened) as sink:

            def write(frame: Any, result: Any) -> None:
                order.append(id(frame.stream))
                sink.write(frame, result)

            spent = time.process_time()
            begun = time.monotonic()
            pipeline.run(detector, opened, write, summary, ended=sink.end_stream)
        seconds = time.monotonic() - begun
    return summary.frames / seconds, (time.process_time() - spent) / summary.frames, order


def _detector(args: argparse.Namespace, **more: Any) -> pipeline.Detector:
    return pipeline.load(args.model, args.engine, weights=args.weights, **more)


class _Crowd:
    """The straight line in as many processes as there are cores."""

    def __init__(self, args: argparse.Namespace) -> None:
        words = ["--model", args.model, "--engine", args.engine, "--video", str(args.video), *["--out"] * args.out]
        words += ["--weights", args.weights] * bool(args.weights)
        command = [sys.executable, "-m", "benchmarks.video", "--alone", *words]
        self._all = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(cpu.threads())
        ]

    def fps(self) -> float:
        """Frames per second of all of them together; of each, from its own start to its end."""
        for process in self._all:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return sum(float(process.stdout.readline()) for process in self._all if process.stdout is not None)

    def close(self) -> None:
        for process in self._all:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _serve(args: argparse.Namespace) -> None:
    """Wait for a line, run the straight line once, print its frames per second; again, until there are no more."""
    import cv2

    cv2.setNumThreads(1)
    with _detector(args, threads=1) as detector, tempfile.TemporaryDirectory() as scratch:
        for _ in sys.stdin:
            frames, writer, begun = 0, None, time.monotonic()
            with sources.open(str(args.video)) as source, open(Path(scratch) / "x.jsonl", "w") as rows:
                source.threads = 1
                for frame in source:
                    result = detector(frame.image)
                    rows.write(_json(frame, result))
                    if args.out:
                        writer = writer or Mp4(Path(scratch) / "x.mp4", frame.hw, frame.stream.fps)
                        writer.write(_annotate(writer, frame, result), frame.pts_s)
                    frames += 1
            if writer:
                writer.close()
            print(frames / (time.monotonic() - begun), flush=True)


def _show(args: argparse.Namespace, stages: Line, rounds: List[Tuple[float, float, float]]) -> None:
    cores, total = cpu.threads(), sum(stages.values())
    print(f"{args.model} on {args.engine}, {args.video.name}, {cores} cores; CPU ms a frame, one thread")
    for stage, seconds in stages.items():
        print(f"  {stage:12} {seconds * 1e3:8.2f}")
    print(f"  {'sum':12} {total * 1e3:8.2f}   allows {cores / total:.1f} fps on {cores} idle cores")
    run, spent, crowd = (stats.median(column) for column in zip(*rounds))
    ratios = [row[0] / row[2] for row in rounds]
    print(f"  {'run':12} {spent * 1e3:8.2f}   {run:.1f} fps here and now, {run * spent / cores:.0%} of the cores' time")
    print(f"  {'lines':12} {'':8}   {crowd:.1f} fps here and now, {cores} processes")
    print(f"  run / lines      {stats.spread(ratios, '.2f')} of {len(rounds)} rounds")


if __name__ == "__main__":
    main()
