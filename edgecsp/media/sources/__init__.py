"""Sources of frames, each named by a URI.

    dog.jpg              an image
    clip.mp4             a video
    photos/              the images and videos of a folder, in natural order of their names
    'shots/**/*.png'     files that match a pattern
    0, /dev/video0       a camera of this machine (live)
    rtsp://host/path     a network stream (live); also rtsps, rtmp, udp, rtp, srt, http, https
    https://host/a.jpg   an image or a video of known length on a web server
    gst:PIPELINE         frames of a GStreamer pipeline
    csi://0              a Jetson's own camera (live)
    -                    one image, piped to standard input
    NAME://...           what another package adds as NAME (see `schemes`)

Images and videos are told apart by the extension, else by the content.
"""

from __future__ import annotations

import functools
import glob
import itertools
import logging
import os
import re
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from ...cache.files import suggest_similar
from ...errors import SourceError, UsageError
from ...options.choices import MAX_PIXELS
from ...types import Frame, Stream
from . import memory, schemes
from .base import Chain, Source, format_problems, redact
from .camera import Camera
from .gstreamer import open_pipeline
from .images import EncodedImage, ImageFiles, quiet_opencv, read_stdin
from .network import SCHEMES, TIMEOUT_S, open_url
from .paths import check_regular, matching
from .span import Span
from .video import Video

__all__ = [
    "MAX_PIXELS", "Camera", "Chain", "EncodedImage", "ImageFiles", "Source", "Span", "Video", "format_problems",
    "is_image", "is_media", "natural_key", "open", "open_all", "open_mixed", "redact", "to_frame",
]  # fmt: skip

LOG = logging.getLogger(__name__)

# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".avif", ".heic", ".heif", ".hif", ".ras", ".sr",
))
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv",
    ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".gif", ".apng", ".h264", ".264", ".h265", ".265", ".hevc",
    ".mjpeg", ".mjpg", ".y4m", ".ivf",
))
# fmt: on


def open(
    uri: str,
    *,
    stride: int = 1,
    timeout_s: float = TIMEOUT_S,
    options: Optional[Mapping[str, str]] = None,
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """Open a URI as one `Source`, checked to be readable (a folder or pattern: to exist).

    `stride` N keeps frames 0, N, 2N of each video or stream; `timeout_s` bounds every wait for a network stream,
    `options` are FFmpeg's for it; an image of more than `max_pixels` by its header is refused. Raises
    `SourceError`.
    """
    parts = open_all([uri], stride=stride, timeout_s=timeout_s, options=options, max_pixels=max_pixels)
    return parts[0] if len(parts) == 1 else Chain(uri, parts)


def open_all(
    uris: Sequence[str],
    *,
    stride: int = 1,
    timeout_s: float = TIMEOUT_S,
    options: Optional[Mapping[str, str]] = None,
    max_pixels: int = MAX_PIXELS,
) -> List[Source]:
    """Open URIs as sources in the given order; consecutive images are one source.

    A missing file is a `SourceError` at once. Of several files, an unreadable one is reported only when it is read, as
    a problem of its source (an image) or as its error (a video).
    """
    if stride < 1:
        raise UsageError(f"stride {stride}: at least 1 (every frame)")
    if max_pixels < 1:
        raise UsageError(f"max_pixels {max_pixels}: at least 1")
    opened: List[Source] = []
    run: List[str] = []
    many = len(uris) > 1

    def flush() -> None:
        if run:
            opened.append(ImageFiles(list(run), forgive=many or len(run) > 1, max_pixels=max_pixels))
            run.clear()

    try:
        for uri in uris:
            if _is_elsewhere(uri):
                flush()
                opened.append(_elsewhere(uri, stride, timeout_s, options, max_pixels))
                continue
            for path in _files(uri):
                many = many or path != uri
                if is_image(path):
                    run.append(path)
                else:
                    flush()
                    opened.append(Video(path, stride=stride))
        flush()
        if len(opened) == 1:
            opened[0].check()
    except SourceError:
        for source in opened:
            source.close()
        raise
    return opened


def open_mixed(items: Sequence[Any], *, stride: int = 1, max_pixels: int = MAX_PIXELS) -> List[Source]:
    """Open URIs, paths, numbers of cameras and images in memory, and lists and iterables of these, in their order.

    An iterable that is no list may be endless: its items are single images, taken one by one. Raises as `open_all`.
    """
    opened: List[Source] = []
    read = functools.partial(to_frame, max_pixels=max_pixels)
    try:
        for kind, group in itertools.groupby(_flatten(items), memory.kind_of):
            if kind == "uri":
                opened += open_all([memory.to_uri(each) for each in group], stride=stride, max_pixels=max_pixels)
            elif kind == "image":
                opened.append(memory.ImageSequence(list(group), read))
            else:
                opened += [memory.ImageSequence(each, read) for each in group]
    except BaseException:
        for source in opened:
            source.close()
        raise
    return opened


def _flatten(items: Sequence[Any]) -> Iterator[Any]:
    for item in items:
        images = memory.list_images(item)
        if images is None:
            yield item
        else:
            yield from _flatten(images)


def to_frame(image: Any, name: str = "image", max_pixels: int = MAX_PIXELS) -> Frame:
    """Make a frame of one image: an array, a PIL image, encoded bytes, the path or URL of an image, or a `Frame`.

    Raises `UsageError` for what holds more than an image, `SourceError` for what cannot be read; warnings are logged.
    """
    if isinstance(image, Frame):
        return image
    kind = memory.kind_of(image)
    if kind == "iterable":
        raise UsageError("a call takes one image or a list; type: for frame, result in detector.stream(images)")
    if kind == "image":
        return Frame(memory.to_pixels(image, name, max_pixels), Stream(name))
    uri = memory.to_uri(image)
    what = _describe_several(uri)
    if not what:
        with open(uri, max_pixels=max_pixels) as source:
            for frame in () if source.moving else source:
                for text in format_problems(source.problems):
                    LOG.warning("%s", text)
                return frame
            what = "a video or stream"
    raise UsageError(
        f"{uri} is {what}, and a call takes one image; type: for frame, result in detector.stream({uri!r})"
    )


def _describe_several(uri: str) -> str:
    """Describe a URI that is no single image by its look; "" for any other."""
    if os.path.isdir(uri):
        return "a folder"
    if _is_device(uri) or uri.startswith("csi:"):
        return "a camera"
    if uri.startswith("gst:"):
        return "a pipeline"
    return "a pattern" if glob.has_magic(uri) and "://" not in uri and not os.path.exists(uri) else ""


def _is_device(uri: str) -> bool:
    return (uri.isascii() and uri.isdigit()) or re.fullmatch(r"/dev/video\d+", uri) is not None


def _is_elsewhere(uri: str) -> bool:
    return uri == "-" or "://" in uri or uri.startswith(("gst:", "csi:")) or _is_device(uri)


def _elsewhere(
    uri: str, stride: int, timeout_s: float, options: Optional[Mapping[str, str]], max_pixels: int
) -> Source:
    if uri == "-":
        return read_stdin(max_pixels)
    if uri.startswith(("gst:", "csi:")):
        return open_pipeline(uri, stride=stride, timeout_s=timeout_s)
    if "://" not in uri:
        return Camera(uri, stride=stride)
    scheme = schemes.require(uri)
    if scheme not in SCHEMES:
        return schemes.open_external(uri, scheme, stride=stride, timeout_s=timeout_s)
    return open_url(uri, stride=stride, timeout_s=timeout_s, options=options, max_pixels=max_pixels)


def _files(uri: str) -> List[str]:
    if os.path.isdir(uri):
        return _folder(uri)
    if os.path.exists(uri):
        check_regular(uri)
        return [uri]
    if glob.has_magic(uri):
        return _pattern(uri)
    if not uri:
        raise SourceError("the source is empty; give a file, a folder, a camera number or a URL")
    raise SourceError(f"no such file or folder: {uri}{suggest_similar(uri)}")


def _folder(folder: str) -> List[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {error.strerror}") from error
    # A FIFO or broken link with an image's name is reported when it is read.
    media = [n for n in names if is_media(n) and not os.path.isdir(os.path.join(folder, n))]
    if not media:
        inner = sorted(n for n in names if os.path.isdir(os.path.join(folder, n)))
        hint = f"; to include subfolders: '{os.path.join(folder, '**', '*.jpg')}'" if inner else ""
        raise SourceError(f"no image or video in the folder {folder} ({len(names)} entries){hint}")
    return [os.path.join(folder, name) for name in sorted(media, key=natural_key)]


def _pattern(pattern: str) -> List[str]:
    matches = [path for path in matching(pattern) if not os.path.isdir(path)]
    if not matches:
        # The part before the first wildcard may be wrong.
        root = Path(re.split(r"[*?\[]", pattern, maxsplit=1)[0] + "x").parent
        where = "" if root.is_dir() else f"; the folder {root} does not exist"
        raise SourceError(f"no file matches {pattern!r}{where}")
    media = [path for path in matches if is_media(os.path.basename(path))]
    return sorted(media or matches, key=natural_key)


def is_media(name: str) -> bool:
    """Whether a file name has the extension of an image or video."""
    # Hidden files are leftovers (._photo.jpg of macOS, .x.part of edgecsp).
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def is_image(path: str) -> bool:
    """Whether a file is an image, by its extension, else by its content."""
    extension = os.path.splitext(path)[1].lower()
    if extension in IMAGE_SUFFIXES or extension in VIDEO_SUFFIXES:
        return extension in IMAGE_SUFFIXES
    check_regular(path)
    import cv2

    with quiet_opencv():
        return bool(cv2.haveImageReader(path))


def natural_key(name: str) -> Tuple[object, ...]:
    """Sort key for names in natural order of the numbers in them."""
    # img2 before img10; the name itself last, so that the order is total.
    pieces = re.split(r"(\d+)", name.casefold())
    return (*((int(p), "") if p.isdecimal() and p.isascii() else (-1, p) for p in pieces), (-1, name))
