"""`Detector`: the line for one image, and `stream` for many."""

from __future__ import annotations

import threading
import time
import typing
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Generator, Iterator, List, Literal, Optional, Sequence, Tuple, Union

from .. import backends
from ..backends import tuning
from ..errors import EdgecspError, EngineFailed, UsageError
from ..media import scheduler, sources
from ..media.sources import memory
from ..options import OPTIONS, THRESHOLDS, Names, Thresholds
from ..options.choices import MAX_PIXELS
from ..options.declaration import shows_options
from ..processing import preprocess
from ..types import Array, Detections, Frame, Geometry, Model, Origin, Result, Tracks

if TYPE_CHECKING:
    from typing_extensions import Unpack  # which type checkers bring

    from ..options import Changes
    from ..track import Line, StreamTrackers, Zone

MANY = 32  # frames for which a second session is worth its opening


class Detector:
    """A model opened on an engine: images in, `Detections` (or `Classes`) out.

    Call it with an image or a list of them, `await adetect(image)`, or iterate over `stream(source)`; `prepare`,
    `infer` and `finish` are the three steps of a call. Close it, or use it as a context manager. Any thread may use
    it; those that the engine does not take at once wait for it. `settings` are its thresholds, `chosen` is what
    `load` took and why.

    >>> import edgecsp; detector = edgecsp.load("codes", "ort")
    >>> import numpy; image = numpy.zeros((480, 640, 3), numpy.uint8)
    >>> detector(image)
    <Detections: none in image, 640x480>
    >>> [result.counts() for result in detector([image, image], conf=0.6, classes="qr")]
    [{}, {}]
    >>> [(frame.stream.name, len(result)) for frame, result in detector.stream([image, image])]
    [('image0', 0), ('image1', 0)]
    >>> detector.close()

    For type checkers a result is `Detections`, so that it can be iterated; that of a classifier
    (`model.result` says which) is `Classes`.
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
        self._open_session: Optional[Callable[[int], backends.Session]] = None
        self._for_many: Optional[Detector] = None
        self._opening = threading.Lock()
        self._is_open = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("_is_open") is not None and name not in self.__dict__ and not hasattr(type(self), name):
            raise AttributeError(
                f"a Detector has no attribute {name!r} to set; options are given to a call, detector(image, conf=0.5), "
                "or to edgecsp.load"
            )
        super().__setattr__(name, value)

    @typing.overload
    def __call__(
        self,
        image: Union[List[Any], Tuple[Any, ...]],
        settings: Optional[Thresholds] = None,
        **changes: Unpack[Changes],
    ) -> List[Detections]: ...

    @typing.overload
    def __call__(self, image: Any, settings: Optional[Thresholds] = None, **changes: Unpack[Changes]) -> Detections: ...

    @shows_options(Thresholds)
    def __call__(self, image: Any, settings: Optional[Thresholds] = None, **changes: Any) -> Any:
        """Detect in one image; in a list of images, of all of them, as a list.

        An image is (H, W, 3) uint8 BGR, a grey (H, W), a PIL image, encoded bytes, a path or URL, or a `Frame`. Those
        of a list are computed as those of `stream`, many of them by a second session that takes several side by side
        (`load(concurrency=8)` opens one for both); a folder, pattern, video or camera is an error, for its frames are
        `stream`'s. Options are for this call, by name (`conf=0.6, classes="qr"`), or all of them as
        `settings`, instead of the detector's. A result has its image (`result.image`, `plot`, `save`): an array as it
        is, a file by reading it again. Raises an `EdgecspError`.
        """
        thresholds = self._thresholds(settings, changes)
        images = memory.list_images(image)
        if images is None:
            return self._detect(sources.to_frame(image, max_pixels=self.max_pixels), thresholds)
        source = memory.ImageSequence(images, partial(sources.to_frame, max_pixels=self.max_pixels))
        return [result for _, result in self._stream(lambda: [source], thresholds, holds=True)]

    async def adetect(self, image: Any, settings: Optional[Thresholds] = None, **changes: Unpack[Changes]) -> Any:
        """Detect as a call does, in a thread: `result = await detector.adetect(image)`."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, partial(self, image, settings, **changes))

    def _detect(self, frame: Frame, settings: Thresholds, *, holds: bool = True) -> Result:
        """Detect in a frame; with `holds`, the result keeps an image that cannot be read again."""
        begun = time.perf_counter()
        batch, geometry = self.prepare(frame.image)
        prepared = time.perf_counter()
        outputs = self.infer(batch)
        inferred = time.perf_counter()
        result = self.finish(outputs, geometry, settings)
        ended = time.perf_counter()
        speed = {
            "preprocess": (prepared - begun) * 1e3, "inference": (inferred - prepared) * 1e3,
            "postprocess": (ended - inferred) * 1e3,
        }  # fmt: skip
        get_image = memory.image_getter(frame, self.max_pixels, holds=holds)
        return result.with_origin(Origin(frame.stream, frame.index, frame.pts_s, frame.hw, get_image, speed))

    def prepare(self, image: Array) -> Tuple[Array, Geometry]:
        """Image -> network input, as the session takes it (`preprocess.pixels` or `prepare`), and the way back."""
        return self._prepare(image, self.model.input)

    def infer(self, batch: Array) -> List[Array]:
        """Network input -> raw heads. Raises `EngineFailed` for whatever the engine raises."""
        self._require_open()
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
        """Raw heads -> boxes in image pixels, best first; the head is asked how. Classes must be numbers."""
        return self.model.heads[0].finish(self.model, outputs, geometry, settings or self.settings)

    @typing.overload
    def stream(
        self,
        *source: Any,
        track: Literal[True],
        stride: int = 1,
        lines: Sequence[Line] = (),
        zones: Sequence[Zone] = (),
        settings: Optional[Thresholds] = None,
        **changes: Unpack[Changes],
    ) -> Iterator[Tuple[Frame, Tracks]]: ...

    @typing.overload
    def stream(
        self,
        *source: Any,
        stride: int = 1,
        track: bool = False,
        lines: Sequence[Line] = (),
        zones: Sequence[Zone] = (),
        settings: Optional[Thresholds] = None,
        **changes: Unpack[Changes],
    ) -> Iterator[Tuple[Frame, Detections]]: ...

    @shows_options(Thresholds)
    def stream(
        self,
        *source: Any,
        stride: int = 1,
        track: bool = False,
        lines: Sequence[Line] = (),
        zones: Sequence[Zone] = (),
        settings: Optional[Thresholds] = None,
        **changes: Any,
    ) -> Any:
        """Iterate over the frames of sources with their results. Files lose no frame, live sources keep the newest.

        A source is what `edgecsp run` takes (a file, folder, pattern, video, URL), a path, a camera's number, an image
        as a call takes it, or a list or iterable of these. Of several videos and live sources the frames come in turns
        (`frame.stream` says whose one is); the error of a source ends all. Options are as those of a call. A result
        has the image of a video's frame for as long as the frame is there. With `track`, results of videos and live
        streams are `types.Tracks`: an object has the same id in all frames. With `lines` or `zones`, for which objects
        are tracked too, their `events` are what happened in the frame and their `areas` the counts up to it.
        """
        self._require_open()
        thresholds = self._thresholds(settings, changes)
        opening = partial(sources.open_mixed, source, stride=stride, max_pixels=self.max_pixels)
        if not (track or lines or zones):
            return self._stream(opening, thresholds)
        trackers = self.make_trackers(thresholds, lines, zones)
        tracked = self._stream(opening, trackers.lower(thresholds))
        return ((frame, trackers.update(frame, result).require_boxes()) for frame, result in tracked)

    def make_trackers(
        self, settings: Optional[Thresholds] = None, lines: Sequence[Line] = (), zones: Sequence[Zone] = ()
    ) -> StreamTrackers:
        """Make trackers for streams of this detector's results. Detect with their `lower` thresholds for them.

        Raises `UsageError` where two lines or zones share a name, and for a class that the model does not know.
        """
        from ..track import StreamTrackers
        from ..track.areas import require_unique

        require_unique([*lines, *zones])
        for area in (*lines, *zones):
            class_ids(self.model, area.classes)
        conf = (settings or self.settings).conf
        return StreamTrackers(self.model.conf if conf is None else conf, lines=lines, zones=zones)

    def _stream(
        self, opening: Callable[[], List[sources.Source]], settings: Thresholds, *, holds: bool = False
    ) -> Iterator[Tuple[Frame, Detections]]:
        self._require_open()
        opened = opening()
        detector = self._choose(opened)
        detect = partial(detector._detect, settings=settings, holds=holds)
        with closing(detector.results(opened, detect=detect)) as results:
            for item in results:
                if isinstance(item, scheduler.FrameResult):
                    yield item.frame, item.result  # type: ignore[misc]
                elif item.error is not None:
                    raise item.error

    def _choose(self, opened: Sequence[sources.Source]) -> Detector:
        """Choose who computes the frames: for many, a second session that takes several side by side, as `run` does."""
        counts = [source.frames for source in opened]
        concurrency = scheduler.choose_concurrency(opened)
        if self._open_session is None or concurrency == 1 or sum(MANY if n is None else n for n in counts) < MANY:
            return self
        with self._opening:
            if self._for_many is None:
                session = self._open_session(concurrency)
                self._for_many = Detector(self.model, session, self.settings, self.chosen, self.max_pixels)
            return self._for_many

    def results(
        self,
        opened: Sequence[sources.Source],
        stop: Optional[threading.Event] = None,
        *,
        detect: Optional[Callable[[Frame], Result]] = None,
    ) -> Generator[Union[scheduler.FrameResult, scheduler.SourceEnd], None, None]:
        """Iterate over frames of opened sources with the results of `detect`: see `scheduler.results`."""
        detect = detect or self.detect_frame
        return scheduler.results(opened, detect, concurrency=self.session.concurrency, stop=stop)

    def detect_frame(self, frame: Frame, settings: Optional[Thresholds] = None) -> Result:
        """Detect in a frame; the result knows nothing of its image."""
        batch, geometry = self.prepare(frame.image)
        return self.finish(self.infer(batch), geometry, settings)

    def _thresholds(self, settings: Optional[Thresholds], changes: Any) -> Thresholds:
        """Resolve the options of a call. Raises `UsageError`, and `TypeError` for one that there is not."""
        unknown = next((name for name in changes if name not in THRESHOLDS), None)
        if unknown is not None:
            why = "is an option of edgecsp.load" if unknown in OPTIONS else "is no option"
            raise TypeError(f"a call takes {', '.join(THRESHOLDS)}; {unknown} {why}")
        if settings is None and not changes:
            return self.settings
        changed = replace(settings or self.settings, **changes)
        if "classes" in changes:
            return replace(changed, classes=class_ids(self.model, changed.classes))
        return self._with_ids(changed)

    def _with_ids(self, settings: Thresholds) -> Thresholds:
        """Resolve names of classes."""
        if settings.classes is None or not any(isinstance(each, str) for each in settings.classes):
            return settings
        return replace(settings, classes=class_ids(self.model, settings.classes))

    def _require_open(self) -> None:
        if not self._is_open:
            raise UsageError(f"the detector of {self.model.name} is closed; open another: edgecsp.load(...)")

    def close(self) -> None:
        """Close the session; a second call does nothing."""
        self._is_open = False
        self.session.close()
        if self._for_many is not None:
            self._for_many.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def class_ids(model: Model, classes: Optional[Names]) -> Optional[Tuple[int, ...]]:
    """Names or numbers of classes as numbers; None for all. Raises `UsageError`."""
    return None if classes is None else tuple(model.class_ids([str(name) for name in classes]))
