"""Detect in an archive, on Ray or on this machine alone, and count the boxes by label. Run it again to resume."""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("corpus", help="a folder, a glob, a list of files, or a URI")
parser.add_argument("out", help="a folder that every machine can access")
parser.add_argument("--ray", help="local, auto, or an address; this machine alone without it")
parser.add_argument("--engine", default="auto")
args = parser.parse_args()

where = ["--ray", args.ray] if args.ray else []
command = ["batch", args.corpus, "--out", args.out, "--engine", args.engine, "--quiet", *where]
subprocess.run([sys.executable, "-m", "edgecsp", *command], check=True)

counts, frames = Counter(), 0
for path in sorted(Path(args.out).rglob("*.parquet")):
    if path.name == "failures.parquet":
        continue
    for row in pq.read_table(path, columns=["detections"]).to_pylist():
        frames += 1
        counts.update(each["label"] for each in row["detections"])
print(f"{frames} frames: {dict(counts)}")
