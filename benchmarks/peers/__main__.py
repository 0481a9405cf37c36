"""edgecsp beside other people's ways from an image to its boxes: `make bench-peers`, or

    python -m benchmarks.peers [--models NAME,NAME] [--rounds 20] [--seconds 0.5] [--json FILE]
    python -m benchmarks.peers --equal [--threads N]      the same precision and threads for all
    python -m benchmarks.peers --model-only [--equal]     the network alone, beside benchmark_app

The same file and the same eight images of 1280x720 for all, score 0.25, NMS 0.45. Each peer is as its users get it:
precision, threads and pinning are what the library takes by itself. With --equal all compute in fp32 where a row says
nothing else, with as many threads, and no process has more CPUs than threads. Each peer is a process of its own, all
are open at once, and rounds go from one to the next. "same" is the share of boxes that edgecsp in fp32 finds, too (same
class, IoU 0.9, score within 0.02). "times" is how many times as long as edgecsp's first row a peer takes: the median of
the rounds' ratios, by the clock and in CPU time. At the end stands each peer's geometric mean over the models.

`codes` is the bundled model; darknet and OpenCV 4 get it as darknet's files (`darknet.writing`), and its images are
frames of codes.mp4. A zoo model without weights gets random ones that find some boxes. A peer that reads no darknet
network gets a YOLOv8n, of the size whose BFLOPs are nearest, which is made to find as many boxes; its row says so.
OpenCV 5 and plain onnxruntime read the ONNX file, and numpy decodes its heads; ncnn's own layer does for ncnn.

Environments: the Makefile's .venv-peers-*, others with --venvs PREFIX; EDGECSP_OPENCV4_PYTHON for OpenCV 4.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

from edgecsp.bench import stats
from edgecsp.system import cpu

from .. import command_line
from . import alone
from .processes import Peer, Process, opened, peers, seconds_each
from .subjects import CONF, HW, IOU, Subject, subjects

BASES = ("edgecsp", "edgecsp openvino")  # the one that is there has time 1.00
JUDGES = ("edgecsp fp32", "edgecsp ort")  # and the boxes that the others are held against
MODELS = "yolov3-tiny,yolov4-tiny,codes,csppeleenet-ref-efm-sam,yolov8n"


def measure(subject: Subject, able: Sequence[Peer], rounds: int, seconds: float) -> List[Dict[str, Any]]:
    """Measure the peers' rows: milliseconds of each call, CPU milliseconds of each round, boxes of each image."""
    rows: List[Dict[str, Any]] = []
    with opened(able, subject) as running:
        for process in running:
            row: Dict[str, Any] = {"model": subject.name, "about": subject.about, "peer": named(process, subject)}
            row["who"] = process.peer.name
            row.update(reads=process.subject.name, reason=process.reason, version=process.version)
            rows.append({**row, "ms": [], "rounds": [], "cpu_ms": [], "boxes": process.boxes})
        for turn in range(rounds + 1):  # the first warms up, and says how many calls a round is
            pairs = [(process, row) for process, row in zip(running, rows) if not process.reason]
            first = turn % max(1, len(pairs))  # who goes before it must not be the same one every time
            for process, row in pairs[first:] + pairs[:first]:
                answer = process.round(3 if not turn else seconds_each(row["calls"], seconds))
                row["calls"] = stats.median(answer["ms"])
                if turn:
                    row["ms"] += answer["ms"]
                    row["rounds"].append(len(answer["ms"]))
                    row["cpu_ms"].append(answer["cpu_ms"])
    return rows


def named(process: Process, subject: Subject) -> str:
    """A row's name: the peer's, and what it reads when that is another model."""
    peer, other = process.peer.name, process.subject
    if other is subject:
        return peer
    return f"{peer}, {other.name} at {sized(other.request['hw'])} ({other.request['bflops']:.2f} BFLOPs)"


def sized(hw: Sequence[int]) -> str:
    """A network's input as a row says it: its side, or width x height."""
    return "x".join(map(str, dict.fromkeys(reversed(hw))))


def figures(rows: List[Dict[str, Any]]) -> None:
    """Put what is said of a row into it: medians, ratios, agreement."""
    by = {row["peer"]: row for row in rows if row["ms"]}
    first = next(iter(by.values()), None)
    base, judge = (next((by[name] for name in names if name in by), None) for names in (BASES, JUDGES))
    base = base or first
    for row in by.values():
        assert base is not None
        summary = stats.summary(row["ms"])
        row.update(median_ms=summary["median_ms"], iqr_ms=summary["iqr_ms"], cpu_median_ms=stats.median(row["cpu_ms"]))
        mine, theirs = (stats.round_medians(stats.split(each["ms"], each["rounds"])) for each in (row, base))
        row["times"] = stats.median(stats.ratios(mine, theirs))
        row["cpu_times"] = stats.median(stats.ratios(row["cpu_ms"], base["cpu_ms"]))
        row["found"] = sum(map(len, row["boxes"]))
        comparable = judge is not None and row["reads"] == judge["reads"]
        row["same"] = agreement(_clipped(row["boxes"]), _clipped(judge["boxes"])) if judge and comparable else None
    for row in rows:
        row.pop("boxes"), row.pop("calls", None)


def agreement(some: Sequence[Sequence[Any]], others: Sequence[Sequence[Any]]) -> float:
    """The share of boxes that both have, from 0 to 1; 1 when neither has any."""
    both = 0
    for mine, theirs in zip(some, others):
        left = list(theirs)
        for box in mine:
            for other in left:
                if box[0] == other[0] and abs(box[1] - other[1]) <= 0.02 and _iou(box[2:], other[2:]) >= 0.9:
                    left.remove(other)
                    both += 1
                    break
    whole = sum(map(len, some)) + sum(map(len, others))
    return 2 * both / whole if whole else 1.0


def _clipped(images: Sequence[Sequence[Any]]) -> List[List[Any]]:
    """Boxes within the image: some leave that to whoever draws them."""
    ends = HW[::-1] * 2
    return [[[*box[:2], *(min(max(v, 0), end) for v, end in zip(box[2:], ends))] for box in boxes] for boxes in images]


def _iou(one: Sequence[float], two: Sequence[float]) -> float:
    w, h = (max(0.0, min(one[i + 2], two[i + 2]) - max(one[i], two[i])) for i in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return w * h / max(sum(areas) - w * h, 1e-9)


def show(rows: Sequence[Dict[str, Any]], about: str) -> None:
    """Print one model's table."""
    print(f"\n{rows[0]['model']}, {about}")
    print(f"  {'':62} {'ms':>8} {'IQR':>7} {'CPU ms':>8} {'times':>6} {'by CPU':>7} {'boxes':>6} {'same':>6}")
    for row in sorted((row for row in rows if row["ms"]), key=lambda row: row["times"]):
        same = "-" if row["same"] is None else f"{row['same']:.0%}"
        name, spread = f"{row['peer']} {row['version']}", row["iqr_ms"] / row["median_ms"]
        print(
            f"  {name:62.62} {row['median_ms']:8.2f} {spread:7.1%} "
            f"{row['cpu_median_ms']:8.2f} {row['times']:6.2f} {row['cpu_times']:7.2f} {row['found']:6} {same:>6}",
            flush=True,
        )
    for row in rows:
        if not row["ms"]:
            print(f"  {row['peer']}: {row['reason']}", flush=True)


def geometric_means(rows: Sequence[Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    """By peer: "times", the geometric mean over the models in whose table it stands, and the "models"."""
    means: Dict[str, Dict[str, Any]] = {}
    for name in dict.fromkeys(row["who"] for row in rows if row["ms"]):
        mine = [row for row in rows if row["who"] == name and row["ms"]]
        times = math.exp(sum(math.log(row["times"]) for row in mine) / len(mine))
        means[name] = {"times": times, "models": [row["model"] for row in mine]}
    return means


def main() -> int:
    """Parse, measure, print."""
    args = command_line.parser(
        __doc__, models=MODELS, equal=(False, "the same precision and threads for all"),
        threads=(cpu.threads(), "of --equal"), rounds=20, seconds=(0.5, "a round of one peer"),
        venvs=(".venv-peers-", "prefix of the peers' environments [default: %(default)s]"),
        model_only=(False, "the network alone"), json=Path,
    ).parse_args()  # fmt: skip
    threads = args.threads if args.equal else None
    setting = f"{threads} threads and fp32 for all" if threads else "everyone at its own defaults"
    print(f"{cpu.name()}, {', '.join(cpu.isa())}, {setting}, {args.rounds} rounds of {args.seconds:g} s")
    able = peers(args.venvs, threads)
    report: Dict[str, Any] = {"schema": "edgecsp-peers/1", "machine": dict(cpu.describe()), "threads": threads}
    with tempfile.TemporaryDirectory() as scratch:
        chosen = list(subjects(args.models.split(","), Path(scratch), able, alone=args.model_only))
        if args.model_only and not threads:
            report["throughput"] = alone.measure_throughput(chosen, able, args.rounds, args.seconds)
        elif args.model_only:
            report["model_only"] = alone.measured(chosen, able, args.threads, args.rounds, args.seconds)
        else:
            report.update(conf=CONF, iou=IOU, rows=[])
            for subject in chosen:
                rows = measure(subject, able, args.rounds, args.seconds)
                figures(rows)
                show(rows, subject.about)
                report["rows"] += rows
            report["means"] = geometric_means(report["rows"])
            print("\ngeometric means of times")
            for name, mean in sorted(report["means"].items(), key=lambda each: each[1]["times"]):
                print(f"  {name:30} {mean['times']:6.2f}  {', '.join(mean['models'])}")
    if args.json:
        args.json.write_text(json.dumps(report))
    return 8 if any(not row["within"] for row in report.get("model_only", ())) else 0


if __name__ == "__main__":
    sys.exit(main())
