"""The pipeline: source -> preprocess -> session.run -> decode -> nms -> sink.

`Detector` is the line for one image, `stream` for many, `run` drives it into sinks. The threads are in `flow`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Generator, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from . import backends
from .backends import tuning
from .errors import EdgecspError, EngineFailed, SourceError
from .graph import onnx_model
from .media import scheduler, sources
from .options import Names, Options, Thresholds
from .options.choices import BUNDLED_MODEL as BUNDLED_MODEL
from .options.choices import MAX_PIXELS
from .options.declaration import from_keywords
from .processing import decode, nms, preprocess, two_stage
from .system.deprecation import deprecate
from .types import Array, Detections, Frame, Geometry, Model, Result, Stream
from .zoo import store

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


class Detector:
    """A model opened on an engine: images in, `Detections` (or `Classes`) out.

    Call it with an image; or use `prepare`, `infer` and `finish`, the three steps of the call. Close it, or
    use it as a context manager. Any thread may use it; those that the engine does not take at once wait for it.
    `chosen` is what `load` took and why. For type checkers a result is `Detections`, so that it can be iterated;
    that of a classifier (`model.task` is "classify") is `Classes`, which isinstance tells.
    """

    def __init__(
        self,
        model: Model,
        session: backends.Session,
        settings: Optional[Thresholds] = None,
        chosen: Optional[tuning.EngineSelection] = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.model = model
        self.session = session
        self.settings = self._with_ids(settings or Thresholds())
        self.chosen = chosen
        self.max_pixels = max_pixels
        self._prepare = preprocess.pixels if session.accepts_uint8 else preprocess.prepare
        self._places = threading.BoundedSemaphore(session.concurrency)

    def __call__(self, image: Any, settings: Optional[Thresholds] = None) -> Detections:
        """What is in an image: (H, W, 3) uint8 BGR, a grey (H, W), a PIL image, a path, or a `Frame`.

        `settings` are for this image, instead of the detector's.
        """
        batch, geometry = self.prepare(read_image(image, self.max_pixels))
        thresholds = None if settings is None else self._with_ids(settings)
        return self.finish(self.infer(batch), geometry, thresholds)  # type: ignore[return-value]

    def prepare(self, image: Array) -> Tuple[Array, Geometry]:
        """Image -> network input, as the session takes it (`preprocess.pixels` or `prepare`), and the way back."""
        return self._prepare(image, self.model.input)

    def infer(self, batch: Array) -> List[Array]:
        """Network input -> raw heads. Raises `EngineFailed` for whatever the engine raises."""
        with self._places:
            try:
                return self.session.run(batch)
            except EdgecspError:
                raise
            except Exception as error:  # engines' errors share no class
                message = " ".join(str(error).split())[:300]
                raise EngineFailed(
                    f"the engine failed on {self.model.name} ({type(error).__name__}: {message})"
                ) from error

    def warm_up(self, batch: Array) -> None:
        """Have the session build what it needs for another kind of batch than `prepare`'s, which may take seconds."""
        self.session.warm_up(batch)

    def finish(self, outputs: Sequence[Array], geometry: Geometry, settings: Optional[Thresholds] = None) -> Result:
        """Raw heads -> boxes in image pixels, best first. `classes` of `settings` must be numbers."""
        model, settings = self.model, settings or self.settings
        if model.task == "classify":
            return decode.decode_classes(model, outputs)
        conf = model.conf if settings.conf is None else settings.conf
        read = decode.boxes if model.second is None else two_stage.boxes
        candidates = read(model.heads, outputs, model.input.hw, conf)
        if settings.classes is not None:
            selected = np.isin(candidates.class_ids, np.array(settings.classes, np.int32))
            candidates = decode.Candidates(*(column[selected] for column in candidates))
        rows, scores = self._suppress(candidates, conf, settings)
        return Detections(geometry.to_image(candidates.xyxy[rows]), scores, candidates.class_ids[rows], model.labels)

    def _suppress(self, candidates: decode.Candidates, conf: float, settings: Thresholds) -> Tuple[Array, Array]:
        """Row numbers of the boxes that stay, best first, and their scores."""
        model = self.model
        iou = model.iou if settings.iou is None else settings.iou
        if model.second is not None and not settings.plain_nms:
            # Soft-NMS lowers scores instead of dropping boxes; what falls below the threshold goes.
            return two_stage.soft_nms(candidates, iou, settings.max_det, floor=conf)
        if model.nms_free:
            rows = nms.best(candidates, settings.max_det)
        else:
            rows = nms.keep(
                candidates,
                iou,
                max_det=settings.max_det,
                agnostic=settings.agnostic,
                beta=0.0 if settings.plain_nms else model.nms_beta,
                input_hw=model.input.hw,
            )
        return rows, candidates.scores[rows]

    def stream(self, *uris: str, stride: int = 1) -> Iterator[Tuple[Frame, Detections]]:
        """Iterate over the frames of sources with their results. Files lose no frame, live sources keep the newest.

        Of several videos and live sources the frames come in turns (`frame.stream` says whose one is); the error of
        a source ends all.
        """
        with closing(self.results(sources.open_all(uris, stride=stride, max_pixels=self.max_pixels))) as results:
            for item in results:
                if isinstance(item, scheduler.FrameResult):
                    yield item.frame, item.result  # type: ignore[misc]
                elif item.error is not None:
                    raise item.error

    def results(
        self, opened: Sequence[sources.Source], stop: Optional[threading.Event] = None
    ) -> Generator[Union[scheduler.FrameResult, scheduler.SourceEnd], None, None]:
        """Iterate over the frames of opened sources with their results, and over ends: see `scheduler.results`."""
        places = self.session.concurrency
        return scheduler.results(opened, lambda frame: self(frame.image), concurrency=places, stop=stop)

    def _with_ids(self, settings: Thresholds) -> Thresholds:
        """Resolve names of classes."""
        if settings.classes is None or not any(isinstance(each, str) for each in settings.classes):
            return settings
        return replace(settings, classes=class_ids(self.model, settings.classes))

    def close(self) -> None:
        """Close the session."""
        self.session.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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

    session = backends.open(
        model, selection.engine, device=selection.device, threads=selection.threads, precision=selection.precision,
        concurrency=selection.at_once, accepts_uint8=options.accepts_uint8,
    )  # fmt: skip
    LOG.debug("opened %s, input %dx%d, on %s: %s", model.name, *model.input.hw[::-1], selection.summary, selection.why)
    return Detector(model, session, thresholds, selection, options.max_pixels or MAX_PIXELS)


def resolve_model(options: Options) -> Model:
    """Resolve a model, a file or a name, reshaped if a size is given. Raises an `EdgecspError`."""
    model = options.model or BUNDLED_MODEL
    if isinstance(model, Model):
        return onnx_model.reshape(model, hw=options.hw)
    return store.resolve(model, options.weights, hw=options.hw)


def class_ids(model: Model, classes: Optional[Names]) -> Optional[Tuple[int, ...]]:
    """Names or numbers of classes as numbers; None for all. Raises `UsageError`."""
    return None if classes is None else tuple(model.class_ids([str(name) for name in classes]))


def read_image(image: Any, max_pixels: int = MAX_PIXELS) -> Array:
    """Read one image of any supported type as (H, W, 3) uint8 BGR. Raises `SourceError`; warnings are logged."""
    if isinstance(image, Frame):
        return image.image
    if isinstance(image, (str, Path)):
        with sources.open(str(image), max_pixels=max_pixels) as source:
            for frame in source:
                for text in sources.format_problems(source.problems):
                    LOG.warning("%s", text)
                return frame.image
        raise SourceError(f"{image} holds no image")
    if hasattr(image, "convert"):  # PIL
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    pixels: Array = np.asarray(image)
    return np.repeat(pixels[:, :, None], 3, 2) if pixels.ndim == 2 else pixels


@dataclass
class RunSummary:
    """Counts of a run: frames, those of each source, seconds on the wall, detections by label, survived problems."""

    frames: int = 0
    by_source: Counter[sources.Source] = field(default_factory=Counter)
    seconds: float = 0.0
    label_counts: Counter[str] = field(default_factory=Counter)
    problems: Dict[str, int] = field(default_factory=dict)
    failed: List[str] = field(default_factory=list)

    def add(self, result: Result, source: sources.Source) -> None:
        """Count one frame."""
        self.frames += 1
        self.by_source[source] += 1
        self.label_counts.update(result.counted())


def run(
    detector: Detector,
    opened: Sequence[sources.Source],
    write: Callable[[Frame, Result], None],
    summary: RunSummary,
    *,
    ended: Callable[[Stream], None] = lambda stream: None,
    tick: Callable[[], None] = lambda: None,
    stop: Optional[threading.Event] = None,
    max_frames: Optional[int] = None,
) -> None:
    """Detect on every frame of the opened sources and `write` the results; `summary` is kept up to date.

    Videos and live streams go side by side, images one source after the other (see `flow`). A source that breaks
    is noted in `summary.failed` and the others go on, unless it is the only one. `ended` is told each stream that has
    had its last frame, `tick` is called after each frame; `stop`, once set, ends the run after the current frame.
    """
    stop = stop or threading.Event()
    begun = time.monotonic()
    under_way: Dict[sources.Source, Stream] = {}

    def turn(source: sources.Source, stream: Optional[Stream]) -> None:
        before = under_way.pop(source, None)
        if before is not None and before is not stream:
            ended(before)
        if stream is not None:
            under_way[source] = stream

    try:
        with closing(detector.results(opened, stop)) as results:
            for item in results:
                if isinstance(item, scheduler.FrameResult):
                    turn(item.source, item.frame.stream)
                    write(item.frame, item.result)
                    summary.add(item.result, item.source)
                    tick()
                    if summary.frames == max_frames:
                        stop.set()
                elif isinstance(item.error, SourceError) and len(opened) > 1:
                    summary.failed.append(str(item.error))
                    turn(item.source, None)
                elif item.error is not None:
                    raise item.error
                else:
                    turn(item.source, None)
                del item  # or its image is kept until the next one is there
    finally:
        for source in opened:
            for text, count in source.problems.items():
                summary.problems[text] = summary.problems.get(text, 0) + count
        summary.seconds = time.monotonic() - begun
