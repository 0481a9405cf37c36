"""The split of the images into those to learn from and those to validate on, and a digest of both."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..bench.accuracy import Data, read
from ..errors import NoSplit, UsageError

LOG = logging.getLogger(__name__)


class Split(NamedTuple):
    """The images to learn from and those to validate on; `is_own` where the latter are the data's own "val"."""

    learn: Data
    val: Data
    is_own: bool


def split(
    data: Union[str, Path, Data], val: Optional[Data], classes: Sequence[str], single: bool, share: float, seed: int
) -> Split:
    """Split data for learning and validation: without a "val", `share` of the images. Raises `UsageError`.

    Images that are in both are for validation alone.
    """
    learn = data if isinstance(data, Data) else read(data, split="train")
    if val is None and not isinstance(data, Data):
        with suppress(NoSplit):
            learn, val = _without_shared(learn, read(data, split="val"))
    is_own = val is not None
    if val is None:
        if not 0 < share < 1:
            raise UsageError(f"val_split {share:g}: above 0 and below 1, for {learn.name} has no validation images")
        count = len(learn.images)
        val_count = max(1, round(count * share))
        if val_count >= count:
            raise UsageError(f"{learn.name} has {count} image(s); training needs one to learn from and one to judge by")
        chosen = set(np.random.default_rng((seed, 3)).permutation(count)[:val_count].tolist())
        val = replace(learn, images=tuple(row for i, row in enumerate(learn.images) if i in chosen))
        learn = replace(learn, images=tuple(row for i, row in enumerate(learn.images) if i not in chosen))
        LOG.info("no images are for validation alone: %d of %d are, by --val-split %g", val_count, count, share)
    if classes:
        learn, val = learn.select_classes(classes), val.select_classes(classes)
    if learn.names != val.names:
        raise UsageError(
            f"the classes of train and val differ: {', '.join(learn.names)} against {', '.join(val.names)}"
        )
    return Split(as_one(learn), as_one(val), is_own) if single else Split(learn, val, is_own)


def _without_shared(learn: Data, val: Data) -> Tuple[Data, Optional[Data]]:
    """Take images out of `learn` that `val` has too; no `val` where none would be left."""
    judged = {os.path.realpath(row.path) for row in val.images}
    rest = tuple(row for row in learn.images if os.path.realpath(row.path) not in judged)
    if not rest:
        return learn, None
    if len(rest) < len(learn.images):
        LOG.warning("%d images are in train and in val: they are not learned from", len(learn.images) - len(rest))
    return replace(learn, images=rest), val


def as_one(data: Data) -> Data:
    """All classes as one, "object"."""
    rows = tuple(
        replace(row, boxes=replace(row.boxes, class_ids=np.zeros_like(row.boxes.class_ids))) for row in data.images
    )
    return replace(data, names=("object",), category_ids=(1,), images=rows)


def digest(*parts: Data) -> str:
    """Digest of the data: every image's name, its boxes, and how sure those are."""
    sha = hashlib.sha256()
    for data in parts:
        sha.update(repr(data.names).encode())
        for row in data.images:
            sha.update(os.fsencode(Path(row.path).name))
            sha.update(row.boxes.xywh.tobytes() + row.boxes.class_ids.tobytes())
            if row.boxes.crowd.any():
                sha.update(row.boxes.crowd.tobytes())
            if row.boxes.scores is not None:
                sha.update(row.boxes.scores.tobytes())
    return sha.hexdigest()[:16]
