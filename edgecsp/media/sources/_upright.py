"""Convert PyAV frames to upright BGR images with correct colours."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

import numpy as np

from ...types import Array


class ToBgr:
    """PyAV frame -> (H, W, 3) uint8 BGR, upright, C-contiguous; None when swscale refuses."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # reused: it caches its tables between frames
        self._upright = _Upright()
        self.is_sideways = False  # whether the last image was rotated by 90 degrees

    def __call__(self, frame: Any) -> Optional[Array]:
        import av

        try:
            bgr = self._reformatter.reformat(frame, format="bgr24", **_colours(frame)).to_ndarray()
        except (av.error.FFmpegError, ValueError):
            return None
        upright_image = self._upright(bgr, frame)
        self.is_sideways = abs(upright_image.strides[1]) > abs(upright_image.strides[0])
        return np.ascontiguousarray(upright_image)


class _Upright:
    """Rotates images by their frames' display matrix, which is read only when the rotation changes.

    Reading it for every frame would waste memory: PyAV's frame and its side data form a reference cycle, which lives
    until garbage collection; at 4K that may be a gigabyte.
    """

    def __init__(self) -> None:
        self._rotation: Any = None
        self._transform: Callable[[Array], Array] = np.asarray
        self._reference_frame: Any = None

    def __call__(self, image: Array, frame: Any) -> Array:
        rotation = getattr(frame, "rotation", 0)  # missing in PyAV 12: there the first frame decides
        if rotation != self._rotation:
            self._rotation, self._transform = rotation, _turn(frame, rotation)
            # Referenced, or garbage collection would free its buffer at a random time: a decoder that conceals damage
            # shows old content of a reused buffer, so pixels would differ between runs.
            self._reference_frame = frame
        return self._transform(image)


def _turn(frame: Any, rotation: float) -> Callable[[Array], Array]:
    try:
        side_data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 fails on newer kinds of side data, such as the EXIF of MJPEG
        return lambda image: np.rot90(image, round(rotation / 90))
    if side_data is None:
        return np.asarray
    matrix = bytes(side_data)
    return lambda image: apply_matrix(image, matrix)


def _colours(frame: Any) -> Dict[str, Any]:
    name = frame.format.name
    if not name.startswith(("yuv", "nv", "p0")):
        return {}
    full = int(frame.color_range) == 2 or name.startswith("yuvj")
    # 1 is BT.709, 9 and 10 BT.2020; untagged video is treated as BT.601, as in FFmpeg and OpenCV.
    source = {1: "itu709", 9: "bt2020", 10: "bt2020"}.get(int(frame.colorspace), "itu601")
    names = _colourspaces()
    source = source if source.upper() in names else "itu709"
    # The destination has no effect for RGB, but PyAV 12 ignores the source unless they differ.
    return {
        "src_colorspace": source,
        "dst_colorspace": "itu709" if source == "itu601" else "itu601",
        "src_color_range": 2 if full else 1,
        "dst_color_range": 2,
    }


def _colourspaces() -> Any:
    from av.video.reformatter import Colorspace

    return [item.name for item in Colorspace]


def apply_matrix(image: Array, matrix: bytes) -> Array:
    """Rotate and mirror an image by a display matrix (nine int32: a b u c d v x y w; quarter turns only)."""
    a, b, _, c, d = np.frombuffer(matrix[:20], "<i4").tolist()
    across, down = a, d
    if abs(b) > abs(a):
        image = image.transpose(1, 0, 2)
        across, down = c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
