"""int8 ranges of the bundled model, from scenes instead of images.

    python -m calib.ranges ranges.json --seeds 0:400
    edgecsp quantize codes --calib ranges.json

It measures as `edgecsp quantize` does: channels equalised, the method that agrees best with fp32. The seeds, the scene
generator and preprocess are all that the ranges come from; their file says which graph they fit.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Iterator

import numpy as np

from edgecsp.graph import precision
from edgecsp.processing import preprocess
from edgecsp.types import Model
from edgecsp.zoo import store

from . import TEST_SEEDS
from .scenes import scene

AUTO = "auto"


def batches(model: Model, first: int, last: int) -> Iterator[np.ndarray]:
    """Scenes as a camera would send them, unstretched, prepared for the model."""
    for seed in range(first, last):
        yield preprocess.prepare(scene(seed, 2 * max(model.input.hw), natural=True)[0], model.input)[0]


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="codes", help="a name of the zoo or an ONNX file, in fp32")
    parser.add_argument("--seeds", default="0:400", help="FIRST:LAST")
    parser.add_argument("--method", default=AUTO, choices=(AUTO, *precision.METHODS), help="auto: the best of them")
    parser.add_argument("--no-equalize", action="store_true", help="leave the channels of maps in their own ranges")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    first, last = map(int, args.seeds.split(":"))
    if last > TEST_SEEDS:
        raise SystemExit(f"seeds from {TEST_SEEDS} on are for testing; ranges are made from others")
    model = store.resolve(args.model)
    scenes, equalized = batches(model, first, last), not args.no_equalize
    if args.method == AUTO:
        ranges = precision.choose_ranges(model, scenes, threads=args.threads, equalized=equalized)
    else:
        ranges = precision.measure_ranges(model, scenes, args.method, threads=args.threads, equalized=equalized)
    ranges.save(args.out)
    print(
        f"{args.out}: {ranges.method} of {ranges.images} scenes for {model.name}, {len(ranges.scales)} maps equalised, "
        f"graph {ranges.model[:12]}"
    )


if __name__ == "__main__":
    main()
