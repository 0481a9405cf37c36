"""The pipeline: source -> preprocess -> session.run -> decode -> nms -> (track) -> sink.

`load` opens a `Detector`, which is the line for one image and a stream of them; `run` drives it into sinks. The threads
are in `media/scheduler`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Optional, Tuple

from .. import backends
from ..backends import tuning
from ..graph import onnx_model
from ..options import Options, Thresholds
from ..options.choices import BUNDLED_MODEL as BUNDLED_MODEL
from ..options.choices import MAX_PIXELS
from ..options.declaration import from_keywords
from ..system.deprecation import deprecate
from ..types import Model
from ..zoo import store
from .detector import Detector as Detector
from .detector import class_ids as class_ids
from .runs import RunSummary as RunSummary
from .runs import run as run

LOG = logging.getLogger(__name__)


@deprecate("pipeline.Settings", "options.Thresholds", remove_in="0.3")
def Settings(
    conf: Optional[float] = None,
    iou: Optional[float] = None,
    class_ids: Optional[Tuple[int, ...]] = None,
    max_det: int = 300,
    agnostic: bool = False,
    plain_nms: bool = False,
) -> Thresholds:
    """Make `Thresholds`."""
    return Thresholds(conf, iou, class_ids, max_det, agnostic, plain_nms)


@from_keywords(Options, positional=2, renamed={"at_once": "concurrency", "pixels": "accepts_uint8"})
def load(options: Options) -> Detector:
    """Open a detector of a model, an ONNX file or a name of the zoo [default: the bundled model] on an engine.

    `device`, `threads`, `precision` and `concurrency` are those of `backends.open`. Engine "auto" is what was tuned for
    this model on this machine (`edgecsp tune`) where that is no other than these, else `backends.choose`'s.
    `weights="random"` takes random weights for a name of the zoo: its boxes mean nothing, its speed does.
    `imgsz` is the network's input, one side or (height, width), when not the model's own; `resize` another
    way of laying images into it; `classes` names or numbers to keep; `accepts_uint8=False` gives an engine the float32
    planes of `preprocess.prepare` also where it takes an image's bytes. An image file of more than `max_pixels` is
    refused by its header. docs/options.md has all of them. Raises an `EdgecspError`.
    """
    return open_detector(options)


def open_detector(options: Options) -> Detector:
    """Open a detector as `load` does, with the options as one object. Raises an `EdgecspError`."""
    model = resolve_model(options)
    if options.resize is not None:
        model = replace(model, input=replace(model.input, resize=options.resize))
    thresholds = replace(options.thresholds, classes=class_ids(model, options.classes))
    selection = tuning.choose(
        model, options.engine, device=options.device, threads=options.threads, precision=options.precision,
        at_once=options.concurrency,
    )  # fmt: skip
    model = selection.model

    open_session = partial(
        backends.open, model, selection.engine, device=selection.device, threads=selection.threads,
        precision=selection.precision, accepts_uint8=options.accepts_uint8,
    )  # fmt: skip
    session = open_session(concurrency=selection.at_once)
    LOG.debug("opened %s, input %dx%d, on %s: %s", model.name, *model.input.hw[::-1], selection.summary, selection.why)
    detector = Detector(model, session, thresholds, selection, options.max_pixels or MAX_PIXELS)
    if selection.at_once == 1 and selection.device in backends.info(selection.engine).concurrent_devices:
        detector._open_session = lambda concurrency: open_session(concurrency=concurrency)
    return detector


def resolve_model(options: Options) -> Model:
    """Resolve a model, a file or a name, reshaped if a size is given. Raises an `EdgecspError`."""
    model = options.model or BUNDLED_MODEL
    if isinstance(model, Model):
        return onnx_model.reshape(model, hw=options.hw)
    return store.resolve(model, options.weights, hw=options.hw)
