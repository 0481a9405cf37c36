"""Annotated copies: images as images, videos and live streams as mp4."""

from __future__ import annotations

import os
import re
from collections import Counter, OrderedDict
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple
from urllib.parse import unquote, urlsplit

from ...cache import files
from ...errors import OutputError, UsageError
from ...types import Array, Frame, Result, Stream
from .. import draw
from .base import Sink, Target
from .mp4 import Mp4

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
VIDEO_SUFFIXES = (".mp4",)
UNSUPPORTED_SUFFIXES = (".avi", ".mkv", ".mov", ".webm", ".gif", ".m4v", ".ts", ".bmp", ".webp", ".tif", ".tiff")
JPEG_QUALITY = 95
NUMBER = 11  # bytes of a name for the number that tells copies apart


class AnnotatedSink(Sink):
    """Writes annotated copies of the frames into a folder (created if missing) or one .mp4, .jpg or .png file.

    In a folder a copy has the stem of its source: JPEG stays JPEG, other images become PNG, videos and live streams
    mp4. A name in use gets a number: a second dog.jpg becomes dog-2.jpg, and so does one whose name an existing file
    has, unless `overwrite` is set. `inputs`, the files that are read, are never replaced: that is a `UsageError` before
    anything is written. A single file is always replaced. A video is finished at `end_stream` or `close`.
    `is_new_run` says that the folder was created for this run.
    """

    def __init__(
        self, out: Target, *, inputs: Iterable[str] = (), overwrite: bool = False, is_new_run: bool = False
    ) -> None:
        inputs = list(inputs)
        self.out = Path(out)
        self.is_file = _is_file(out)
        self._overwrite = overwrite or self.is_file
        self._inputs = {os.path.realpath(path) for path in inputs}
        self._rank = ranks(inputs, _both_names)
        self._passed: Counter[Tuple[str, str]] = Counter()  # numbers of a name already in use
        self._claimed: Set[str] = set()
        self._renamed: List[Path] = []
        self._videos: OrderedDict[int, Tuple[Stream, Mp4]] = OrderedDict()
        self._first: Optional[Stream] = None
        self._paths: List[Path] = []
        self._refuse_inputs()
        self._created_folder = None if self.is_file else _create_folder(self.out) or (self.out if is_new_run else None)

    def write(self, frame: Frame, result: Result) -> None:
        """Annotate a frame and write it, or append it to its video."""
        if self.is_file:
            self._check_file(frame.stream)
        if frame.stream.kind == "image":
            self._write_image(draw.annotate(frame.image, result), frame.stream)
        else:
            video = self._video(frame)
            canvas = video.canvas(frame.image)
            video.write(draw.annotate(canvas, result, copy=False), frame.pts_s)

    def end_stream(self, stream: Stream) -> None:
        """Finish its video."""
        _, video = self._videos.pop(id(stream), (stream, None))
        if video is not None:
            self._finish(video)

    def close(self) -> None:
        """Finish unfinished videos; remove a created folder that stayed empty."""
        try:
            while self._videos:
                self._finish(self._videos.popitem(last=False)[1][1])
        finally:
            self.abort()  # the rest, if one failed

    def abort(self) -> None:
        """Remove unfinished videos; finished images and videos stay."""
        while self._videos:
            self._videos.popitem()[1][1].abort()
        if self._created_folder is not None and not self._paths:
            with suppress(OSError):  # already removed, or another run writes there
                self._created_folder.rmdir()
            self._created_folder = None

    @property
    def paths(self) -> List[Path]:
        """Finished files."""
        return list(self._paths)

    @property
    def notes(self) -> List[str]:
        """Notes on copies that got a number because their name was in use."""
        if not self._renamed:
            return []
        more = f" and {len(self._renamed) - 1} more" * (len(self._renamed) > 1)
        return [f"{self._renamed[0]}{more} existed before, so the copies got a number; to replace them: --overwrite"]

    def _video(self, frame: Frame) -> Mp4:
        key = id(frame.stream)  # the stream is stored too, so its id is not reused
        if key not in self._videos:
            stream = frame.stream
            path = self._claim(stream)
            names = None if self._overwrite else self._free(path, stream)
            self._videos[key] = (stream, Mp4(path, frame.hw, stream.fps, stream.pixel_aspect, names))
        return self._videos[key][1]

    def _finish(self, video: Mp4) -> None:
        video.close()
        self._paths.append(video.path)

    def _write_image(self, image: Array, stream: Stream) -> None:
        path = self._claim(stream)
        data = encode_image(image, path)
        if self._overwrite:
            with files.atomic(path) as file:
                file.write(data)
        else:
            path = files.write_new(self._free(path, stream), data)
        self._paths.append(path)

    def _claim(self, stream: Stream) -> Path:
        if self.is_file:
            return self.out
        if not self.out.is_dir():
            raise OutputError(f"cannot write into the folder {self.out}: it was removed during the run")
        return next(self._names(stream))

    def _names(self, stream: Stream) -> Iterator[Path]:
        """Yield free names for a stream's copy, each claimed when it is yielded."""
        name = copy_name(stream.name, stream.kind)
        rank = self._rank.get((name, stream.name), 1)
        noted = False
        while True:
            number = rank + self._passed[name]
            path = self.out / (f"-{number}" * (number > 1)).join(name)
            there = not self._overwrite and os.path.lexists(path)
            # Case folded: the files may be copied to a case-insensitive file system.
            free = str(path).casefold() not in self._claimed and os.path.realpath(path) not in self._inputs
            if free and there and not noted:
                self._renamed.append(path)
                noted = True
            if free and not there:
                self._claimed.add(str(path).casefold())
                yield path
            self._passed[name] += 1

    def _free(self, first: Path, stream: Stream) -> Iterator[Path]:
        """Yield the claimed name, then others in case another run takes it."""
        yield first
        yield from self._names(stream)

    def _check_file(self, stream: Stream) -> None:
        is_image = self.out.suffix.lower() in IMAGE_SUFFIXES
        if is_image != (stream.kind == "image"):
            raise UsageError(
                f"{self.out} is a{'n image' if is_image else ' video'}, {stream.name} is not; "
                f"give a folder or a {'.mp4' if is_image else '.jpg'} file"
            )
        if self._first is not None and stream is not self._first:
            raise UsageError(f"{self.out} is a single file, and {stream.name} is the second source; give a folder")
        self._first = stream

    def _refuse_inputs(self) -> None:
        for path in sorted(self._inputs):
            for kind in ("image", "video"):
                copy = self.out if self.is_file else self.out / "".join(copy_name(path, kind))
                if os.path.realpath(copy) in self._inputs:
                    raise UsageError(f"writing {copy} would replace a source; give another folder or name")


def encode_image(image: Array, path: Path) -> bytes:
    """Encode an image, (H, W, 3) uint8 BGR, as the suffix of its path says. Raises `OutputError`."""
    import cv2

    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    try:
        ok, data = cv2.imencode(path.suffix, image, options)
    except cv2.error as error:
        raise OutputError(f"cannot write {path}: {error.err or error}") from error
    if not ok:
        raise OutputError(f"cannot write {path}: OpenCV cannot encode {path.suffix}")
    encoded: bytes = data.tobytes()
    return encoded


def copy_name(name: str, kind: str) -> Tuple[str, str]:
    """Return stem and suffix of a stream's copy, by its name and kind."""
    suffix = ".mp4"
    if kind == "image":
        suffix = ".jpg" if name.lower().endswith((".jpg", ".jpeg", ".jpe")) else ".png"
    if "://" in name:
        parts = urlsplit(name)
        last = PurePosixPath(unquote(parts.path)).stem
        stem = last if kind != "live" and last else f"{parts.netloc}{parts.path}"
        stem = re.sub(r"[^\w.-]+", "_", stem).strip("._")
    else:
        stem = Path(name).stem
        if kind == "live":
            stem = re.sub(r"[^\w.-]+", "_", stem)
    return files.shorten(stem, files.NAME_BYTES - len(suffix) - NUMBER) or "stream", suffix


def to_still(frame: Frame) -> Frame:
    """Return a frame as a still image; one of a video or live stream is named after its stream and its number."""
    if frame.stream.kind == "image":
        return frame
    stem, _ = copy_name(frame.stream.name, frame.stream.kind)
    return Frame(frame.image, Stream(f"{stem}_{frame.index}.png"))


def ranks(inputs: Iterable[str], names: Callable[[str], Iterable[Any]]) -> Dict[Tuple[Any, str], int]:
    """Map (name, input) to its rank among the inputs with the same name, in order."""
    counts: Counter[Any] = Counter()
    rank_of: Dict[Tuple[Any, str], int] = {}
    for path in dict.fromkeys(inputs):
        for name in names(path):
            counts[name] += 1
            rank_of[name, path] = counts[name]
    return rank_of


def _both_names(path: str) -> List[Tuple[str, str]]:
    return [copy_name(path, "image"), copy_name(path, "video")]


def _is_file(out: Target) -> bool:
    suffix = Path(out).suffix.lower()
    if Path(out).is_dir() or str(out).endswith("/"):
        return False
    if suffix in UNSUPPORTED_SUFFIXES:
        raise UsageError(
            f"{out}: annotated copies are written as {', '.join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)}, or into a folder"
        )
    return suffix in IMAGE_SUFFIXES + VIDEO_SUFFIXES


def _create_folder(folder: Path) -> Optional[Path]:
    """Create a folder; return it if it is new."""
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into the folder {folder}: permission denied")
    return folder if new else None
