"""Images and videos for the demo and the benchmarks."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import List, Tuple

import av
import cv2
import numpy as np

DATA = Path(os.environ.get("EDGECSP_TEST_DATA", "../shared"))


def image_paths() -> List[Path]:
    """The test data's images, else scikit-image's (public domain)."""
    paths = sorted((DATA / "data" / "coco64" / "images").glob("*.jpg"))
    if paths:
        return paths
    try:
        import skimage
    except ImportError:
        raise SystemExit(f"no images: {DATA} is not there; type: pip install scikit-image") from None
    folder = Path(skimage.__file__).parent / "data"
    return [path for path in sorted(folder.iterdir()) if path.stem in ("astronaut", "chelsea", "coffee", "rocket")]


def video(path: Path, paths: List[Path], *, hw: tuple[int, int] = (480, 640), fps: int = 12, hold: int = 6) -> Path:
    """Write a video in H.264 in which each image fills the frame for `hold` frames, slowly zoomed."""
    height, width = hw
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "16", "preset": "veryfast"}
        count = 0
        for source in paths:
            image = cv2.imread(str(source))
            assert image is not None, f"{source} cannot be read"
            for step in range(hold):
                frame = av.VideoFrame.from_ndarray(_zoomed(image, hw, 1 + 0.02 * step), format="bgr24")
                frame.pts, frame.time_base = count, Fraction(1, fps)
                container.mux(stream.encode(frame))
                count += 1
        container.mux(stream.encode(None))
    return path


def texture_video(path: Path, frames: int, seed: int, hw: Tuple[int, int] = (480, 640)) -> None:
    """Write a drifting texture in H.264 with B-frames, a keyframe a second."""
    height, width = hw
    texture = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 4, 3), np.uint8)
    texture = texture.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "g": "30", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            at = (2 * index) % width
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[:, at : at + width]), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _zoomed(image: np.ndarray, hw: tuple[int, int], zoom: float) -> np.ndarray:
    height, width = image.shape[:2]
    scale = max(hw[0] / height, hw[1] / width) * zoom
    centre = np.array([[scale, 0, (hw[1] - width * scale) / 2], [0, scale, (hw[0] - height * scale) / 2]])
    return cv2.warpAffine(image, centre, (hw[1], hw[0]), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
