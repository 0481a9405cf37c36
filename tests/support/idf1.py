"""Scores of tracks against the truth: IDF1 (Ristani et al., 2016) and identity switches."""

from __future__ import annotations

from collections import Counter
from typing import Dict, Iterable, Mapping, NamedTuple, Tuple

import numpy as np

from edgecsp.track.assignment import assign


class TrackScore(NamedTuple):
    """IDF1 in 0..1, the number of switches, and of ids."""

    idf1: float
    switches: int
    ids: int


def score(frames: Iterable[Mapping[int, int]], objects: int) -> TrackScore:
    """Score the ids that objects had: of each frame true id -> id; `objects` are the boxes of the truth in all."""
    pairs: Counter[Tuple[int, int]] = Counter()
    last: Dict[int, int] = {}
    switches = 0
    for frame in frames:
        pairs.update(frame.items())
        switches += sum(last.get(true, track_id) != track_id for true, track_id in frame.items())
        last.update(frame)
    true_ids, ids = sorted({true for true, _ in pairs}), sorted({track_id for _, track_id in pairs})
    counts = np.zeros((len(true_ids), len(ids)))
    for (true, track_id), count in pairs.items():
        counts[true_ids.index(true), ids.index(track_id)] = count
    rows, columns = assign(counts)
    tracked = sum(pairs.values())
    return TrackScore(2 * float(counts[rows, columns].sum()) / (objects + tracked), switches, len(ids))
