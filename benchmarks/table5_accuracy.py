"""The accuracy side of the paper's Table 5: its YOLO-type rows, trained here under one budget on one data set.

    python -m benchmarks.table5_accuracy --data voc2012_subset --epochs 20 --json benchmarks/results/voc-accuracy.json

Every row learns from nothing, in a process of its own: the same images, epochs, batch, seed and settings, at the
input size of the table (--imgsz sets one for all). Each keeps the epoch that is best on the validation images, which
`edgecsp val` judges on onnxruntime. Beside it stands the paper's AP50 (COCO test-dev, after training on all of COCO
from ImageNet backbones): the order can be compared, the values cannot. Kendall's tau is 1 for the same order, -1 for
the reverse.

Hours: the file given by --json is written after each row, and rows that it holds under the same settings are not
trained again. `--rows` takes a few; `--assigner shape` is darknet's own assignment, for comparison.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

from edgecsp import zoo
from edgecsp.bench import accuracy, paper
from edgecsp.cache import files
from edgecsp.errors import EdgecspError, UsageError
from edgecsp.system import cpu

from . import command_line
from .peers import train as peers
from .peers.training_data import lay

SCHEMA = "edgecsp-table5-accuracy/1"
SETTINGS = ("epochs", "batch", "imgsz", "seed", "assigner", "threads", "workers")


def trainable_rows() -> List[str]:
    """The rows of Table 5 that have YOLO heads, most accurate in the paper first."""
    rows = [name for name in paper.table5() if zoo.get(name).anchors]
    return sorted(rows, key=lambda name: -(paper.table5()[name].ap50 or 0.0))


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation of two lists of the same things: pairs in the same order less pairs in the other, as a share."""
    signs = [(a[i] - a[j]) * (b[i] - b[j]) for i, j in itertools.combinations(range(len(a)), 2)]
    return sum((sign > 0) - (sign < 0) for sign in signs) / len(signs) if signs else 1.0


def read_report(path: Path | None, settings: Dict[str, Any], data: Dict[str, Any]) -> Dict[str, Any]:
    """The report so far, empty for a new file. Raises `UsageError` for one of other settings or data."""
    machine = {"cpu": cpu.name(), "isa": list(cpu.isa()), "threads": settings["threads"]}
    report: Dict[str, Any] = {"schema": SCHEMA, "machine": machine, "settings": settings, "data": data, "rows": []}
    if path is None or not path.is_file():
        return report
    earlier = json.loads(path.read_text("utf-8"))
    if earlier.get("schema") != SCHEMA or (earlier["settings"], earlier["data"]) != (settings, data):
        raise UsageError(f"{path} holds rows of other settings or data; give another file")
    return {**report, "rows": earlier["rows"]}


def train_row(name: str, settings: Dict[str, Any], data: Path, val: accuracy.Data, folder: Path) -> Dict[str, Any]:
    """Train a row and judge it."""
    side = settings["imgsz"] or zoo.get(name).size
    request = {**settings, "model": name, "imgsz": side, "data": str(data), "folder": str(folder / name), "amp": "fp32"}
    answer = peers.run_worker(peers.OURS, sys.executable, request, folder / f"{name}.log")
    judged = peers.judge(answer["onnx"], val)
    figures = {key: round(answer[key], 2) for key in ("images_per_s", "minutes", "cpu_s")}
    cost = zoo.get(name).cost((side, side)).bflops
    return {"model": name, "imgsz": side, "bflops": round(cost, 2), **figures, **judged}


def show(report: Dict[str, Any]) -> None:
    """The table, in the paper's order."""
    printed = paper.table5()
    rows = sorted(report["rows"], key=lambda row: -(printed[row["model"]].ap50 or 0.0))
    print(f"  {'':28} {'size':>4} {'BFLOPs':>6} {'AP50':>6} {'AP':>6} {'paper':>6} {'images/s':>8} {'minutes':>7}")
    for row in rows:
        title, paper_ap50 = zoo.get(row["model"]).title, printed[row["model"]].ap50 or 0.0
        print(
            f"  {title:28.28} {row['imgsz']:4} {row['bflops']:6.2f} {100 * row['AP50']:6.1f} {100 * row['AP']:6.1f} "
            f"{paper_ap50:6.1f} {row['images_per_s']:8.1f} {row['minutes']:7.1f}"
        )
    tau = kendall_tau([row["AP50"] for row in rows], [printed[row["model"]].ap50 or 0.0 for row in rows])
    print(f"  order against the paper's: Kendall's tau {tau:+.2f} over {len(rows)} rows")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = command_line.parser(
        __doc__, data=("voc2012_subset", "in EDGECSP_TEST_DATA's data/, or a path"), epochs=20, batch=16,
        imgsz=(0, "[default: the table's size of each row]"), seed=0, threads=cpu.threads(),
        workers=(1, "processes that read images"), json=Path,
    )  # fmt: skip
    parser.add_argument("--rows", nargs="+", metavar="MODEL", choices=trainable_rows(), help="[default: all]")
    parser.add_argument("--assigner", choices=("dynamic", "shape"), default="dynamic")
    return parser.parse_args()


def main() -> int:
    """Train what is missing, write after each row, print."""
    args = parsed()
    names = args.rows or trainable_rows()
    settings = {key: getattr(args, key) for key in SETTINGS}
    try:
        path = peers.find_data(args.data)
        learn, val = (accuracy.read(path, split=split) for split in ("train", "val"))
        counts = {"train_images": len(learn.images), "val_images": len(val.images), "classes": len(learn.names)}
        report = read_report(args.json, settings, {"name": Path(args.data).name, **counts})
        print(f"{cpu.name()}, {', '.join(cpu.isa())}, {args.threads} threads; {args.epochs} epochs of {args.data}")
        with tempfile.TemporaryDirectory() as scratch:
            data, val_data = lay(learn, val, Path(scratch) / "data", args.batch)
            for name in names:
                if any(row["model"] == name for row in report["rows"]):
                    continue
                row = train_row(name, settings, data, val_data, Path(scratch))
                print(f"{name}: {row['minutes']:.1f} minutes, AP50 {row['AP50']:.3f}", file=sys.stderr, flush=True)
                report["rows"].append(row)
                if args.json:
                    with files.atomic(args.json) as file:
                        file.write((json.dumps(report, indent=1) + "\n").encode())
    except EdgecspError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
