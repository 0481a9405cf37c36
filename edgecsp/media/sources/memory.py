"""Images that a program has: arrays, PIL images, encoded bytes, paths of images, and lists and iterables of these."""

from __future__ import annotations

import functools
import os
import weakref
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

import numpy as np

from ...errors import SourceError, UsageError
from ...options.choices import MAX_PIXELS
from ...types import Array, Frame
from .base import Source
from .images import decode, read


class ImageSequence(Source):
    """Images of an iterable, each a stream of its own with one frame; those in memory are named image0, image1.

    `to_frame` makes a frame of an image and its name. Iterating raises what it raises.
    """

    def __init__(self, images: Iterable[Any], to_frame: Any) -> None:
        super().__init__("images")
        self._images, self._to_frame = images, to_frame

    @property
    def frames(self) -> Optional[int]:
        """The number of images of a list; None for an iterable that ends where it ends."""
        return len(self._images) if isinstance(self._images, list) else None

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images):
            if self.closed:
                return
            yield self._to_frame(image, f"image{index}")


def kind_of(item: Any) -> str:
    """Return "uri" for text, a path or a camera's number, "iterable" for what is read item by item, else "image"."""
    if isinstance(item, (str, os.PathLike, int, np.integer)) and not isinstance(item, bool):
        return "uri"
    return "iterable" if hasattr(item, "__next__") else "image"


def to_uri(item: Any) -> str:
    """Return the URI of what names a source."""
    return os.fsdecode(item) if isinstance(item, (str, os.PathLike)) else str(item)


def list_images(value: Any) -> Optional[List[Any]]:
    """List the images of a list, a tuple or an array (N, H, W, 3); None for anything that is one image."""
    is_stack = isinstance(value, np.ndarray) and value.ndim == 4
    return list(value) if is_stack or isinstance(value, (list, tuple)) else None


def to_pixels(image: Any, name: str = "image", max_pixels: int = MAX_PIXELS) -> Array:
    """Convert an image in memory to (H, W, 3) uint8 BGR, C-contiguous: an array, a grey one, PIL, encoded bytes.

    Raises `SourceError`.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode(bytes(image), name, max_pixels).image
    if image is None:
        raise SourceError(
            "the image is None, which cv2.imread returns for a file that it cannot read; give the path itself"
        )
    if hasattr(image, "convert"):  # PIL
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    pixels: Array = np.asarray(image)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, 2)
    return np.ascontiguousarray(pixels)


def image_getter(frame: Frame, max_pixels: int = MAX_PIXELS, *, holds: bool = True) -> Callable[[], Array]:
    """Return what gets a frame's image later: from its file, with `holds` from memory, else while the frame lives."""
    if frame.stream.path is not None and frame.stream.kind == "image":
        return functools.partial(_read_again, frame.stream.path, max_pixels)
    return functools.partial(np.asarray, frame.image) if holds else _ImageOfFrame(frame)


def _read_again(path: str, max_pixels: int) -> Array:
    return read(path, max_pixels).image


class _ImageOfFrame:
    """The image of a frame for as long as something else has the frame."""

    def __init__(self, frame: Frame) -> None:
        self._what = f"frame {frame.index} of {frame.stream.name}"
        self._frame: Callable[[], Optional[Frame]] = weakref.ref(frame)

    def __call__(self) -> Array:
        frame = self._frame()
        if frame is None:
            raise UsageError(
                f"the image of {self._what} has gone with its frame; keep the frame, or what you need of it"
            )
        return frame.image

    def __getstate__(self) -> Dict[str, Any]:
        return {"_what": self._what, "_frame": _no_frame}  # a copy in another process has no frame


def _no_frame() -> None:
    return None
