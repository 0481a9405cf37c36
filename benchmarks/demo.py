"""The main job on real input: a video of real pictures through `edgecsp run`. Usage: python -m benchmarks.demo FOLDER.

Weights: the official YOLOv3-tiny, from the test data where it is, else downloaded by `edgecsp models pull`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .pictures import DATA, pictures, video

NAME = "yolov3-tiny"


def main(folder: Path) -> None:
    """Fill `folder` with street.mp4's annotated copy and its boxes."""
    edgecsp = [sys.executable, "-m", "edgecsp"]
    home = dict(os.environ, EDGECSP_HOME=str((folder / "home").resolve()))
    source = video(folder / "in.mp4", pictures())
    weights = DATA / "weights" / f"{NAME}.weights"
    local = ["--from", str(weights)] if weights.is_file() else []
    subprocess.run([*edgecsp, "models", "pull", NAME, *local], check=True, env=home)
    out, boxes = folder / "out.mp4", folder / "out.jsonl"
    run = [*edgecsp, "run", str(source), "--model", NAME, "--out", str(out), "--json", str(boxes)]
    subprocess.run(run, check=True, env=home)
    print(f"\nopen {out}; the boxes are in {boxes}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
