"""A training run: labelled images in, a folder with a detector out.

    run = train("cspdensenetb-ref-prn", "cards/data.yaml")
    print(run.ap50, run.onnx)

The folder: `run.json` (what was asked, the data, the versions), `log.jsonl`, `last.pt` (to go on), `best.pt`,
`best.onnx`, `best.cfg`, `best.weights`, `results.html`. A run that was killed goes on from `last.pt` as if it had not
been.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

import torch

from ..bench.accuracy import Data, require
from ..errors import UsageError
from . import cache as caches
from . import distributed, folders, resources, start
from .data import read_images
from .distill import Distillation
from .keeper import RunKeeper
from .model import Layout, cfg_text, trainable
from .progress import TrainingProgress
from .result import TrainRun
from .settings import TrainSettings
from .splits import as_one, split
from .teacher import Teaching
from .trainer import Trainer, keep_freed_memory

LOG = logging.getLogger(__name__)


def train(
    model: str,
    data: Union[str, Path, Data],
    *,
    val: Union[Data, None] = None,
    settings: TrainSettings = TrainSettings(),  # noqa: B008 - frozen
    weights: Optional[str] = None,
    out: Union[str, Path, None] = None,
    classes: Sequence[str] = (),
    single_class: bool = False,
    val_split: float = 0.1,
    device: str = "auto",
    workers: Union[int, str] = resources.AUTO,
    cache: Optional[str] = None,
    resume: Union[str, Path, None] = None,
    teacher: Sequence[str] = (),
    unlabelled: Sequence[str] = (),
    stop: Optional[Event] = None,
    watch: Callable[[TrainingProgress], None] = lambda progress: None,
) -> TrainRun:
    """Train a zoo model or a darknet cfg on labelled images and export the best of what it was.

    `data` is what `edgecsp val` reads; its split "train" is learned from and "val" decides which epoch is best. Data
    without a split "val" gives `val_split` of its images, chosen by the seed. `teacher` names detectors that label
    `unlabelled` images (folders, lists, globs) and, on the data's images, those of `classes` that the data lacks.
    `stop`, once set, has the run save and raise `Stopped`. Under torchrun several processes train together
    (`distributed`), `settings.batch` images each. Raises `UsageError`, `SourceError`, `BadWeights`, `BuildFailed`,
    `OutputError`; what was saved before stays.
    """
    require()
    keep_freed_memory()
    stop = stop or Event()
    caches.check(cache)
    resources.pick_workers(workers, "cpu")
    teaching = Teaching(tuple(teacher), tuple(unlabelled))
    distilled = start.find_teacher(settings.distill) if settings.distill else None
    with distributed.processes(resources.pick_device(device)) as place, distributed.first_logs():
        if distributed.rank():
            watch = lambda progress: None  # noqa: E731

        def prepare() -> Tuple[Path, Optional[Dict[str, Any]], Data, Data, bool]:
            existing = folders.record(Path(resume)) if resume is not None else None
            if existing is not None:
                same = replace(settings, batch=resources.batch_of(settings.batch, existing))
                folders.check_same(Path(resume or "."), existing, same, model, teaching)
            else:
                trainable(model, settings.imgsz)  # before data is read and a folder made
            learn, judge, is_own = split(
                data, val, () if teaching else classes, single_class and not teaching, val_split, settings.seed
            )
            folder = Path(resume) if resume is not None else folders.new(out)
            if teaching:
                with folders.removed_if_empty(folder):
                    learn, judge = teaching.apply(learn, judge, classes, settings.teacher_conf, folder, stop)
                learn, judge = (as_one(learn), as_one(judge)) if single_class else (learn, judge)
            return folder, existing, learn, judge, is_own

        folder, record, learn, judge, is_own = distributed.from_first(prepare)
        with folders.removed_if_empty(folder):
            read = partial(read_images, learn, judge, cache=cache, folder=folder, stop=stop)
            if record is not None:
                settings = replace(settings, batch=resources.batch_of(settings.batch, record))
                layout = Layout.from_dict(record["layout"])
                images = read(layout.side)
            else:
                entry = trainable(model, settings.imgsz)
                side = settings.imgsz or entry.size
                images = read(side)
                cfg = cfg_text(model)
                begin = distributed.from_first(lambda: start.find(weights, entry))
                layout = distributed.from_first(
                    lambda: replace(start.choose_layout(entry, side, images, learn.names, distilled or begin), cfg=cfg)
                )
            if settings.batch == 0:
                batch = distributed.from_first(lambda: resources.pick_batch(layout.net(), len(images), place))
                settings = replace(settings, batch=batch)
                LOG.info("--batch auto: %d", batch)
            settings, each = _steps(settings, len(images))
            trainer = Trainer(layout, settings, settings.epochs * each, place)
            trainer.freeze_steps = settings.freeze * each
            if distilled:
                trainer.distillation = Distillation(distilled, layout, place)
            run = RunKeeper(folder, layout, trainer, each, learn, judge, watch, is_own)
            if record is not None:
                run.resume()
            else:
                LOG.info("%s", _begin(trainer, begin, layout, advise=weights is None))
                distributed.from_first(lambda: run.begin(begin, teaching))
        try:
            return run.go(images, resources.pick_workers(workers, place), stop)
        finally:
            images.close()


def _steps(settings: TrainSettings, images: int) -> Tuple[TrainSettings, int]:
    """The settings with a batch that the images fill, and how many steps an epoch has."""
    several = distributed.size()
    if distributed.total(torch.tensor(images)) != images * several or images < several:
        raise UsageError(
            f"{several} processes share the images; each must read the same, and one at least. Here: {images}"
        )
    settings = replace(settings, batch=min(settings.batch, images // several))
    return settings, max(1, images // (settings.batch * several))


def _begin(trainer: Trainer, begin: start.Start, layout: Layout, *, advise: bool) -> str:
    """Load the weights that training begins with; one line about them."""
    if not begin.state:
        return f"begins with {begin.name}"
    shared = begin.shared(layout.labels)
    taken = trainer.begin_with(begin.fit(trainer.network, layout.labels))
    requested = trainer.settings.freeze_bn
    trainer.freezes_statistics = bool(shared) if requested is None else requested
    advice = " (same backbone; --weights none begins anew)" if advise else ""
    heads = f", its heads for {len(shared)} of {len(layout.labels)} classes" if shared else ""
    heads += ", with its batch-norms' statistics" if trainer.freezes_statistics else ""
    return f"begins with {begin.name}{advice}: {taken} of {len(trainer.network.state_dict())} tensors{heads}"
