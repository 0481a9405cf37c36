"""Frames, where they come from, and their place in the network's input."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Callable, Mapping, Optional, Tuple

import numpy as np

from ..system.deprecation import RenamedAttribute

Array = np.ndarray


@dataclass(frozen=True)
class Stream:
    """The stream that frames come from.

    `name` is what results are filed under: a path, or a URL without its credentials. `kind` is "image" (one image),
    "video" (a file: every frame counts) or "live" (a camera or network stream: the newest frame alone counts).
    `frames` is their expected number, None when unknown; `pixel_aspect` a pixel's width by height if not square.
    `path` is the local file that is read, None for anything else.
    """

    name: str
    kind: str = "image"
    fps: Optional[float] = None
    frames: Optional[int] = None
    pixel_aspect: Optional[Fraction] = None
    path: Optional[str] = None


@dataclass(frozen=True)
class Frame:
    """One image: (H, W, 3) uint8 BGR (OpenCV's order), C-contiguous, upright.

    `index` counts from 0 within its stream, in frames of the stream (a stride leaves gaps).
    `pts_s` is the presentation time in seconds, None for a still image.
    """

    image: Array
    stream: Stream = field(default=Stream("image"))
    index: int = 0
    pts_s: Optional[float] = None

    @property
    def hw(self) -> Tuple[int, int]:
        """Height and width in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])


@dataclass(frozen=True)
class Origin:
    """The image that a result is of: a `Frame` that may have let its image go.

    `get_image` returns the image, (H, W, 3) uint8 BGR, or raises an `EdgecspError`; `speed` is milliseconds a stage.
    """

    stream: Stream
    index: int
    pts_s: Optional[float]
    hw: Tuple[int, int]
    get_image: Callable[[], Array] = field(repr=False)
    speed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Geometry:
    """The place of an image in the network's input: network_xy = image_xy * scale_xy + offset_xy.

    Kept from the forward step, never worked out a second time: the inverse is exact by construction.

    >>> half = Geometry(scale_xy=(0.5, 0.5), offset_xy=(0, 20), image_hw=(240, 320))
    >>> half.to_network(np.array([(0, 0, 100, 40)])).tolist(), half.to_image(np.array([(0, 20, 50, 40)])).tolist()
    ([[0.0, 20.0, 50.0, 40.0]], [[0.0, 0.0, 100.0, 40.0]])
    """

    scale_xy: Tuple[float, float]
    offset_xy: Tuple[float, float]
    image_hw: Tuple[int, int]
    picture_hw = RenamedAttribute("image_hw", remove_in="0.3")
    to_picture = RenamedAttribute("to_image", remove_in="0.3")

    def to_image(self, xyxy: Array) -> Array:
        """Boxes (N, 4) in network pixels -> (N, 4) float32 image pixels, clipped to the image."""
        scale = np.array(self.scale_xy * 2, np.float32)
        offset = np.array(self.offset_xy * 2, np.float32)
        height, width = self.image_hw
        boxes: Array = (np.asarray(xyxy, np.float32) - offset) / scale
        limit = np.array((width, height, width, height), np.float32)
        clipped: Array = np.clip(boxes, np.float32(0), limit)
        return clipped

    def to_network(self, xyxy: Array) -> Array:
        """Boxes (N, 4) in image pixels -> (N, 4) float32 network pixels."""
        scale = np.array(self.scale_xy * 2, np.float32)
        offset = np.array(self.offset_xy * 2, np.float32)
        boxes: Array = np.asarray(xyxy, np.float32) * scale + offset
        return boxes
