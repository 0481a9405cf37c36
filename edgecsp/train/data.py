"""Labelled images as batches: read once, kept in memory where they fit, augmented anew each time.

Sample k of a run depends on k and the run's seed alone, so a run that was interrupted goes on with what it would have
seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..core import Array
from ..errors import SourceError, UsageError
from ..evaluate.truth import Data, Picture
from .augment import Augment, Sample, sample
from .cache import Store, open_store
from .progress import ticker

SPARE = 1.25  # images are kept this much larger than the network's input, so that zooming in finds detail


def read_image(path: str) -> Optional[Array]:
    """An image as (h, w, 3) uint8 BGR, None where it cannot be read."""
    image: Optional[Array] = cv2.imread(path)
    return image


class Images:
    """The images of a data set that can be read, at no more than `SPARE` times the input's side.

    `store` keeps them; without one they are read anew each time. `unreadable` are the paths of the others.
    """

    def __init__(
        self, data: Data, side: int, store: Optional[Store] = None, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._side, self._rows = int(side * SPARE), list(data.pictures)
        self._kept: List[Sample] = []
        self.unreadable: List[str] = []
        self.sizes: List[Array] = []  # (N, 2) each: widths and heights of its boxes in shares of the sides
        readable = []
        for row in self._rows:
            sample = self._read(row)
            tick()
            if sample is None:
                self.unreadable.append(row.path)
                continue
            readable.append(row)
            h, w = sample.image.shape[:2]
            self.sizes.append((sample.boxes[:, 2:] - sample.boxes[:, :2]) / np.array((w, h), np.float32))
            if store is not None:
                self._kept.append(sample._replace(image=store.put(sample.image)))
        self._rows = readable
        if store is not None:
            store.seal()
        if not readable:
            raise SourceError(f"none of the {len(data.pictures)} images of {data.name} can be read")

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, index: int) -> Sample:
        """Image `index` with its boxes in pixels. Raises `SourceError` when it has vanished since it was looked at."""
        if self._store is not None:
            kept = self._kept[index]
            return kept._replace(image=self._store.get(kept.image))
        sample = self._read(self._rows[index])
        if sample is None:
            raise SourceError(f"cannot read {self._rows[index].path} any more; it was readable when training began")
        return sample

    def close(self) -> None:
        """Give back what the images take; `get` must not be called any more."""
        if self._store is not None:
            self._store.close()

    def _read(self, row: Picture) -> Optional[Sample]:
        image = read_image(row.path)
        if image is None:
            return None
        h, w = image.shape[:2]
        boxes = row.sized((h, w)).boxes
        factor = min(1.0, self._side / max(h, w))
        if factor < 1:
            sides = (max(1, round(w * factor)), max(1, round(h * factor)))
            image = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
        scale = np.array([image.shape[1] / w, image.shape[0] / h] * 2)
        return Sample(image, (boxes.xyxy * scale)[~boxes.crowd].astype(np.float32), boxes.class_ids[~boxes.crowd])


def read_images(data: Data, side: int, cache: Optional[str], folder: Path, tell: Callable[[str], None]) -> Images:
    """The images to learn from, kept as `cache.open_store` has it. Raises `UsageError` when they have no box."""
    store = open_store(cache, len(data.pictures), int(side * SPARE), folder)
    images = Images(data, side, store, ticker(tell, "read", len(data.pictures)))
    for path in images.unreadable:
        tell(f"{path} cannot be read and is left out")
    boxes = sum(map(len, images.sizes))
    if not boxes:
        raise UsageError(f"{data.name} has no box on its {len(images)} images: there is nothing to learn")
    where = store.name if store is not None else "read anew each time"
    tell(f"{len(images)} images with {boxes} boxes of {len(data.names)} classes, {where}")
    return images


class Samples(Dataset):
    """Augmented samples by (k, side, mosaic): image (3, s, s) uint8 RGB, rows (N, 5) class, cx, cy, w, h in pixels."""

    def __init__(self, images: Images, seed: int, how: Augment) -> None:
        self._images, self._seed, self._how = images, seed, how

    def __getitem__(self, key: Tuple[int, int, bool]) -> Tuple[Tensor, Tensor]:
        k, side, mosaic = key
        count = len(self._images)
        epoch, place = divmod(k, count)
        index = int(np.random.default_rng((self._seed, epoch)).permutation(count)[place])
        how = self._how if mosaic else self._how.without_mosaic()
        made = sample(self._images.get, index, count, side, how, np.random.default_rng((self._seed, 1, k)))
        return torch.from_numpy(made.image[:, :, ::-1].transpose(2, 0, 1).copy()), torch.from_numpy(_rows(made))


def _rows(made: Sample) -> Array:
    centre, size = (made.boxes[:, :2] + made.boxes[:, 2:]) / 2, made.boxes[:, 2:] - made.boxes[:, :2]
    return np.concatenate((made.ids[:, None], centre, size), 1).astype(np.float32)


def join(samples: Sequence[Tuple[Tensor, Tensor]]) -> Tuple[Tensor, Tensor]:
    """A batch: images (B, 3, s, s) uint8, targets (M, 6) with the image's number in front."""
    rows = [torch.cat((t.new_full((len(t), 1), i), t), 1) for i, (_, t) in enumerate(samples)]
    return torch.stack([x for x, _ in samples]), torch.cat(rows)


class Steps:
    """The keys of the batches of steps `first` to `last` - 1: (k, side, mosaic) a sample."""

    def __init__(self, first: int, last: int, batch: int, sides: Sequence[int], seed: int, mosaic_until: int) -> None:
        self._range, self._batch, self._sides, self._seed = range(first, last), batch, sides, seed
        self._mosaic_until = mosaic_until

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[List[Tuple[int, int, bool]]]:
        for step in self._range:
            side = self._sides[int(np.random.default_rng((self._seed, 2, step)).integers(len(self._sides)))]
            yield [(step * self._batch + i, side, step < self._mosaic_until) for i in range(self._batch)]


def batches(samples: Samples, steps: Steps, workers: int) -> Iterator[Tuple[Tensor, Tensor]]:
    """The batches, made ahead by `workers` processes."""
    loader = DataLoader(
        samples,
        batch_sampler=steps,
        num_workers=workers,
        collate_fn=join,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )
    return iter(loader)
