"""Labelled images as batches: read once, kept in memory where they fit, augmented anew each time.

Sample k of a run depends on k and the run's seed alone, so a run that was interrupted goes on with what it would have
seen.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Callable, Deque, Iterator, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..bench.accuracy import check, inspection
from ..bench.accuracy.truth import Boxes, Data, LabelledImage
from ..errors import SourceError, Stopped, UsageError
from ..system import cpu
from ..system.progress import NO_PROGRESS, Progress
from ..types import Array
from . import distributed
from .augment import Augment, Sample, sample
from .cache import Store, open_store
from .progress import LoggedProgress

LOG = logging.getLogger(__name__)
SPARE = 1.25  # images are kept this much larger than the network's input, so that zooming in finds detail


def read_image(path: str) -> Optional[Array]:
    """An image as (h, w, 3) uint8 BGR, upright, the pixels that `run` and `val` see; None where it cannot be read."""
    return inspection.read_image(path)[1]


_Read = Tuple[inspection.ImageInspection, Optional[Sample]]


class Images:
    """The images of a data set that can be read, at no more than `SPARE` times the input's side.

    `store` keeps them; without one they are read again each time. `inspections` are those of each file, of those that
    cannot be read as well.
    """

    def __init__(self, data: Data, side: int, store: Optional[Store] = None, progress: Progress = NO_PROGRESS) -> None:
        self._store = store
        self._side, self._rows = int(side * SPARE), []
        self._cached: List[Sample] = []
        self.inspections: List[inspection.ImageInspection] = []
        self.sizes: List[Array] = []  # (N, 2) each: widths and heights of its boxes in shares of the sides
        with ThreadPoolExecutor(cpu.threads()) as pool:
            for row, (inspected, sample) in zip(data.images, _ahead(pool, self._read, data.images)):
                self.inspections.append(inspected)
                progress.advance()
                if sample is None:
                    continue
                self._rows.append(row)
                h, w = sample.image.shape[:2]
                boxes = sample.boxes[sample.confidence > 0]  # no ignored regions
                self.sizes.append((boxes[:, 2:] - boxes[:, :2]) / np.array((w, h), np.float32))
                if store is not None:
                    self._cached.append(sample._replace(image=store.put(sample.image)))
        if store is not None:
            store.seal()
        if not self._rows:
            first = next((inspected.problem for inspected in self.inspections), "")
            raise SourceError(f"none of the {len(data.images)} images of {data.name} can be read; the first: {first}")

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, index: int) -> Sample:
        """Image `index` with its boxes in pixels. Raises `SourceError` when it has vanished since it was inspected."""
        if self._store is not None:
            cached = self._cached[index]
            return cached._replace(image=self._store.get(cached.image))
        inspected, sample = self._read(self._rows[index])
        if sample is None:
            raise SourceError(f"an image could be read when training began, and cannot any more: {inspected.problem}")
        return sample

    def close(self) -> None:
        """Give back what the images take; `get` must not be called any more."""
        if self._store is not None:
            self._store.close()

    def _read(self, row: LabelledImage) -> _Read:
        inspected, image = inspection.read_image(row.path)
        if image is None:
            return inspected, None
        h, w = image.shape[:2]
        boxes = row.with_size((h, w)).boxes
        factor = min(1.0, self._side / max(h, w))
        if factor < 1:
            sides = (max(1, round(w * factor)), max(1, round(h * factor)))
            image = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
        scale = np.array([image.shape[1] / w, image.shape[0] / h] * 2)
        corners = np.clip(boxes.xyxy, 0, (w, h, w, h))
        real = (corners[:, 2:] > corners[:, :2]).all(1)
        sure = _confidence(boxes)[real]
        return inspected, Sample(image, (corners * scale)[real].astype(np.float32), boxes.class_ids[real], sure)


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[LabelledImage], _Read], rows: Sequence[LabelledImage], count: int = 32
) -> Iterator[_Read]:
    """The rows read in their order, no more than `count` ahead: decoded images are large."""
    waiting: Deque[Future[_Read]] = deque()
    for row in rows:
        waiting.append(pool.submit(read, row))
        if len(waiting) == count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _confidence(boxes: Boxes) -> Array:
    """How sure each label is: 1 for people's, 0 for a crowd, where boxes count neither way."""
    sure = np.ones(len(boxes), np.float32) if boxes.scores is None else boxes.scores
    return np.where(boxes.crowd, 0, sure).astype(np.float32)


class _Reading(LoggedProgress):
    """Logged, and ended by `stop`."""

    def __init__(self, done: str, total: int, stop: Event) -> None:
        super().__init__(done, total)
        self._stop = stop

    def advance(self, amount: float = 1) -> None:
        """Count images. Raises `Stopped`."""
        super().advance(amount)
        if self._stop.is_set():
            raise Stopped("stopped while the images were read; training had not begun")


def read_images(data: Data, judge: Data, side: int, cache: Optional[str], folder: Path, stop: Event) -> Images:
    """Read the images to learn from, and report what they and the validation images hold.

    The images are kept as `cache.open_store` has it. Raises `UsageError` when they have no box, `SourceError` when no
    image can be read of one of the two, `Stopped` once `stop` is set.
    """
    store = open_store(cache, len(data.images), int(side * SPARE), folder, distributed.rank(), distributed.local_size())
    images = Images(data, side, store, _Reading("read", len(data.images), stop))
    if not distributed.rank():
        for line in check.check({"train": data, "val": judge}, {"train": images.inspections}, whole=False).lines():
            LOG.info("%s", line)
    if all(read_image(row.path) is None for row in judge.images):
        raise SourceError(f"none of the {len(judge.images)} validation images of {judge.name} can be read")
    if not any(len(row.boxes) for row in judge.images):
        LOG.warning("no validation image has a box: there is no AP, and the last epoch is the result")
    boxes = sum(map(len, images.sizes))
    if not boxes:
        raise UsageError(f"{data.name} has no box on its {len(images)} images: there is nothing to learn")
    empty = sum(not len(sizes) for sizes in images.sizes)
    LOG.info(
        "training on %d images with %d boxes, %s%s",
        len(images),
        boxes,
        store.name if store is not None else "read again each epoch",
        f"; {empty} without a box are background" if empty else "",
    )
    return images


class Samples(Dataset):
    """Augmented samples by (k, side, mosaic): image (3, s, s) uint8 RGB, and rows (N, 6).

    A row is class, cx, cy, w, h in pixels, confidence.
    """

    def __init__(self, images: Images, seed: int, how: Augment) -> None:
        self._images, self._seed, self._how = images, seed, how

    def __getitem__(self, key: Tuple[int, int, bool]) -> Union[Tuple[Tensor, Tensor], str]:
        """One sample, or in words why there is none: an exception would leave a worker as a traceback's text."""
        try:
            return self._make(key)
        except SourceError as error:
            return str(error)

    def _make(self, key: Tuple[int, int, bool]) -> Tuple[Tensor, Tensor]:
        k, side, mosaic = key
        count = len(self._images)
        epoch, place = divmod(k, count)
        index = int(np.random.default_rng((self._seed, epoch)).permutation(count)[place])
        how = self._how if mosaic else self._how.without_mosaic()
        augmented = sample(self._images.get, index, count, side, how, np.random.default_rng((self._seed, 1, k)))
        rgb = augmented.image[:, :, ::-1].transpose(2, 0, 1).copy()
        return torch.from_numpy(rgb), torch.from_numpy(_rows(augmented))


def _rows(augmented: Sample) -> Array:
    low, high = augmented.boxes[:, :2], augmented.boxes[:, 2:]
    parts = (augmented.ids[:, None], (low + high) / 2, high - low, augmented.confidence[:, None])
    return np.concatenate(parts, 1).astype(np.float32)


def join(samples: Sequence[Union[Tuple[Tensor, Tensor], str]]) -> Union[Tuple[Tensor, Tensor], str]:
    """A batch: images (B, 3, s, s) uint8, targets (M, 7) with the image's number in front. Or why there is none."""
    pairs: List[Tuple[Tensor, Tensor]] = []
    for each in samples:
        if isinstance(each, str):
            return each
        pairs.append(each)
    rows = [torch.cat((t.new_full((len(t), 1), i), t), 1) for i, (_, t) in enumerate(pairs)]
    return torch.stack([x for x, _ in pairs]), torch.cat(rows)


class Steps:
    """The keys of the batches of steps `first` to `last` - 1: (k, side, mosaic) a sample.

    `side_at` gives the side of a step's images (`image_sizes`), `mosaic_until` is the first step without mosaic and
    mixup. `among` is (rank, size) where several processes share a step: together they see what one with a `batch` of
    all of theirs would.
    """

    def __init__(
        self,
        first: int,
        last: int,
        batch: int,
        side_at: Callable[[int], int],
        mosaic_until: int,
        among: Tuple[int, int] = (0, 1),
    ) -> None:
        self._range, self._batch, self._side_at = range(first, last), batch, side_at
        self._mosaic_until, (self._rank, self._size) = mosaic_until, among

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[List[Tuple[int, int, bool]]]:
        for step in self._range:
            side = self._side_at(step)
            begin = (step * self._size + self._rank) * self._batch
            yield [(begin + i, side, step < self._mosaic_until) for i in range(self._batch)]


def batches(samples: Samples, steps: Steps, workers: int) -> Iterator[Tuple[Tensor, Tensor]]:
    """The batches, made ahead by `workers` processes. Raises `SourceError` for an image that has vanished."""
    loader = DataLoader(
        samples,
        batch_sampler=steps,
        num_workers=workers,
        collate_fn=join,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )
    for batch in loader:
        if isinstance(batch, str):
            raise SourceError(batch)
        yield batch
