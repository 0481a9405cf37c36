"""Scenes made ahead, in parallel, in files: `python -m calib.shards OUT --seeds 0:40000 --size 320 --workers 2`.

A shard is `scenes-SIZE-FIRST-LAST.npz`: the scenes of the seeds FIRST to LAST - 1 as JPEGs, their boxes and class
ids. It appears when it is whole, so an interrupted command is simply given again; shards that are there are kept,
and shards whose seeds overlap are refused, so that no scene is met twice.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import time
from pathlib import Path
from typing import Iterable, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from edgecsp import files
from edgecsp.errors import UsageError

from . import TEST_SEEDS

PER_SHARD = 500
QUALITY = 92
_NAME = re.compile(r"scenes-(\d+)-(\d+)-(\d+)\.npz")


class Shard(NamedTuple):
    """A shard's place and what its name says: the scenes' side in pixels, its first seed and the one after its last."""

    path: Path
    size: int
    first: int
    last: int


class Scenes:
    """The scenes of a shard, held as JPEGs: `scenes[i]` is (picture, boxes (N, 4) float32 xyxy, ids (N,) int64)."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as held:
            self._bytes, self._ends = held["jpegs"], held["ends"]
            self._boxes, self._ids, self._rows = held["boxes"], held["ids"], held["rows"]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        rows = slice(self._rows[i], self._rows[i + 1])
        picture = cv2.imdecode(self._bytes[self._ends[i] : self._ends[i + 1]], cv2.IMREAD_COLOR)
        return picture, self._boxes[rows].astype(np.float32), self._ids[rows].astype(np.int64)


def found(folder: Path) -> List[Shard]:
    """The shards in a folder, by first seed. Raises `UsageError` when two hold the same seed."""
    shards = []
    for path in folder.glob("scenes-*.npz"):
        match = _NAME.fullmatch(path.name)
        if match:
            shards.append(Shard(path, *(int(n) for n in match.groups())))
    shards.sort(key=lambda s: s.first)
    for one, other in zip(shards, shards[1:]):
        if other.first < one.last:
            raise UsageError(f"{one.path.name} and {other.path.name} hold the same seeds; remove one of them")
    return shards


def for_training(folder: Path) -> List[Shard]:
    """The same, refusing test scenes and an empty folder. Raises `UsageError`."""
    shards = found(folder)
    if not shards:
        raise UsageError(f"no shards in {folder}; make some: python -m calib.shards {folder} --seeds 0:20000")
    if shards[-1].last > TEST_SEEDS:
        raise UsageError(f"{shards[-1].path.name} holds test scenes (seeds from {TEST_SEEDS}); training refuses them")
    return shards


def write(shard: Shard) -> int:
    """Make one shard's scenes and write it; returns how many."""
    from .scenes import scene

    jpegs, boxes, ids = [], [], []
    for seed in range(shard.first, shard.last):
        image, xyxy, class_ids = scene(seed, shard.size)
        jpegs.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].ravel())
        boxes.append(xyxy)
        ids.append(class_ids)
    with files.atomic(shard.path) as file:
        np.savez(
            file,
            jpegs=np.concatenate(jpegs),
            ends=np.cumsum([0, *map(len, jpegs)]),
            boxes=np.concatenate(boxes),
            ids=np.concatenate(ids).astype(np.uint8),
            rows=np.cumsum([0, *map(len, ids)]),
        )
    return shard.last - shard.first


def planned(folder: Path, seeds: range, size: int, per_shard: int = PER_SHARD) -> List[Shard]:
    """The shards that hold `seeds`; those that are written already are left out. Raises `UsageError`.

    Shards begin at multiples of `per_shard`, so that ranges of seeds that meet do not overlap.
    """
    if seeds.start % per_shard or seeds.stop % per_shard or not len(seeds):
        raise UsageError(f"--seeds goes from one multiple of {per_shard} to a later one; found {seeds}")
    if seeds.start < TEST_SEEDS < seeds.stop:
        raise UsageError(f"{seeds} mixes training scenes with test scenes, which begin at {TEST_SEEDS}")
    have, todo = found(folder), []
    for first in range(seeds.start, seeds.stop, per_shard):
        last = first + per_shard
        shard = Shard(folder / f"scenes-{size}-{first}-{last}.npz", size, first, last)
        met = [h for h in have if h.first < last and first < h.last]
        if met and met != [shard]:
            raise UsageError(f"{met[0].path.name} is there and holds some of the seeds {first}:{last}; use other seeds")
        if not met:
            todo.append(shard)
    return todo


def make(todo: Sequence[Shard], workers: int) -> Iterable[int]:
    """Write shards in `workers` processes; yields the scenes of each as it is done."""
    if workers == 1:
        yield from map(write, todo)
        return
    # Not forked: a child would inherit threads of OpenCV's (and of whoever imported this) in any state.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(write, todo)


def seed_range(text: str) -> range:
    """`A:B` -> the seeds A to B - 1."""
    first, last = text.split(":")
    return range(int(first), int(last))


def main() -> None:
    """Parse the command line; prints a progress line to stderr."""
    parser = argparse.ArgumentParser(prog="python -m calib.shards", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=seed_range, required=True, metavar="A:B")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--workers", type=int, default=2)
    a = parser.parse_args()
    try:
        todo = planned(a.out, a.seeds, a.size)
    except UsageError as error:
        parser.error(str(error))
    done, total, begin = 0, sum(s.last - s.first for s in todo), time.perf_counter()
    for n in make(todo, a.workers):
        done += n
        rate = done / (time.perf_counter() - begin)
        left = (total - done) / rate
        print(f"\r{done:,} of {total:,} scenes, {rate:.0f} a second, {left:.0f} s left ", end="", file=sys.stderr)
    print(f"\n{len(a.seeds):,} scenes in {a.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
