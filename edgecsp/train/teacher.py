"""A teacher: another detector's boxes as labels, for images that nobody has labelled or of which only some classes are.

Boxes of a score of `floor` or more become labels, weighted by that score. Less sure ones, down to a third of it, become
ignored regions: they teach neither that something is there nor that nothing is.
"""

from __future__ import annotations

import glob
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from ..bench.accuracy import Boxes, Data, LabelledImage
from ..bench.accuracy.lists import list_images
from ..bench.accuracy.names import normalize
from ..errors import SourceError, UnknownName, UsageError
from ..importers import darknet
from ..processing import nms
from ..types import Array, Model
from ..zoo import store
from .sightings import Sighting, look

LOG = logging.getLogger(__name__)

SAME = 0.5  # from this IoU on a teacher's box is the labelled one of its class


@dataclass(frozen=True)
class Teaching:
    """The detectors that teach (see `open_model`), and the unlabelled images that they label: folders, lists, globs."""

    models: Tuple[str, ...] = ()
    unlabelled: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unlabelled and not self.models:
            raise UsageError(f"--unlabelled {self.unlabelled[0]}: these images need labels; add --teacher MODEL")

    def __bool__(self) -> bool:
        return bool(self.models)

    def to_dict(self) -> Dict[str, List[str]]:
        """The teaching as the record of a run has it."""
        return {"teacher": list(self.models), "unlabelled": list(self.unlabelled)}

    def apply(
        self, learn: Data, judge: Data, classes: Sequence[str], floor: float, folder: Path, stop: Event
    ) -> Tuple[Data, Data]:
        """Add what the teachers find to the data to learn from; both parts then have the same classes: see `teach`."""
        models = [open_model(spec) for spec in self.models]
        learn, judge, lacking = widen(learn, judge, classes, models)
        known = [row.path for data in (learn, judge) for row in data.images]
        images = unlabelled_images(self.unlabelled, known)
        return teach(learn, lacking, models, images, floor, folder, stop), judge


def open_model(spec: str) -> Model:
    """A teacher: a zoo name, an ONNX file, or X.cfg (X.weights beside it, or "X.cfg,Y.weights,Z.names").

    Raises what `store.resolve` and `darknet.load` raise, and `UsageError` for a classifier.
    """
    parts = [Path(part.strip()) for part in spec.split(",")]
    cfg = next((part for part in parts if part.suffix == ".cfg"), None)
    if cfg is not None:
        weights = next((part for part in parts if part.suffix == ".weights"), cfg.with_suffix(".weights"))
        names = next((part for part in parts if part.suffix in (".names", ".txt")), None)
        model = darknet.load(cfg, weights, names).model
    else:
        model = store.resolve(spec)
    model.require_boxes(f"--teacher {spec}: it is a classifier; a teacher must give boxes")
    return model


def unlabelled_images(sources: Sequence[str], known: Sequence[str]) -> List[str]:
    """The images of folders, lists and globs, but for those of `known` paths. Raises `SourceError`."""
    known_files = {os.path.realpath(path) for path in known}
    added: List[str] = []
    for each in sources:
        if Path(each).exists():
            files = list(list_images(Path(each)).files)
        else:
            files = sorted(glob.glob(each, recursive=True))
        if not files:
            raise SourceError(f"--unlabelled {each}: no image is there; it takes a folder, a list (.txt) or a glob")
        for file in files:
            if os.path.realpath(file) not in known_files:
                known_files.add(os.path.realpath(file))
                added.append(file)
    return added


def widen(learn: Data, judge: Data, classes: Sequence[str], models: Sequence[Model]) -> Tuple[Data, Data, List[int]]:
    """Both with the wanted classes: of the data, then those which a teacher alone knows; the ids of the latter.

    No `classes` are the data's. Raises `UnknownName` for one that nobody knows.
    """
    if not classes:
        return learn, judge, []
    own = {normalize(name): name for name in learn.names}
    taught = {normalize(label): label for model in models for label in model.labels}
    for word in classes:
        if normalize(word) not in own and normalize(word) not in taught:
            raise UnknownName(f"class of {learn.name} or its teacher", word, {*learn.names, *taught.values()})
    both = [own[normalize(word)] for word in classes if normalize(word) in own]
    more = list(dict.fromkeys(taught[normalize(word)] for word in classes if normalize(word) not in own))
    learn, judge = (_with(data.select_classes(both), more) for data in (learn, judge))
    return learn, judge, list(range(len(learn.names) - len(more), len(learn.names)))


def _with(data: Data, more: Sequence[str]) -> Data:
    first = max(data.category_ids, default=0) + 1
    numbers = tuple(range(first, first + len(more)))
    return replace(data, names=(*data.names, *more), category_ids=(*data.category_ids, *numbers))


def teach(
    learn: Data,
    lacking: Sequence[int],
    models: Sequence[Model],
    unlabelled: Sequence[str],
    floor: float,
    folder: Path,
    stop: Optional[Event] = None,
) -> Data:
    """The data with what teachers find: `lacking` classes on its images, and all classes on `unlabelled` images.

    What they find is kept in the folder and not computed again. Raises `UsageError` when a teacher knows none of the
    classes or has nothing to do, `SourceError` when none of the images can be read, `Stopped`.
    """
    if not lacking and not unlabelled:
        raise UsageError(
            f"the teacher has nothing to add: {learn.name} boxes all of its classes; give it images that nobody has "
            "labelled, --unlabelled FOLDER, or with --classes a class that it knows and the data lacks"
        )
    rows = list(learn.images)
    fresh = [LabelledImage(path, path, Boxes.from_rows([])) for path in unlabelled]
    counts = [0, 0]
    knows: Set[int] = set()
    for model in models:
        ids = class_map(model, learn)
        knows |= set(ids[ids >= 0].tolist())
        paths = [row.path for row in (*(rows if lacking else ()), *fresh)]
        sightings = look(model, paths, floor / 3, folder, stop)
        only = np.array([i if i in lacking else -1 for i in ids])
        rows = [_taught(row, sightings.get(row.path), only, floor, counts) for row in rows]
        fresh = [_taught(row, sightings[row.path], ids, floor, counts) for row in fresh if row.path in sightings]
    _warn(learn, knows, lacking, bool(fresh))
    LOG.info("teachers label %d boxes, and %d uncertain ones are ignored", *counts)
    return replace(learn, images=(*rows, *fresh))


def class_map(model: Model, data: Data) -> Array:
    """Map the classes of a teacher to those of the data by name, -1 for none. Raises `UsageError` if none is common."""
    numbers = {normalize(name): i for i, name in enumerate(data.names)}
    ids = np.array([numbers.get(normalize(label), -1) for label in model.labels], np.int64)
    if (ids < 0).all():
        raise UsageError(
            f"the teacher {model.name} knows none of the classes to learn. It knows: {', '.join(model.labels)}. "
            f"To learn: {', '.join(data.names)}"
        )
    return ids


def _warn(data: Data, knows: Set[int], lacking: Sequence[int], fresh: bool) -> None:
    """Of classes that nobody boxes on some of the images, which therefore teach that they are not there."""
    unknown = [name for i, name in enumerate(data.names) if i not in knows]
    if fresh and unknown:
        LOG.warning("no teacher knows %s: unlabelled images count as holding none", ", ".join(unknown))


def _taught(
    row: LabelledImage, sighting: Optional[Sighting], ids: Array, floor: float, counts: List[int]
) -> LabelledImage:
    """An image with a teacher's boxes beside its own; `ids` are the data's classes by the teacher's, -1 for none."""
    if sighting is None:
        return row
    classes = ids[sighting.class_ids]
    own = row.with_size(sighting.hw)
    new = (classes >= 0) & ~_is_labelled(own.boxes, sighting.xyxy, classes)
    if not new.any():
        return row
    xyxy, scores = sighting.xyxy[new], sighting.scores[new]
    sure = scores >= floor
    counts[0] += int(sure.sum())
    counts[1] += int((~sure).sum())
    xywh = np.concatenate((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1).astype(np.float64)
    before = own.boxes
    certain = np.ones(len(before), np.float32) if before.scores is None else before.scores
    boxes = Boxes(
        np.concatenate((before.xywh, xywh)),
        np.concatenate((before.class_ids, classes[new])),
        np.concatenate((before.crowd, ~sure)),
        np.concatenate((before.areas, xywh[:, 2] * xywh[:, 3])),
        scores=np.concatenate((certain, scores)).astype(np.float32),
    )
    return replace(own, boxes=boxes)


def _is_labelled(boxes: Boxes, xyxy: Array, classes: Array) -> Array:
    """Which of a teacher's boxes (N, 4) a labelled box of the same class overlaps."""
    same = nms.overlap(boxes.xyxy, xyxy) >= SAME
    labelled: Array = (same & (boxes.class_ids[:, None] == classes) & ~boxes.crowd[:, None]).any(0)
    return labelled
