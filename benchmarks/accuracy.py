"""AP of a model on COCO-style pictures, through `edgecsp run --save-json` and pycocotools.

    python -m benchmarks.accuracy MODEL.onnx [--images FOLDER --annotations FILE.json] [-- FLAGS OF edgecsp run]

Thresholds are COCO's usual: conf 0.001, NMS 0.45, 100 boxes a picture counted by pycocotools.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

from .pictures import DATA


def measure(model: str, images: Path, annotations: Path, flags: List[str]) -> Dict[str, float]:
    """AP, AP50 and AP75 in 0..1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "found.json"
        command = [sys.executable, "-m", "edgecsp", "run", str(images), "--model", model, "--save-json", str(found)]
        subprocess.run([*command, "--conf", "0.001", "--iou", "0.45", "--max-det", "1000", "-q", *flags], check=True)
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(annotations))
            score = COCOeval(truth, truth.loadRes(str(found)), "bbox")
            score.evaluate()
            score.accumulate()
            score.summarize()
    return dict(zip(("AP", "AP50", "AP75"), (float(value) for value in score.stats)))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--images", type=Path, default=DATA / "data" / "coco64" / "images")
    parser.add_argument("--annotations", type=Path, default=DATA / "data" / "coco64" / "instances.json")
    args, flags = parser.parse_known_args()
    ap = measure(args.model, args.images, args.annotations, [flag for flag in flags if flag != "--"])
    print(args.model, " ".join(f"{name} {value:.4f}" for name, value in ap.items()), " ".join(flags))


if __name__ == "__main__":
    main()
