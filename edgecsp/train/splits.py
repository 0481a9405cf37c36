"""The split of the images into those to learn from and those to validate on, and a digest of both."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence, Tuple, Union

import numpy as np

from ..bench.accuracy import Data, read
from ..errors import NoSplit, UsageError


def split(
    data: Union[str, Path, Data], val: Optional[Data], classes: Sequence[str], single: bool, share: float, seed: int
) -> Tuple[Data, Data]:
    """Split data for learning and validation: without a "val", `share` of the images. Raises `UsageError`."""
    learn = data if isinstance(data, Data) else read(data, split="train")
    if val is None and not isinstance(data, Data):
        try:
            val = read(data, split="val")
        except NoSplit:
            val = None
        if val is not None and {row.path for row in val.images} & {row.path for row in learn.images}:
            val = None
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
    if classes:
        learn, val = learn.select_classes(classes), val.select_classes(classes)
    if learn.names != val.names:
        raise UsageError(
            f"the classes of train and val differ: {', '.join(learn.names)} against {', '.join(val.names)}"
        )
    return (as_one(learn), as_one(val)) if single else (learn, val)


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
