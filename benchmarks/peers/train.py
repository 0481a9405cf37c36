"""`edgecsp train` beside ultralytics' YOLO11n: `make bench-train`, or

    python -m benchmarks.peers.train [--data bccd] [--minutes 30] [--model cspdensenetb-ref-prn] [--json FILE]

Both learn from nothing on the same images at the same size, seed and threads, one after the other, each for --minutes:
a short timing of each says how many epochs that is. Each keeps the epoch that is best on the validation images, which
`edgecsp val` then judges, both on onnxruntime; YOLO11n is exported to ONNX for that. Of two NMS thresholds (0.45, ours,
and 0.7, theirs) the one counts that gives the higher AP. "own" is what each counts itself, at the end of its training.

images/s is of the steps alone, by the clock. Images a CPU second, minutes and CPU minutes are of all that it takes:
reading images, steps, validation, the export and, for edgecsp, its comparison on every engine; other programs on the
machine matter less to CPU time. ultralytics runs with its own settings but for: threads (by itself it takes one less
than the machine has), images kept in memory, no plots, no telemetry, no network. On a CPU it computes in float32 and
reads images in the training process; --amp bf16 lets it compute in bfloat16.

DATA is a folder of EDGECSP_TEST_DATA's data/ (bccd, voc2012_subset) or any data with splits train and val that
`edgecsp val` reads. ultralytics is AGPL-3.0 and stays in the environment that the Makefile makes for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

import edgecsp
from edgecsp.bench import accuracy
from edgecsp.errors import EdgecspError, UsageError
from edgecsp.system import cpu

from .. import command_line
from ..images import DATA
from .processes import HERE, start
from .training_data import lay

OURS, THEIRS = "edgecsp", "ultralytics"
SCRIPTS = {OURS: "train_edgecsp.py", THEIRS: "train_ultralytics.py"}
IOUS = (0.45, 0.7)  # NMS thresholds: what edgecsp's models carry, and what ultralytics' validation takes
PROBE_BATCHES = 12
VALIDATIONS = 25  # edgecsp's, a run; ultralytics validates after every epoch


def find_data(name: str) -> Path:
    """A data set by its name in the test data, else as a path. Raises `UsageError`."""
    known = DATA / "data" / name
    path = known if (known / "data.yaml").is_file() else Path(name)
    if not path.exists():
        raise UsageError(f"there is no data {name}: neither {known} nor {path.absolute()}")
    return path.resolve()


def epochs_for(seconds: float, images: int, val_images: int, images_per_s: float, every_epoch: bool) -> int:
    """Number of epochs that fit into `seconds`, one at least, by the speed of a probe.

    A validation image counts as a third of one to learn from: it is not learned from backwards. The probe's own
    validation says nothing: a network that knows nothing yet sees a thousand boxes in each image. `every_epoch`:
    whether each epoch has a validation.
    """
    epoch_s, validation_s = images / images_per_s, val_images / images_per_s / 3
    epochs = 1
    while True:
        more = epochs + 1
        validations = more if every_epoch else more // max(1, more // VALIDATIONS) + 1
        if more * epoch_s + validations * validation_s > seconds:
            return epochs
        epochs = more


def run_worker(who: str, python: str, request: Dict[str, Any], log: Path) -> Dict[str, Any]:
    """Train in a process of its own. Its answer, with the CPU seconds that it and its children used."""
    spent = _children_s()
    with log.open("wb") as output:
        child = start([python, str(HERE / SCRIPTS[who]), json.dumps(request)], output)
        out, _ = child.communicate()
        output.write(out.encode())
    answers = [line for line in out.splitlines() if line.startswith('{"')]
    if child.returncode or not answers:
        last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        raise SystemExit(f"{who} ended with code {child.returncode}: {''.join(last) or 'it output nothing'} ({log})")
    answer: Dict[str, Any] = json.loads(answers[-1])
    return {**answer, "cpu_s": _children_s() - spent}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def judge(onnx: str, data: accuracy.Data) -> Dict[str, float]:
    """AP and AP50 as `edgecsp val` counts them, at the NMS threshold that gives the higher AP."""
    scored = []
    for iou in IOUS:
        with edgecsp.load(onnx, "ort", iou=iou) as detector:
            averages = accuracy.score(accuracy.predict(detector, data)).averages
        scored.append({"AP": averages["AP"] or 0.0, "AP50": averages["AP50"] or 0.0, "nms_iou": iou})
    return max(scored, key=lambda each: each["AP"])


def compare(
    args: argparse.Namespace, pythons: Dict[str, str], folder: Path, data: Path, images: int, val: accuracy.Data
) -> List[Dict[str, Any]]:
    """A row a seed and side, ultralytics first."""
    rows: List[Dict[str, Any]] = []
    common = {
        "threads": args.threads, "workers": args.workers, "imgsz": args.imgsz, "batch": args.batch,
        "model": args.model, "amp": args.amp, "progressive": args.progressive,
    }  # fmt: skip
    probe_images = min(images, PROBE_BATCHES * args.batch)
    for who in (THEIRS, OURS):
        where = {"data": str(data.with_name("probe.yaml")), "folder": str(folder / f"{who}-probe")}
        probe = run_worker(who, pythons[who], {**common, **where, "epochs": 1, "seed": 0}, folder / f"{who}-probe.log")
        speed = probe["images_per_s"]
        epochs = epochs_for(args.minutes * 60, images, len(val.images), speed, every_epoch=who == THEIRS)
        _say(f"{who}: {speed:.1f} images/s over {probe_images} images, so {epochs} epoch(s)")
        for seed in range(args.seeds):
            place = folder / f"{who}-{seed}"
            request = {**common, "data": str(data), "folder": str(place), "epochs": epochs, "seed": seed}
            answer = run_worker(who, pythons[who], request, folder / f"{who}-{seed}.log")
            row = {"who": who, "seed": seed, "epochs": epochs, **answer, **judge(answer["onnx"], val)}
            row["images_per_cpu_s"] = epochs * images / row["cpu_s"]
            _say(f"{who}, seed {seed}: {row['minutes']:.1f} minutes, AP50 {row['AP50']:.3f}")
            rows.append(row)
    return rows


def totals(rows: Sequence[Dict[str, Any]]) -> Dict[str, Dict[str, float]]:
    """Means of each side over its seeds."""
    keys = ("images_per_s", "images_per_cpu_s", "epochs", "minutes", "cpu_s", "AP", "AP50", "own_AP", "own_AP50")
    by_name = {}
    for who in dict.fromkeys(row["who"] for row in rows):
        mine = [row for row in rows if row["who"] == who]
        by_name[who] = {key: float(np.mean([row[key] for row in mine])) for key in keys}
    return by_name


def ratio(sides: Dict[str, Dict[str, float]]) -> Dict[str, float]:
    """Ours against theirs: how many times the images a second, and what the APs differ by."""
    ours, theirs = sides[OURS], sides[THEIRS]
    times = {key: ours[key] / theirs[key] for key in ("images_per_s", "images_per_cpu_s")}
    return {**times, **{key: ours[key] - theirs[key] for key in ("AP", "AP50")}}


def show(rows: Sequence[Dict[str, Any]], minutes: float) -> None:
    """The table."""
    print(
        f"\n  {'':44} {'images/s':>8} {'/CPU s':>7} {'epochs':>6} {'minutes':>7} {'CPU min':>7} "
        f"{'AP':>6} {'AP50':>6} {'own AP':>7} {'own AP50':>8}"
    )
    sides = totals(rows)
    for who, side in sides.items():
        name = next(row["name"] for row in rows if row["who"] == who)
        print(
            f"  {name:44.44} {side['images_per_s']:8.1f} {side['images_per_cpu_s']:7.2f} {side['epochs']:6.0f} "
            f"{side['minutes']:7.1f} {side['cpu_s'] / 60:7.1f} {side['AP']:6.3f} {side['AP50']:6.3f} "
            f"{side['own_AP']:7.3f} {side['own_AP50']:8.3f}"
        )
        if side["minutes"] > 1.1 * minutes:
            print(f"  {who} took more than {minutes:g} minutes: an epoch does not fit, or the machine slowed down")
    by = ratio(sides)
    print(
        f"edgecsp trains {by['images_per_s']:.2f} times as many images a second, {by['images_per_cpu_s']:.2f} times as "
        f"many a CPU second; AP {by['AP']:+.3f}, AP50 {by['AP50']:+.3f}"
    )


def report(args: argparse.Namespace, train_images: int, val_images: int, rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    """The report of --json: figures and settings, no path of this machine."""
    sides, data = totals(rows), Path(args.data)
    settings = {key: value for key, value in vars(args).items() if key not in ("venvs", "keep", "json")}
    return {
        "schema": "edgecsp-peers-train/1",
        "machine": dict(cpu.describe()),
        "settings": {**settings, "data": data.parent.name if data.suffix else data.name},
        "train_images": train_images,
        "val_images": val_images,
        "rows": [{key: value for key, value in row.items() if key != "onnx"} for row in rows],
        "means": sides,
        "ratio": ratio(sides),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    """Where the runs go: a folder to keep, which must be new, or one that vanishes."""
    if folder is None:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
        return
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; --keep takes a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder.resolve()


def parsed() -> Tuple[argparse.Namespace, argparse.ArgumentParser]:
    """The command line."""
    parser = command_line.parser(
        __doc__, data="bccd", minutes=(30.0, "of training, each [default: %(default)g]"),
        model=("cspdensenetb-ref-prn", "ours [default: %(default)s]"), imgsz=320, batch=16,
        seeds=(1, "runs of each [default: 1]"), threads=cpu.threads(),
        workers=(1, "edgecsp's processes that read images"),
        venvs=(".venv-peers-", "prefix of the environment [default: %(default)s]"),
        keep=(Path, "a folder to keep the runs, their logs and ONNX files in"), json=Path,
    )  # fmt: skip
    parser.add_argument("--amp", choices=("fp32", "bf16"), default="fp32", help="what ultralytics computes in on a CPU")
    parser.add_argument("--progressive", action="store_true", help="ours begins with smaller images")
    args = parser.parse_args()
    if args.minutes <= 0 or args.seeds < 1:
        parser.error("--minutes is above 0, --seeds at least 1")
    return args, parser


def main() -> int:
    """Parse, train, judge, print."""
    args, parser = parsed()
    theirs = str(Path(args.venvs + "ultralytics").resolve() / "bin" / "python")
    if not Path(theirs).is_file():
        parser.error(f"{theirs} is not there; make bench-train makes it, --venvs PREFIX names another")
    try:
        accuracy.require()
        path = find_data(args.data)
        train, val = (accuracy.read(path, split=split) for split in ("train", "val"))
        print(f"{cpu.name()}, {', '.join(cpu.isa())}, {args.threads} threads")
        print(
            f"{args.data}: {len(train.images)} images to learn from, {len(val.images)} to judge by, "
            f"{args.imgsz} px, batch {args.batch}, {args.seeds} seed(s), {args.minutes:g} minutes each",
            flush=True,
        )
        with _folder(args.keep) as folder:
            data, val_data = lay(train, val, folder / "data", PROBE_BATCHES * args.batch)
            pythons = {OURS: sys.executable, THEIRS: theirs}
            rows = compare(args, pythons, folder, data, len(train.images), val_data)
    except EdgecspError as error:
        parser.error(str(error))
    show(rows, args.minutes)
    if args.json:
        args.json.write_text(json.dumps(report(args, len(train.images), len(val.images), rows), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
