"""A short video of codes: a camera that moves over a table. `python -m calib.video codes.mp4`.

The table is one large scene of the generator's cards; every frame is a view of it, so the boxes of every frame are
known: they are written beside the video, as `edgecsp run --json` writes what it finds.
"""

from __future__ import annotations

import argparse
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Iterator, List, Tuple

import av
import cv2
import numpy as np

from . import CLASSES, TEST_SEEDS
from .scenes import backgrounds, camera, cards, plates, warp
from .scenes.canvas import Scene
from .scenes.dice import Dice
from .scenes.symbols import symbol
from .scenes.warp import Frame, Points

TABLE_HW, FRAME_HW, FPS = (1500, 2400), (480, 640), 20
COLUMNS, ROWS = 5, 3
LEAST_VISIBLE = 0.6  # the share of a symbol that must be in the frame for it to have a box


def table(d: Dice) -> Scene:
    """Cards of every class on a wooden table, a few of them without a code."""
    h, w = TABLE_HW
    scene = Scene(d, Frame(TABLE_HW, w / h))
    wood = backgrounds.wood(d)
    scene.image = cv2.resize(wood, (w, h), interpolation=cv2.INTER_CUBIC)
    order = [i % len(CLASSES) for i in range(COLUMNS * ROWS - 2)] + [-1, -1]
    for place, class_id in enumerate(d.shuffled(order)):
        at = ((place % COLUMNS + d.uniform(0.42, 0.58)) / COLUMNS, (place // COLUMNS + d.uniform(0.42, 0.58)) / ROWS)
        card = plates.lookalike(d) if class_id < 0 else d.choice((cards.label, cards.bare, cards.ticket))(
            d, symbol(d, class_id)
        )  # fmt: skip
        extent = math.hypot(card.w, card.h)
        scene.put(card, 0.11 if class_id >= 0 else 0.15, at, warp.pose(d, extent, d.gauss(0, 0.35), flat=True))
    return scene


def views(seconds: float) -> Iterator[np.ndarray]:
    """Iterate over the maps of the table's pixels to each frame's: a slow figure of eight, leaning as it turns."""
    (table_h, table_w), (h, w) = TABLE_HW, FRAME_HW
    for k in range(round(seconds * FPS)):
        t = 2 * math.pi * k / (seconds * FPS)
        x = table_w * (0.5 + 0.26 * math.sin(t))
        y = table_h * (0.5 + 0.2 * math.sin(2 * t))
        zoom = w / table_w * (1.9 + 0.55 * math.cos(t + 0.6))
        turn, lean = 0.16 * math.sin(t + 1), 0.00022 * np.array([math.cos(t), math.sin(2 * t)])
        c, s = math.cos(turn), math.sin(turn)
        to_middle = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        look = np.array([[zoom * c, -zoom * s, 0], [zoom * s, zoom * c, 0], [lean[0], lean[1], 1]])
        yield np.array([[1, 0, w / 2], [0, 1, h / 2], [0, 0, 1]]) @ look @ to_middle


def visible_box(points: Points, view: np.ndarray) -> List[float] | None:
    """A symbol's box in a frame, x0, y0, x1, y1, or None when too little of it is in there."""
    h, w = FRAME_HW
    moved = warp.apply(view, points)
    low, high = moved.min(0), moved.max(0)
    x0, y0, x1, y1 = np.clip([*low, *high], 0, (w, h, w, h)).tolist()
    if (x1 - x0) * (y1 - y0) < LEAST_VISIBLE * float(np.prod(high - low)):
        return None
    return [round(v, 2) for v in (x0, y0, x1, y1)]


def write_video(path: Path, seconds: float = 12, seed: int = TEST_SEEDS + 10**6 + 3) -> int:
    """Write the video and its boxes (`path` with .jsonl); how many boxes there are."""
    d = Dice(seed)
    laid = table(d)
    symbols: List[Tuple[int, Points]] = [each for layer in laid.layers for each in layer.symbols]
    image, boxes = laid.image, 0
    with av.open(str(path), "w") as container, path.with_suffix(".jsonl").open("w") as labels:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = *FRAME_HW, "yuv420p"
        stream.options = {"crf": "27", "preset": "slow"}
        for k, view in enumerate(views(seconds)):
            warped = cv2.warpPerspective(
                image, view, FRAME_HW[::-1], flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
            )
            frame = av.VideoFrame.from_ndarray(camera.noise(d, warped, 2.0), format="bgr24")
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            container.mux(stream.encode(frame))
            visible = [(i, c, visible_box(points, view)) for i, (c, points) in enumerate(symbols, 1)]
            rows = [
                {"class_id": c, "label": CLASSES[c], "xyxy": box, "track_id": i}
                for i, c, box in visible
                if box is not None
            ]
            labels.write(json.dumps({"frame": k, "detections": rows}) + "\n")
            boxes += len(rows)
        container.mux(stream.encode(None))
    return boxes


def main() -> None:
    """Parse the command line and shoot."""
    p = argparse.ArgumentParser(prog="python -m calib.video", description=__doc__.split("\n")[0])
    p.add_argument("video", type=Path, help="an .mp4 to write; its boxes go beside it")
    p.add_argument("--seconds", type=float, default=12)
    a = p.parse_args()
    print(f"{a.video}: {write_video(a.video, a.seconds)} boxes")


if __name__ == "__main__":
    main()
