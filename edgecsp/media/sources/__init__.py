"""Where frames come from, each by one word: a URI.

    dog.jpg              a picture
    clip.mp4             a video
    photos/              the pictures and videos of a folder, in natural order of their names
    'shots/**/*.png'     what a pattern matches
    0, /dev/video0       a camera of this machine (live)
    rtsp://host/path     a network stream (live); also rtsps, rtmp, udp, rtp, srt, http, https
    https://host/a.jpg   a picture or a video of known length on a web server
    gst:PIPELINE         what a GStreamer pipeline brings
    csi://0              a Jetson's own camera (live)
    -                    one picture, piped to standard input

Extensions decide between picture and video, the content where they say nothing.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

from ...cache.files import suggest_similar
from ...errors import SourceError, UsageError
from .base import Chain, Source, redact, told
from .camera import Camera
from .gstreamer import open_pipeline
from .network import SCHEMES, TIMEOUT_S, open_url
from .paths import check_regular, matching
from .pictures import MAX_PIXELS, Bytes, Pictures, from_stdin, quiet_opencv
from .video import Video

__all__ = [
    "MAX_PIXELS", "Bytes", "Camera", "Chain", "Pictures", "Source", "Video", "is_media", "is_picture", "natural",
    "open", "open_all", "redact", "told",
]  # fmt: skip

# fmt: off
PICTURES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".avif", ".heic", ".heif", ".hif", ".ras", ".sr",
))
VIDEOS = frozenset((
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
    """One URI -> one `Source`, already known to be readable (of a folder or a pattern: to be there).

    `stride` N keeps frames 0, N, 2N of each video or stream; `timeout_s` bounds every wait for a network
    stream, `options` are FFmpeg's for it; an image of more than `max_pixels` is refused by its header. Raises
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
    """URIs -> sources in the given order; pictures that follow each other are one source.

    Anything that is not there is a `SourceError` at once. Of several files, one that cannot be read shows
    only when its turn comes, as a problem of its source (a picture) or as its error (a video).
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
            opened.append(Pictures(list(run), forgive=many or len(run) > 1, max_pixels=max_pixels))
            run.clear()

    try:
        for uri in uris:
            if _is_elsewhere(uri):
                flush()
                opened.append(_elsewhere(uri, stride, timeout_s, options, max_pixels))
                continue
            for path in _files(uri):
                many = many or path != uri
                if is_picture(path):
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


def _is_elsewhere(uri: str) -> bool:
    device = (uri.isascii() and uri.isdigit()) or re.fullmatch(r"/dev/video\d+", uri) is not None
    return uri == "-" or "://" in uri or uri.startswith(("gst:", "csi:")) or device


def _elsewhere(
    uri: str, stride: int, timeout_s: float, options: Optional[Mapping[str, str]], max_pixels: int
) -> Source:
    if uri == "-":
        return from_stdin(max_pixels)
    if uri.startswith(("gst:", "csi:")):
        return open_pipeline(uri, stride=stride, timeout_s=timeout_s)
    if "://" not in uri:
        return Camera(uri, stride=stride)
    scheme = uri.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise SourceError(
            f"{redact(uri)}: no source speaks {scheme!r}; known: {', '.join((*SCHEMES, 'csi', 'gst:PIPELINE'))}"
        )
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
        raise SourceError("the source is an empty word; give a file, a folder, a camera number or a URL")
    raise SourceError(f"there is no {uri}{suggest_similar(uri)}")


def _folder(folder: str) -> List[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {error.strerror}") from error
    # A FIFO or a link to nowhere bears a picture's name: it is told by that name when its turn comes.
    media = [n for n in names if is_media(n) and not os.path.isdir(os.path.join(folder, n))]
    if not media:
        inner = sorted(n for n in names if os.path.isdir(os.path.join(folder, n)))
        hint = f"; for what lies deeper: '{os.path.join(folder, '**', '*.jpg')}'" if inner else ""
        raise SourceError(f"no picture or video in the folder {folder} ({len(names)} entries){hint}")
    return [os.path.join(folder, name) for name in sorted(media, key=natural)]


def _pattern(pattern: str) -> List[str]:
    found = [path for path in matching(pattern) if not os.path.isdir(path)]
    if not found:
        # The part before the first wildcard is what the user may have got wrong.
        root = Path(re.split(r"[*?\[]", pattern, maxsplit=1)[0] + "x").parent
        where = "" if root.is_dir() else f"; there is no folder {root}"
        raise SourceError(f"no file matches {pattern!r}{where}")
    media = [path for path in found if is_media(os.path.basename(path))]
    return sorted(media or found, key=natural)


def is_media(name: str) -> bool:
    """Whether a file's name says that it is a picture or a video."""
    # Dot files are other programs' leftovers (._photo.jpg of macOS, .x.part of ours).
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURES | VIDEOS


def is_picture(path: str) -> bool:
    """Whether a file is a picture: by its extension, by its content where that says nothing."""
    extension = os.path.splitext(path)[1].lower()
    if extension in PICTURES or extension in VIDEOS:
        return extension in PICTURES
    check_regular(path)
    import cv2

    with quiet_opencv():
        return bool(cv2.haveImageReader(path))


def natural(name: str) -> Tuple[object, ...]:
    """What to sort names by so that numbers in them count."""
    # img2 before img10; the name itself last, so that the order is total.
    pieces = re.split(r"(\d+)", name.casefold())
    return (*((int(p), "") if p.isdecimal() and p.isascii() else (-1, p) for p in pieces), (-1, name))
