"""`edgecsp.train(...)`: a training run with the names of the command's options."""

from __future__ import annotations

import importlib.util
import logging
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional, Union

from ..errors import EngineUnavailable, UnknownName, UsageError
from ..system import install
from ..system.deprecation import warn_deprecated
from ..system.redaction import RedactionFilter
from .resources import AUTO
from .settings import TrainSettings

if TYPE_CHECKING:
    from ..bench.accuracy import Data
    from .result import TrainRun

_ALIASES = {"name": "out", "single_cls": "single_class"}


def check_installed() -> None:
    """Raise `EngineUnavailable` when a package that training needs is not installed."""
    for package in ("torch", "faster_coco_eval"):
        if importlib.util.find_spec(package) is None:
            raise EngineUnavailable(f"training needs {package}, not installed here; type: {install.command('train')}")


def train(model: Union[str, Path], data: Union[str, Path, Data], **options: Any) -> TrainRun:
    """Train a detector on labelled images and export it: `run.onnx`, `run.folder`, `run.ap50`, `run.load()`.

        run = edgecsp.train("cspdensenetb-ref-prn", "cards/data.yaml", epochs=100, imgsz=320)
        detections = run.load()("photo.jpg")

    `model` is a zoo model with YOLO heads or a darknet .cfg, `data` what `edgecsp val` reads: a data.yaml, COCO
    annotations, darknet's .data or a folder with labels. The options are those of `edgecsp train`:

    epochs (100): passes over the images. batch (16): images a step, or "auto". imgsz (the model's): side of the
    network's input in pixels. lr (0.002): highest learning rate. weights: a run's folder, a darknet .weights file, a
    bundled model ("codes", "everyday"), or "none". device ("auto"): auto, cpu, cuda, or a GPU's number. workers
    ("auto"): processes that read images. cache: "ram", "disk" or "none" [ram where the images fit].
    freeze (0): epochs in which the weights it begins with stay. freeze_bn: whether the statistics of its batch
    normalisation stay throughout [where its heads know a class of the data]. patience (0): epochs without a better AP
    after which it ends; 0 never. seed (0). classes: names of the only classes to learn. single_cls (False): all classes
    as one. val_split (0.1): share of the images to judge by where the data has no val, 0..1. no_flip, multi_scale,
    progressive (False).
    name: the run's folder, new or empty [the next runs/train/N]. resume: the folder of a run to go on with; settings
    that are not given are its own, and only epochs may be given another value. watch: called with a
    `TrainingProgress` now and then. Beside these, every field of `TrainSettings`.
    What the run says on its way is logged to `logging.getLogger("edgecsp.train")`. `tell`, which was called with those
    lines, is deprecated.

    Raises `UnknownName` for another option, `UsageError`, `SourceError` (data or weights that cannot be read),
    `BadModel`, `BadWeights`, `BuildFailed` (an engine gives other heads than torch), `OutputError` (a full disk), and
    `EngineUnavailable` where edgecsp[train] is not installed.
    """
    check_installed()
    from . import folders, run

    write: Optional[Callable[[str], object]] = options.pop("tell", None)
    settings, others = _sorted(options, set(run.train.__kwdefaults__ or ()) - {"settings"})
    with nullcontext() if write is None else _log_to(write):
        return run.train(str(model), data, settings=folders.settings(others.get("resume"), settings), **others)


@contextmanager
def _log_to(write: Callable[[str], object]) -> Iterator[None]:
    """Call `write` with each line that training logs: what `tell=` was."""
    warn_deprecated("tell=", "logging.getLogger('edgecsp.train')", remove_in="0.3", stacklevel=5)
    logger, handler = logging.getLogger(__package__), logging.Handler()
    handler.emit = lambda record: write(record.getMessage())  # type: ignore[assignment,method-assign]
    handler.addFilter(RedactionFilter())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _sorted(options: Dict[str, Any], known: set[str]) -> tuple[Dict[str, Any], Dict[str, Any]]:
    """The options that are settings, and the others, each by the name that `run.train` has for it."""
    of_settings = {each.name for each in fields(TrainSettings)}
    names = {*of_settings, *known, *_ALIASES, "no_flip"}
    settings: Dict[str, Any] = {}
    others: Dict[str, Any] = {}
    for name, value in options.items():
        if name not in names:
            raise UnknownName("option of training", name, names)
        if name == "no_flip":
            name, value = "flip", not value
        if (name, value) == ("batch", AUTO):
            value = 0
        name = _ALIASES.get(name, name)
        kind = settings if name in of_settings else others
        if name in kind:
            raise UsageError(f"{name} is given under two names")
        kind[name] = value
    if isinstance(others.get("classes"), str):
        others["classes"] = others["classes"].split(",")
    if others.get("resume") is not None and others.get("out") is not None:
        raise UsageError(f"resume={others['resume']} goes on in its own folder; leave out name={others['out']}")
    if "device" in others:
        others["device"] = str(others["device"])
    return settings, others
