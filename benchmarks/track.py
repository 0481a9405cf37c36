"""Tracks beside supervision's ByteTrack on the same boxes, and what tracking costs a run.

    EDGECSP_TRACK_PYTHON=venv/bin/python python -m benchmarks.track [--json FILE]
    python -m benchmarks.track --cost [--rounds 7] [--engine ort] [--objects 50]

Scenes have known truth (`track_scenes`): the demo video, with its true boxes and with those that `codes` detects, at
20, 10 and 5 fps, with dropped frames and a camera that shakes; and 20 objects that cross each other's ways, at 30, 10
and 5 fps, with missing boxes, objects hidden for a second, dropped frames, a camera that shakes. IDF1 and identity
switches are motmetrics', which the other Python has, with supervision up to 0.25. An object that was away for more
than 2 s is another one. Exit code 1 where a bar is missed: IDF1 0.95 with true boxes of the demo video, 0.85 with
those of `codes`, in each of its scenes; one switch in 100 track-seconds of all.

`--cost`: frames per second of `run` with and without tracks, in turns. The network runs on the demo video, and its
boxes are replaced by those of so many objects, so that both have the same work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

import edgecsp
from edgecsp import pipeline
from edgecsp.bench import stats
from edgecsp.media import sources
from edgecsp.track import Tracker, TrackSettings
from edgecsp.types import Detections, Frame, Result

from . import command_line
from .track_scenes import DEMO_FPS, SceneFrame, demo, wander

PEER = Path(__file__).parent / "peers" / "track_supervision.py"
VIDEO = Path(__file__).with_name("codes.mp4")
CONF = 0.25
BARS = {"true boxes": 0.95, "codes' boxes": 0.85}  # IDF1 on the demo video
SWITCHES = 1.0  # in 100 track-seconds, over all scenes
Boxes = Callable[[SceneFrame], Detections]


def true_boxes(frame: SceneFrame) -> Detections:
    """The visible boxes, all of one class and sure."""
    n = len(frame.visible)
    return Detections(frame.xyxy[frame.visible], np.full(n, 0.9, np.float32), np.zeros(n, np.int32), ("object",))


def detected(engine: str) -> Dict[float, Detections]:
    """The boxes of `codes` in each frame of the demo video, by time; also those that may continue a track."""
    with edgecsp.load("codes", engine, precision="fp32") as detector:
        low = Tracker(CONF).low_conf
        return {round(frame.pts_s or 0.0, 3): boxes for frame, boxes in detector.stream(str(VIDEO), conf=low)}


def scenes(engine: str) -> Iterator[Tuple[str, float, Sequence[SceneFrame], Boxes]]:
    """Yield each scene's name, frame rate, frames and detections."""
    by_time = detected(engine)
    for what in BARS:
        for stride, dropped, shake in ((1, 0.0, 0), (2, 0.0, 0), (4, 0.0, 0), (1, 0.3, 0), (1, 0.0, 15)):
            if shake and what != "true boxes":
                continue  # the boxes of codes are those of the video as it is
            case = ", a third of the frames dropped" * bool(dropped) + ", the camera shaken by 15 px" * bool(shake)
            boxes: Boxes = true_boxes if what == "true boxes" else lambda frame: by_time[round(frame.pts_s, 3)]
            yield (
                f"demo, {what}, {DEMO_FPS // stride} fps{case}", DEMO_FPS / stride,
                list(demo(stride, dropped=dropped, shake=shake)), boxes,
            )  # fmt: skip
    for fps in (30, 10, 5):
        for case, how in (
            ("", {}), (", a tenth of the boxes missing", {"unseen": 0.1}), (", each hidden for 1 s", {"hidden_s": 1.0}),
            (", a third of the frames dropped", {"dropped": 0.3}), (", the camera shaken by 15 px", {"shake": 15.0}),
        ):  # fmt: skip
            yield f"20 that cross, {fps} fps{case}", fps, wander(20, fps, seed=7, **how), true_boxes


def track(name: str, fps: float, frames: Sequence[SceneFrame], boxes_of: Boxes) -> Dict[str, Any]:
    """Track a scene; return it as the peer wants it, with the tracks."""
    tracker = Tracker(CONF)
    rows = []
    for frame in frames:
        boxes = boxes_of(frame)
        tracks = tracker.update(boxes, frame.pts_s, frame.hw)
        columns = zip(boxes.xyxy.tolist(), boxes.scores.tolist(), boxes.class_ids.tolist())
        rows.append({
            "truth": [[int(i), *box] for i, box in zip(frame.ids, frame.xyxy.tolist())],
            "boxes": [[*box, score, class_id] for box, score, class_id in columns],
            "tracks": [[int(i), *box] for i, box in zip(tracks.track_ids, tracks.xyxy.tolist())],
        })  # fmt: skip
    return {"name": name, "fps": fps, "frames": rows}


def compare(python: str, engine: str) -> List[Dict[str, Any]]:
    """Score all scenes, ours and the peer's."""
    rows = [track(*scene) for scene in scenes(engine)]
    request = {"scenes": rows, "conf": CONF, "lost_s": TrackSettings().lost_s}
    done = subprocess.run([python, PEER], input=json.dumps(request), stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout)
    print(", ".join(f"{name} {version}" for name, version in answer["versions"].items()))
    return [
        {
            "scene": row["name"], **scores,
            "track_seconds": sum(len(frame["truth"]) for frame in row["frames"]) / row["fps"],
        }
        for row, scores in zip(rows, answer["scores"])
    ]  # fmt: skip


def missed(rows: Sequence[Dict[str, Any]]) -> List[str]:
    """The bars that were missed."""
    problems: List[str] = []
    for what, least in BARS.items():
        problems += [
            f"{row['scene']}: IDF1 {row['ours']['idf1']:.3f}, wanted {least}"
            for row in rows
            if row["scene"].startswith(f"demo, {what},") and row["ours"]["idf1"] < least
        ]
    switches = sum(row["ours"]["num_switches"] for row in rows)
    seconds = sum(row["track_seconds"] for row in rows)
    if switches > SWITCHES * seconds / 100:
        problems.append(f"{switches:.0f} switches in {seconds:.0f} track-seconds, wanted {SWITCHES:g} in 100")
    return problems


def costs(engine: str, objects: int, rounds: int) -> List[Dict[str, float]]:
    """Frames per second and CPU seconds of a run, with and without tracks, of each round."""
    frames = wander(objects, DEMO_FPS, seconds=15, noise=0.03)
    rows: List[Dict[str, float]] = []
    with edgecsp.load("codes", engine, concurrency=os.cpu_count() or 1) as detector:
        inner = detector.detect_frame

        def detect(frame: Frame, settings: Any = None) -> Result:
            inner(frame, settings)
            return true_boxes(frames[frame.index % len(frames)])

        detector.detect_frame = detect  # type: ignore[method-assign]
        for turn in range(rounds + 1):
            row: Dict[str, float] = {}
            for is_tracked in ((False, True), (True, False))[turn % 2]:
                opened = sources.open_all([str(VIDEO)])
                summary = pipeline.RunSummary()
                cpu_s = time.process_time()
                pipeline.run(detector, opened, lambda frame, result: None, summary, track=is_tracked)
                name = "track" if is_tracked else "run"
                row[f"{name}_fps"] = summary.frames / summary.seconds
                row[f"{name}_cpu_ms"] = (time.process_time() - cpu_s) / summary.frames * 1e3
            if turn:  # the first warms up
                rows.append(row)
    return rows


def main(words: Optional[Sequence[str]] = None) -> int:
    """Parse, measure, print."""
    args = command_line.parser(
        __doc__, peer_python=(os.environ.get("EDGECSP_TRACK_PYTHON", ""), "a Python with supervision and motmetrics"),
        engine="ort", cost=False, rounds=(7, "of --cost"), objects=(50, "in each frame of --cost"), json=Path,
    ).parse_args(words)  # fmt: skip
    if args.cost:
        rows: List[Dict[str, Any]] = list(costs(args.engine, args.objects, args.rounds))
        ratios = [row["track_fps"] / row["run_fps"] for row in rows]
        middle = {name: stats.median([row[name] for row in rows]) for name in rows[0]}
        print(", ".join(f"{name} {value:.2f}" for name, value in middle.items()))
        cpu = stats.median([row["run_cpu_ms"] / row["track_cpu_ms"] for row in rows])
        print(f"run --track has {stats.median(ratios):.3f} of run's frames per second at {args.objects} objects")
        print(f"by CPU time a frame, which does not depend on what else runs: {cpu:.3f}")
    elif not args.peer_python:
        print("name a Python with supervision<=0.25 and motmetrics: --peer-python, or EDGECSP_TRACK_PYTHON")
        return 2
    else:
        rows = compare(args.peer_python, args.engine)
        for row in rows:
            pairs = [f"{row[who]['idf1']:.3f} {row[who]['num_switches']:4.0f}" for who in ("ours", "theirs")]
            print(f"{row['scene']:62} {pairs[0]}   {pairs[1]}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    problems = [] if args.cost else missed(rows)
    for problem in problems:
        print(f"missed: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
