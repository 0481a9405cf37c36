"""A real video made of real images, for the demo and the benchmarks."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import List

import av
import cv2
import numpy as np

DATA = Path(os.environ.get("EDGECSP_TEST_DATA", "../shared"))


def pictures() -> List[Path]:
    """The test data's images, else scikit-image's (public domain)."""
    found = sorted((DATA / "data" / "coco64" / "images").glob("*.jpg"))
    if found:
        return found
    try:
        import skimage
    except ImportError:
        raise SystemExit(f"no images: {DATA} is not there; type: pip install scikit-image") from None
    folder = Path(skimage.__file__).parent / "data"
    return [path for path in sorted(folder.iterdir()) if path.stem in ("astronaut", "chelsea", "coffee", "rocket")]


def video(path: Path, paths: List[Path], *, hw: tuple[int, int] = (480, 640), fps: int = 12, hold: int = 6) -> Path:
    """Each image fills the frame for `hold` frames, slowly zoomed, as H.264."""
    height, width = hw
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "16", "preset": "veryfast"}
        count = 0
        for source in paths:
            picture = cv2.imread(str(source))
            assert picture is not None, f"{source} cannot be read"
            for step in range(hold):
                frame = av.VideoFrame.from_ndarray(_zoomed(picture, hw, 1 + 0.02 * step), format="bgr24")
                frame.pts, frame.time_base = count, Fraction(1, fps)
                container.mux(stream.encode(frame))
                count += 1
        container.mux(stream.encode(None))
    return path


def _zoomed(picture: np.ndarray, hw: tuple[int, int], zoom: float) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = max(hw[0] / height, hw[1] / width) * zoom
    centre = np.array([[scale, 0, (hw[1] - width * scale) / 2], [0, scale, (hw[0] - height * scale) / 2]])
    return cv2.warpAffine(picture, centre, (hw[1], hw[0]), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
