"""Videos of boxes whose objects are known, for trackers: wandering objects, and the demo video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import numpy as np

DEMO = Path(__file__).with_name("codes.jsonl")
DEMO_FPS = 20
AWAY_S = 2.0  # an object that was away for longer is another one: a tracker looks at no image


class SceneFrame(NamedTuple):
    """One frame: its time, the true ids (N,) and boxes (N, 4) xyxy, the rows that a detector sees, its size."""

    pts_s: float
    ids: np.ndarray
    xyxy: np.ndarray
    visible: np.ndarray
    hw: Tuple[int, int]


def wander(
    count: int = 20,
    fps: float = 10,
    *,
    seconds: float = 20,
    noise: float = 0.02,
    unseen: float = 0.0,
    hidden_s: float = 0.0,
    shake: float = 0.0,
    dropped: float = 0.0,
    seed: int = 0,
) -> List[SceneFrame]:
    """Objects of 30 to 90 pixels that wander over 1280x720, cross, and turn at its edges, with noise in their sides.

    `unseen`: the share of boxes that are missing; `hidden_s`: seconds for which each object is hidden once; `shake`:
    the deviation of the camera, in pixels; `dropped`: the share of frames that are missing.
    """
    rng = np.random.default_rng(seed)
    hw = (720, 1280)
    limit = np.array(hw[::-1])
    place, speed = rng.uniform(100, limit - 100, (count, 2)), rng.normal(0, 36, (count, 2))
    wh = rng.uniform(30, 90, (count, 2))
    hidden_at = rng.uniform(2, max(2.0, seconds - 2), count) if hidden_s else np.full(count, np.inf)
    frames = []
    for k in range(round(seconds * fps)):
        speed += rng.normal(0, 12, (count, 2)) / fps**0.5
        place += speed / fps
        speed = np.where(place < 0, np.abs(speed), np.where(place > limit, -np.abs(speed), speed))
        is_visible = (rng.random(count) >= unseen) & ~((hidden_at <= k / fps) & (k / fps < hidden_at + hidden_s))
        moved = place + rng.normal(0, 1, 2) * shake
        error = rng.normal(0, noise, (count, 4)) * np.sqrt(wh.prod(1))[:, None]
        xyxy = np.concatenate((moved - wh / 2, moved + wh / 2), 1) + error
        if rng.random() >= dropped:
            boxes, visible = xyxy.astype(np.float32), np.flatnonzero(is_visible)
            frames.append(SceneFrame(k / fps, np.arange(count), boxes, visible, hw))
    return frames


def demo(stride: int = 1, *, dropped: float = 0.0, shake: float = 0.0, seed: int = 0) -> Iterator[SceneFrame]:
    """Iterate over the true boxes of codes.mp4: a camera over a table, objects leave and come back."""
    rng = np.random.default_rng(seed)
    last: Dict[int, int] = {}
    visits: Dict[int, int] = {}
    for text in DEMO.read_text("utf-8").splitlines():
        row = json.loads(text)
        ids = []
        for each in row["detections"]:
            i = each["track_id"]
            visits[i] = visits.get(i, 0) + (row["frame"] - last.get(i, row["frame"]) > AWAY_S * DEMO_FPS)
            last[i] = row["frame"]
            ids.append(i + 100 * visits[i])
        moved = np.tile(rng.normal(0, 1, 2) * shake, 2)
        if row["frame"] % stride == 0 and rng.random() >= dropped:
            xyxy = np.array([each["xyxy"] for each in row["detections"]], np.float32).reshape(-1, 4) + moved
            yield SceneFrame(row["frame"] / DEMO_FPS, np.array(ids, int), xyxy, np.arange(len(ids)), (480, 640))
