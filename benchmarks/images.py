"""Images and videos for the demo and the benchmarks."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Iterable, Iterator, List, Tuple

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

    def frames() -> Iterator[np.ndarray]:
        for source in paths:
            image = cv2.imread(str(source))
            assert image is not None, f"{source} cannot be read"
            yield from (_zoomed(image, hw, 1 + 0.02 * step) for step in range(hold))

    path.parent.mkdir(parents=True, exist_ok=True)
    _encode(path, hw, fps, frames(), crf="16")
    return path


def texture_video(path: Path, frames: int, seed: int, hw: Tuple[int, int] = (480, 640)) -> None:
    """Write a drifting texture in H.264 with B-frames, a keyframe a second."""
    height, width = hw
    texture = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 4, 3), np.uint8)
    texture = texture.repeat(8, 0).repeat(8, 1)
    places = ((2 * index) % width for index in range(frames))
    _encode(path, hw, 30, (texture[:, at : at + width] for at in places), g="30", bf="2")


def _encode(path: Path, hw: Tuple[int, int], fps: int, frames: Iterable[np.ndarray], **options: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", **options})
        stream.height, stream.width = hw
        stream.pix_fmt = "yuv420p"
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _zoomed(image: np.ndarray, hw: tuple[int, int], zoom: float) -> np.ndarray:
    height, width = image.shape[:2]
    scale = max(hw[0] / height, hw[1] / width) * zoom
    centre = np.array([[scale, 0, (hw[1] - width * scale) / 2], [0, scale, (hw[0] - height * scale) / 2]])
    return cv2.warpAffine(image, centre, (hw[1], hw[0]), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
