"""Time of a video by stage: milliseconds a frame for decode, preprocess, inference, decode+NMS, JSON, draw and encode.

    python -m benchmarks.stages [--model NAME.onnx] [--video FILE] [--threads N] [--rounds 3] [--json FILE]

Every stage runs alone, one after the other, on the same frames, so their sum is what one thread would need; the
last line is what `edgecsp run`'s pipeline takes for the same video, stages overlapped. Rounds alternate; each
figure is the median of all frames of all rounds, with the quartiles beside it.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

from edgecsp import pipeline
from edgecsp.bench import stats
from edgecsp.importers import darknet
from edgecsp.media import sinks, sources

from . import command_line
from .images import DATA, image_paths, video
from .video import time_stages


def main() -> None:
    """Parse, measure, print."""
    args = command_line.parser(
        __doc__, model=(str, "a self-describing ONNX [default: yolo-fastest-1.1-xl of the test data]"),
        video=(Path, "[default: one made of the test data's images]"), engine="auto", threads=int, rounds=3, json=Path,
    ).parse_args()  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        source = args.video or video(Path(scratch) / "in.mp4", image_paths())
        detector = pipeline.load(args.model or _default_model(), args.engine, threads=args.threads)
        samples: Dict[str, List[float]] = {}
        whole: List[float] = []
        for turn in range(args.rounds + 1):  # the first round warms up and is not counted
            with sources.open(str(source)) as opened:
                measured = time_stages(detector, opened, time.perf_counter, Path(scratch) / "stages.mp4")
            overlapped = _whole(detector, source, Path(scratch) / "whole.mp4")
            if turn:
                for stage, seconds in measured.items():
                    samples.setdefault(stage, []).extend(seconds)
                whole.append(overlapped)
        _show(detector, source, samples, whole, args.json)


def _default_model() -> Any:
    weights = DATA / "weights" / "yolo-fastest-1.1-xl.weights"
    if not weights.is_file():
        raise SystemExit(f"no model: {weights} is not there; give --model MODEL.onnx")
    return darknet.load(weights.with_suffix(".cfg"), weights).model


def _whole(detector: pipeline.Detector, path: Path, target: Path) -> float:
    """Seconds a frame of the pipeline as `edgecsp run` drives it."""
    summary = pipeline.RunSummary()
    opened = sources.open_all([str(path)])
    with sinks.open(out=target, sources=opened) as sink:
        pipeline.run(detector, opened, sink.write, summary)
    return summary.seconds / summary.frames


def _show(
    detector: pipeline.Detector, path: Path, samples: Dict[str, List[float]], whole: List[float], target: Any
) -> None:
    rows = {
        stage: stats.quantiles([1e3 * each for each in values], 0.25, 0.5, 0.75) for stage, values in samples.items()
    }
    frames = len(samples["decode"])
    size = "x".join(str(side) for side in detector.model.input.hw)
    print(f"{detector.model.name} {size}, {path.name}, {frames} frames, {platform.machine()}, ms a frame")
    for stage, (low, middle, high) in rows.items():
        print(f"  {stage:12} {middle:8.2f}   [{low:.2f} .. {high:.2f}]")
    total = sum(middle for _, middle, _ in rows.values())
    overlapped = stats.median(whole) * 1e3
    print(f"  {'sum':12} {total:8.2f}   one thread, {1e3 / total:.1f} fps")
    print(f"  {'pipeline':12} {overlapped:8.2f}   as edgecsp run does it, {1e3 / overlapped:.1f} fps")
    if target:
        report = {stage: [v * 1e3 for v in values] for stage, values in samples.items()}
        target.write_text(json.dumps({"model": detector.model.name, "ms": report, "pipeline_ms": overlapped}))


if __name__ == "__main__":
    main()
