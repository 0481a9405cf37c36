"""Batches for training: scenes from shards, or made on the spot, turned, zoomed, coloured, four in one.

Sample k of a run is a function of k and the run's seed alone, so a run that was interrupted goes on with what it
would have seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, List, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from . import TEST_SEEDS, shards
from .scenes.dice import Dice

Sample = Tuple[np.ndarray, np.ndarray, np.ndarray]  # picture (s, s, 3) uint8 BGR, boxes (N, 4) xyxy px, ids (N,)
Key = Tuple[int, int]  # which sample of the run, its side in pixels


class Stored:
    """The scenes of a folder of shards, epoch after epoch, each in an order of its own."""

    def __init__(self, folder: Path) -> None:
        found = shards.for_training(folder)
        self.told = f"{sum(s.last - s.first for s in found):,} of the seeds {found[0].first} to {found[-1].last - 1}"
        self._shards = [shards.Scenes(s.path) for s in found]
        self._starts = np.cumsum([0, *map(len, self._shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def get(self, k: int, side: int) -> Sample:
        """A scene, resized to `side`."""
        epoch, place = divmod(k, len(self))
        at = _shuffled(place, len(self), epoch)
        shard = int(np.searchsorted(self._starts, at, "right")) - 1
        image, boxes, ids = self._shards[shard][at - int(self._starts[shard])]
        return _resized(image, boxes, ids, side)


class Live:
    """Scenes made when they are asked for: no scene is ever met twice. For machines with many cores."""

    def __init__(self, first_seed: int) -> None:
        self._first = first_seed
        self.told = f"a new one each time, seeds from {first_seed} on"

    def get(self, k: int, side: int) -> Sample:
        """The scene of seed `first_seed + k`, drawn at `side`."""
        from .scenes import scene

        seed = self._first + k
        assert seed < TEST_SEEDS, "training has run into the test seeds"
        return scene(seed, side)


def _shuffled(i: int, n: int, epoch: int) -> int:
    """Place `i` of a shuffle of 0..n-1 that needs no memory: a walk with a step that has no factor in common with n."""
    dice = Dice(f"epoch {epoch}")
    step = dice.randrange(n // 3 + 1, n) if n > 3 else 1
    while np.gcd(step, n) != 1:
        step += 1
    return (dice.randrange(n) + i * step) % n


def _resized(image: np.ndarray, boxes: np.ndarray, ids: np.ndarray, side: int) -> Sample:
    factor = side / image.shape[0]
    if factor != 1:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    return image, boxes * np.float32(factor), ids


def augmented(d: Dice, get: Callable[[int, int], Sample], k: int, side: int) -> Sample:
    """Sample `k`: a scene or a mosaic of four, then turned, zoomed and coloured."""
    if d.chance(0.12):
        sample = _mosaic(d, get, k, side)
    else:
        sample = get(k, side)
        if d.chance(0.35):
            sample = _zoomed(d, *sample)
    image, boxes, ids = _turned(d, *sample)
    return (_coloured(d, image) if d.chance(0.5) else image), boxes, ids


def _mosaic(d: Dice, get: Callable[[int, int], Sample], k: int, side: int) -> Sample:
    x, y = (int(side * d.uniform(0.35, 0.65)) for _ in range(2))
    out, boxes, ids = np.empty((side, side, 3), np.uint8), [], []
    for i, (x0, y0, x1, y1) in enumerate(((0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side))):
        image, found, names = get(k + i * 7919, side)
        out[y0:y1, x0:x1] = cv2.resize(image, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        scale = np.array([x1 - x0, y1 - y0] * 2, np.float32) / side
        boxes.append(found * scale + np.array([x0, y0] * 2, np.float32))
        ids.append(names)
    return _kept(out, np.concatenate(boxes), np.concatenate(ids), side)


def _zoomed(d: Dice, image: np.ndarray, boxes: np.ndarray, ids: np.ndarray) -> Sample:
    """Nearer, further or stretched; what then lies outside is grey or a mirror image's blur."""
    side = image.shape[0]
    zoom = d.log(0.55, 1.5)
    scale = np.array([zoom * d.log(0.8, 1.25), zoom], np.float32)
    free = side * (1 - scale)
    move = np.array([d.random(), d.random()], np.float32) * free
    matrix = np.array([[scale[0], 0, move[0]], [0, scale[1], move[1]]])
    image = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=d.colour())
    moved = boxes * np.tile(scale, 2) + np.tile(move, 2)
    clipped = np.clip(moved, 0, side)
    before, after = ((b[:, 2:] - b[:, :2]).prod(1) for b in (moved, clipped))
    keep = after >= 0.4 * before
    return _kept(image, clipped[keep], ids[keep], side)


def _kept(image: np.ndarray, boxes: np.ndarray, ids: np.ndarray, side: int) -> Sample:
    """Without the boxes that became too small to be anything."""
    wh = boxes[:, 2:] - boxes[:, :2]
    keep = (wh.max(1) >= 0.015 * side) & (wh.min(1) >= 1.5)
    return image, boxes[keep].astype(np.float32), ids[keep]


def _turned(d: Dice, image: np.ndarray, boxes: np.ndarray, ids: np.ndarray) -> Sample:
    side = image.shape[0]
    if d.chance(0.5):
        image = image[:, ::-1]
        boxes = np.stack((side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]), 1)
    for _ in range(d.choice((0, 0, 1, 2, 3))):
        image = image.transpose(1, 0, 2)[:, ::-1]  # a quarter to the right
        boxes = np.stack((side - boxes[:, 3], boxes[:, 0], side - boxes[:, 1], boxes[:, 2]), 1)
    return image, boxes, ids


def _coloured(d: Dice, image: np.ndarray) -> np.ndarray:
    x = np.linspace(0, 1, 256, dtype=np.float32) ** d.log(0.7, 1.4)
    gain = d.uniform(0.6, 1.25)
    table = np.stack([np.clip(d.uniform(-0.08, 0.08) + gain * d.uniform(0.88, 1.12) * x, 0, 1) for _ in range(3)], 1)
    image = cv2.LUT(np.ascontiguousarray(image), (table * 255).astype(np.uint8).reshape(256, 1, 3))
    if d.chance(0.06):
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return 255 - image if d.chance(0.03) else image


class Samples(Dataset):  # type: ignore[misc]
    """Samples by (k, side), as tensors: picture (3, s, s) uint8 RGB, targets (N, 5) class, cx, cy, w, h in 0..1."""

    def __init__(self, source: Stored | Live, seed: int) -> None:
        self._source, self._seed = source, seed

    def __getitem__(self, key: Key) -> Tuple[torch.Tensor, torch.Tensor]:
        k, side = key
        image, boxes, ids = augmented(Dice(f"{self._seed} {k}"), self._source.get, k, side)
        middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        rows = np.concatenate((ids[:, None], middle / side, size / side), 1).astype(np.float32)
        return torch.from_numpy(image[:, :, ::-1].transpose(2, 0, 1).copy()), torch.from_numpy(rows)


def joined(samples: Sequence[Tuple[torch.Tensor, torch.Tensor]]) -> Tuple[torch.Tensor, torch.Tensor]:
    """A batch: pictures (B, 3, s, s) uint8, targets (M, 6) with the picture's number in front."""
    rows = [torch.cat((t.new_full((len(t), 1), i), t), 1) for i, (_, t) in enumerate(samples)]
    return torch.stack([x for x, _ in samples]), torch.cat(rows)


def side_of(step: int, sides: Sequence[int]) -> int:
    """The side of batch `step`."""
    return Dice(f"side {step}").choice(sides)


class Steps:
    """The keys of every batch, made as they are asked for: a long run has millions."""

    def __init__(self, first: int, last: int, size: int, sides: Sequence[int]) -> None:
        self._first, self._last, self._size, self._sides = first, last, size, sides

    def __len__(self) -> int:
        return self._last - self._first

    def __iter__(self) -> Iterator[List[Key]]:
        for step in range(self._first, self._last):
            side = side_of(step, self._sides)
            yield [(step * self._size + i, side) for i in range(self._size)]


def batches(
    source: Stored | Live, seed: int, first: int, last: int, size: int, sides: Sequence[int], workers: int
) -> Iterator[Tuple[torch.Tensor, torch.Tensor]]:
    """The batches of the steps `first` to `last` - 1."""
    loader = DataLoader(
        Samples(source, seed),
        batch_sampler=Steps(first, last, size, sides),
        num_workers=workers,
        collate_fn=joined,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )
    return iter(loader)
