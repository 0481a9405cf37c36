"""supervision's ByteTrack on the boxes that `benchmarks.track` gives, and motmetrics' scores of both.

Run by another Python, which has supervision and motmetrics: JSON on stdin, JSON on stdout. Imports nothing of edgecsp.
"""

from __future__ import annotations

import json
import sys
import warnings
from functools import partial
from importlib import import_module
from typing import Any, Dict, List

import numpy as np


def follow(scene: Dict[str, Any], conf: float, lost_s: float) -> List[List[List[float]]]:
    """Track a scene's boxes: rows of id and box for each frame."""
    supervision = import_module("supervision")

    # supervision's buffer is in frames of 30 fps
    tracker = supervision.ByteTrack(
        track_activation_threshold=conf, lost_track_buffer=round(30 * lost_s), frame_rate=max(1, round(scene["fps"]))
    )
    frames = []
    for frame in scene["frames"]:
        rows = np.array(frame["boxes"], float).reshape(-1, 6)
        if len(rows):
            boxes = supervision.Detections(rows[:, :4], confidence=rows[:, 4], class_id=rows[:, 5].astype(int))
        else:
            boxes = supervision.Detections.empty()
            boxes.confidence, boxes.class_id = np.zeros(0), np.zeros(0, int)
        tracks = tracker.update_with_detections(boxes)
        ids = np.zeros(0) if tracks.tracker_id is None else tracks.tracker_id
        frames.append([[int(i), *box] for i, box in zip(ids, tracks.xyxy.tolist())])
    return frames


def score(scene: Dict[str, Any], frames: List[List[List[float]]]) -> Dict[str, float]:
    """Score tracks by motmetrics: a box is an object's at an IoU of a half."""
    motmetrics = import_module("motmetrics")

    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame, tracks in zip(scene["frames"], frames):
        truth, ours = (np.array(rows, float).reshape(-1, 5) for rows in (frame["truth"], tracks))
        xywh = [np.concatenate((rows[:, 1:3], rows[:, 3:] - rows[:, 1:3]), 1) for rows in (truth, ours)]
        distances = motmetrics.distances.iou_matrix(*xywh, max_iou=0.5)
        accumulator.update(truth[:, 0].astype(int), ours[:, 0].astype(int), distances)
    summary = motmetrics.metrics.create().compute(accumulator, metrics=["idf1", "num_switches", "mota"])
    return {name: float(summary[name].iloc[0]) for name in ("idf1", "num_switches", "mota")}


def main() -> None:
    """Read scenes, answer with the scores of both."""
    warnings.simplefilter("ignore")
    if not hasattr(np, "asfarray"):  # motmetrics 1.4 wants it of numpy 2
        setattr(np, "asfarray", partial(np.asarray, dtype=float))  # noqa: B010 - it has no such attribute
    motmetrics, supervision = import_module("motmetrics"), import_module("supervision")

    request = json.load(sys.stdin)
    scores = []
    for scene in request["scenes"]:
        theirs = follow(scene, request["conf"], request["lost_s"])
        ours = [frame["tracks"] for frame in scene["frames"]]
        scores.append({"ours": score(scene, ours), "theirs": score(scene, theirs)})
    versions = {"supervision": supervision.__version__, "motmetrics": motmetrics.__version__}
    json.dump({"scores": scores, "versions": versions}, sys.stdout)


if __name__ == "__main__":
    main()
