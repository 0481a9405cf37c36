"""Make an int8 file of a model, and keep it only if AP on labelled images falls by no more than a budget."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model")
parser.add_argument("--calib", required=True, help="100 images or more, or saved ranges")
parser.add_argument("--data", required=True, help="labelled images, as edgecsp val takes them")
parser.add_argument("--budget", type=float, default=0.01, help="largest loss of COCO AP")
parser.add_argument("--out", default="int8.onnx")
parser.add_argument("--engine", default="ort")
args = parser.parse_args()


def edgecsp(*words):
    """Run a command of edgecsp to its end."""
    subprocess.run([sys.executable, "-m", "edgecsp", *words], check=True)


edgecsp("quantize", args.model, "--calib", args.calib, "--out", args.out, "--quiet")
report = Path(args.out).with_suffix(".json")
common = ("--data", args.data, "--engine", args.engine, "--precision", "auto", "--duration", "0", "--quiet")
edgecsp("val", args.model, args.out, *common, "--json", str(report))
before, after = (row["AP"] for row in json.loads(report.read_text("utf-8"))["rows"])
print(f"AP {before:.3f} -> {after:.3f}")
if before - after > args.budget:
    Path(args.out).unlink()
    sys.exit(f"the loss is more than {args.budget}: {args.out} is removed")
