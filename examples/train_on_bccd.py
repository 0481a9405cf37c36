"""Train a small detector on BCCD's blood cells, measure it, and draw its boxes on an image that it was not trained on.

BCCD: 364 images, MIT licence. Any labelled images that `edgecsp val` reads serve as well.
"""

import argparse
from pathlib import Path

import edgecsp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", help="bccd/data.yaml")
parser.add_argument("image", help="an image of the validation set")
parser.add_argument("--model", default="cspdensenetb-ref-prn")
parser.add_argument("--epochs", type=int, default=10, help="200 for a good one")
parser.add_argument("--imgsz", type=int, default=224, help="320 for a good one")
parser.add_argument("--batch", type=int, default=8)
args = parser.parse_args()

if __name__ == "__main__":  # the workers that read images import this file
    run = edgecsp.train(args.model, args.data, epochs=args.epochs, imgsz=args.imgsz, batch=args.batch)
    print(f"{run.folder}: AP50 {run.ap50:.3f}")
    with run.load() as detector:
        result = detector(args.image)
    out = Path(run.folder) / "boxes.jpg"
    result.save(out)
    print(f"{out}: {result.counts()}")
