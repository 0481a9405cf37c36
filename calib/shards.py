"""A labelled data set of scenes, written in parallel: `python -m calib.shards DIR --scenes 80000 --hard 40000`.

DIR gets `data.yaml`, `train/` and `val/`, with YOLO labels beside the images: what `edgecsp train` and `edgecsp val`
read. A shard is a folder `scenes-SIDE-FIRST-LAST` of the scenes of those seeds. It gets its name when it is whole, so
an interrupted command is simply given again, and a larger one adds to what is there. No test scene is ever among them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Iterable, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from edgecsp.cache import files
from edgecsp.errors import UsageError

from . import CLASSES, HARD_SEEDS, TEST_SEEDS, VAL_SEEDS

PER_SHARD = 500
QUALITY = 92
_NAME = re.compile(r"scenes-(\d+)-(\d+)-(\d+)")


class Shard(NamedTuple):
    """A shard's folder and what its name says: the side in pixels, its first seed and the one after its last."""

    path: Path
    side: int
    first: int
    last: int


def find(folder: Path) -> List[Shard]:
    """The whole shards in a folder, by first seed."""
    matches = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("scenes-*")]
    shards = [Shard(path, *(int(n) for n in match.groups())) for path, match in matches if match]
    return sorted(shards, key=lambda shard: shard.first)


def plan(folder: Path, scenes: int, hard: int, val: int, side: int = 320, per_shard: int = PER_SHARD) -> List[Shard]:
    """The shards that are still to be written for so many scenes. Raises `UsageError`.

    `scenes` general training scenes, `hard` ones of the seeds from HARD_SEEDS on, `val` of the seeds from VAL_SEEDS
    on, half of them hard.
    """
    half = (VAL_SEEDS + TEST_SEEDS) // 2
    parts = (
        ("train", 0, HARD_SEEDS, scenes, "--scenes", per_shard),
        ("train", HARD_SEEDS, VAL_SEEDS, hard, "--hard", per_shard),
        ("val", VAL_SEEDS, half, val // 2, "--val", 2 * per_shard),
        ("val", half, TEST_SEEDS, val // 2, "--val", 2 * per_shard),
    )
    todo = []
    for split, first, end, count, option, step in parts:
        if count < 0 or count % per_shard or first + count > end:
            most = (end - first) // per_shard * step
            raise UsageError(f"{option} is a multiple of {step}, from 0 to {most:,}")
        for begin in range(first, first + count, per_shard):
            path = folder / split / f"scenes-{side}-{begin}-{begin + per_shard}"
            todo.append(Shard(path, side, begin, begin + per_shard))
    there = {shard for split in ("train", "val") for shard in find(folder / split)}
    other = next((shard for shard in there if shard.side != side or shard.last - shard.first != per_shard), None)
    if other is not None:
        raise UsageError(
            f"{other.path} is there, of another size; give {folder} the same --side, or take another folder"
        )
    return [shard for shard in todo if shard not in there]


def write(shard: Shard) -> int:
    """Make one shard's scenes and write them; returns how many."""
    from .scenes import scene

    part = shard.path.with_name(f".{shard.path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for seed in range(shard.first, shard.last):
        image, xyxy, class_ids = scene(seed, shard.side)
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        (part / f"{seed}.jpg").write_bytes(jpeg.tobytes())
        (part / f"{seed}.txt").write_text(labels(xyxy, class_ids.tolist(), (shard.side, shard.side)))
    part.rename(shard.path)
    return shard.last - shard.first


def labels(xyxy: np.ndarray, class_ids: Sequence[int], wh: Tuple[int, int]) -> str:
    """A YOLO label file: "class cx cy w h" a line, in shares of the image's width and height."""
    boxes = xyxy.astype(np.float64) / (wh * 2)
    rows = np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), 1)
    return "".join(f"{c} " + " ".join(f"{v:.6f}" for v in row) + "\n" for c, row in zip(class_ids, rows.tolist()))


def describe(folder: Path) -> None:
    """Write the data.yaml of a folder of shards."""
    text = f"train: train\nval: val\nnc: {len(CLASSES)}\nnames: [{', '.join(CLASSES)}]\n"
    with files.atomic(folder / "data.yaml") as file:
        file.write(text.encode())


def make(todo: Sequence[Shard], workers: int) -> Iterable[int]:
    """Write shards in `workers` processes; yields the scenes of each as it is done."""
    if workers == 1:
        yield from map(write, todo)
        return
    # Not forked: a child would inherit threads of OpenCV's (and of whoever imported this) in any state.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(write, todo)


def main() -> None:
    """Parse the command line; prints a progress line to stderr."""
    parser = argparse.ArgumentParser(prog="python -m calib.shards", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, metavar="DIR")
    parser.add_argument("--scenes", type=int, default=80_000, help="general training scenes [default: %(default)s]")
    parser.add_argument("--hard", type=int, default=40_000, help="training scenes of Data Matrix and look-alikes")
    parser.add_argument("--val", type=int, default=1000, help="scenes that choose the best epoch, half of them hard")
    parser.add_argument("--side", type=int, default=320, help="of a scene, in pixels")
    parser.add_argument("--workers", type=int, default=2)
    a = parser.parse_args()
    try:
        todo = plan(a.out, a.scenes, a.hard, a.val, a.side)
        describe(a.out)
    except UsageError as error:
        parser.error(str(error))
    done, total, begin = 0, sum(s.last - s.first for s in todo), time.perf_counter()
    for n in make(todo, a.workers):
        done += n
        rate = done / (time.perf_counter() - begin)
        left = (total - done) / rate
        print(f"\r{done:,} of {total:,} scenes, {rate:.0f} a second, {left:.0f} s left ", end="", file=sys.stderr)
    print(f"\n{a.scenes + a.hard + a.val:,} scenes in {a.out / 'data.yaml'}", file=sys.stderr)


if __name__ == "__main__":
    main()
