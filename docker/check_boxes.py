"""Hold the boxes that `edgecsp run --json` wrote against the true ones of the demo film; exits with 8 when too few fit.

    python3 docker/check_boxes.py TRUE.jsonl FOUND.jsonl

Only the standard library: docker/check-build runs it with whatever Python is there.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Dict, List, Sequence

ENOUGH = 0.95  # of the true boxes, with the right label and an IoU of 0.5; an x86-64 finds 97.5 %
GATE = 8


def frames(path: str) -> Dict[int, List[Any]]:
    """A JSON Lines file -> the detections of each frame."""
    with open(path, encoding="utf-8") as file:
        return {row["frame"]: row["detections"] for row in map(json.loads, file)}


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two boxes, xyxy."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if min(width, height) <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def recall(true: Dict[int, List[Any]], found: Dict[int, List[Any]]) -> float:
    """The part of the true boxes that were found."""
    wanted = [(frame, box) for frame, boxes in true.items() for box in boxes]
    hits = sum(
        any(each["label"] == box["label"] and overlap(each["xyxy"], box["xyxy"]) >= 0.5 for each in found[frame])
        for frame, box in wanted
    )
    return hits / len(wanted)


def main() -> None:
    """Compare, say, exit."""
    true, found = frames(sys.argv[1]), frames(sys.argv[2])
    if set(true) != set(found):
        sys.exit(f"{sys.argv[2]} has {len(found)} frames; {sys.argv[1]} has {len(true)}")
    share = recall(true, found)
    print(f"{share:.1%} of {sum(map(len, true.values()))} true boxes were found, in {len(true)} frames")
    if share < ENOUGH:
        sys.exit(GATE)


if __name__ == "__main__":
    main()
