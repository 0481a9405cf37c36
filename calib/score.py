"""How good boxes are: COCO's AP (101 points, every object counts), recall and false alarms at a threshold."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)


class Found(NamedTuple):
    """One picture's boxes: xyxy (N, 4), class ids (N,), scores (N,) (of the truth: ignored)."""

    xyxy: np.ndarray
    class_ids: np.ndarray
    scores: np.ndarray


class Score(NamedTuple):
    """Of a set of pictures: AP and AP50 over the classes, AP50 of each, and what `conf` gives.

    `recall` counts boxes met with IoU 0.5 and the right class at `conf`; `false_alarms` are per picture
    without any object. A class that the truth lacks is NaN.
    """

    ap: float
    ap50: float
    ap50_by_class: np.ndarray
    recall: float
    false_alarms: float


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of every box of `a` (N, 4) with every box of `b` (M, 4): (N, M)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.prod(np.clip(high - low, 0, None), 2)
    areas = [np.prod(x[:, 2:] - x[:, :2], 1) for x in (a, b)]
    return inside / np.maximum(areas[0][:, None] + areas[1][None] - inside, 1e-9)


def _matches(found: Found, truth: Found, threshold: float) -> np.ndarray:
    """Which of the boxes (best first, one class) meet one of the truth's: each of those can be met once."""
    met = np.zeros(len(found.scores), bool)
    ious = overlaps(found.xyxy, truth.xyxy)
    for i in range(len(met)):
        best = int(np.argmax(ious[i])) if ious.shape[1] else -1
        if best >= 0 and ious[i, best] >= threshold:
            met[i] = True
            ious[:, best] = -1
    return met


def _of_class(found: Found, class_id: int) -> Found:
    rows = np.nonzero(found.class_ids == class_id)[0]
    rows = rows[np.argsort(-found.scores[rows], kind="stable")][:100]
    return Found(found.xyxy[rows], found.class_ids[rows], found.scores[rows])


def precision(scores: np.ndarray, met: np.ndarray, objects: int) -> float:
    """COCO's AP of one class at one threshold: the mean of 101 points of the falling curve."""
    hits = np.cumsum(met[np.argsort(-scores, kind="stable")])
    curve = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1] if len(hits) else hits
    at = np.searchsorted(hits / objects, np.linspace(0, 1, 101), side="left")
    return float(np.where(at < len(hits), np.append(curve, 0)[np.minimum(at, len(hits))], 0).mean())


def score(found: Sequence[Found], truth: Sequence[Found], classes: int, conf: float = 0.25) -> Score:
    """The score of one set of pictures, found against truth."""
    table = np.full((classes, len(THRESHOLDS)), np.nan)
    hits = 0
    for c in range(classes):
        pairs = [(_of_class(f, c), _of_class(t, c)) for f, t in zip(found, truth)]
        objects = sum(len(t.scores) for _, t in pairs)
        if not objects:
            continue
        scores = np.concatenate([f.scores for f, _ in pairs])
        for k, threshold in enumerate(THRESHOLDS):
            met = np.concatenate([_matches(f, t, threshold) for f, t in pairs])
            table[c, k] = precision(scores, met, objects)
            if k == 0:
                hits += int((met & (scores >= conf)).sum())
    empty = [int((f.scores >= conf).sum()) for f, t in zip(found, truth) if not len(t.scores)]
    total = sum(len(t.scores) for t in truth)
    return Score(
        float(np.nanmean(table)) if total else np.nan,
        float(np.nanmean(table[:, 0])) if total else np.nan,
        table[:, 0],
        hits / max(1, total),
        float(np.mean(empty)) if empty else 0.0,
    )


def row(s: Score, names: Sequence[str]) -> Dict[str, float]:
    """A score as plain numbers, for a log or a record."""
    parts: List[float] = [s.ap, s.ap50, s.recall, s.false_alarms]
    by_class = {f"ap50_{name}": round(float(v), 4) for name, v in zip(names, s.ap50_by_class)}
    return {**{k: round(v, 4) for k, v in zip(("ap", "ap50", "recall", "false_alarms"), parts)}, **by_class}
