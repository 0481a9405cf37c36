"""Which class is taken for which, and the pictures that show it."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence, Tuple

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecsp.bench import accuracy
from edgecsp.bench.accuracy import Boxes, Data, LabelledImage, Predictions
from edgecsp.bench.accuracy.confusion import IGNORED, NOTHING, match_boxes
from edgecsp.types import Detections
from support import media
from support.effort import EFFORT

NAMES = ("cat", "dog", "cow")
Row = Tuple[int, float, float, float, float]


def boxes(*rows: Row, crowd: Sequence[int] = ()) -> Boxes:
    made = Boxes.from_rows(rows)
    made.crowd[list(crowd)] = True
    return made


def detections(*rows: Tuple[int, float, float, float, float, float]) -> Detections:
    """(class, score, left, top, width, height)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    xyxy = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:]], 1)
    return Detections(xyxy, table[:, 1], table[:, 0].astype(np.int32), NAMES)


def held(*pairs: Tuple[Boxes, Detections], folder: Path = Path()) -> Predictions:
    found = Predictions(Data("drawn", "", NAMES, (1, 2, 3), ()))
    for i, (truth, seen) in enumerate(pairs):
        found.add(LabelledImage(str(folder / f"{i}.png"), i, truth, (120, 160)), seen)
    return found


TRUTH = boxes((0, 0, 0, 40, 40), (1, 60, 0, 40, 40), (2, 100, 60, 40, 40), (1, 0, 60, 50, 50), crowd=[3])
SEEN = detections(
    (0, 0.9, 2, 0, 40, 40),  # the cat
    (1, 0.8, 0, 0, 40, 40),  # on the cat, too, and better placed: it is found as what it is, so this one is nothing's
    (0, 0.7, 60, 0, 40, 40),  # the dog, taken for a cat
    (1, 0.6, 10, 70, 10, 10),  # one of the many dogs
    (2, 0.5, 10, 70, 10, 10),  # no dog there
    (2, 0.2, 100, 60, 40, 40),  # the cow, below what is shown
)


def test_matrix() -> None:
    counted = accuracy.count_confusions(held((TRUTH, SEEN)), 0.25)
    assert counted.matrix.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 1, 0]]
    assert counted.labels == (*NAMES, "background")
    assert counted.mistakes() == [
        ("dog", "cat", 1), ("cow", "background", 1), ("background", "dog", 1), ("background", "cow", 1),
    ]  # fmt: skip
    assert accuracy.count_confusions(held((TRUTH, SEEN)), 0.1).matrix[2].tolist() == [0, 0, 1, 0]


def test_matches() -> None:
    match = match_boxes(TRUTH, SEEN)
    assert match.of_objects.tolist() == [0, 2, 5, IGNORED]
    assert match.of_detections.tolist() == [0, NOTHING, 1, IGNORED, NOTHING, 2]
    assert match_boxes(boxes(), SEEN).of_detections.tolist() == [NOTHING] * 6
    assert match_boxes(TRUTH, detections()).of_objects.tolist() == [NOTHING] * 3 + [IGNORED]


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    both = w * h
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@settings(max_examples=60 * EFFORT)
@given(seed=st.integers(0, 1 << 32), n=st.integers(0, 8), m=st.integers(0, 10))
def test_nobody_is_counted_twice_and_nobody_is_lost(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    rows: List[Row] = [(int(rng.integers(3)), *map(float, rng.integers(0, 40, 2)), 40.0, 40.0) for _ in range(n)]
    truth = boxes(*rows, crowd=np.nonzero(rng.random(n) < 0.2)[0].tolist())
    scores = sorted(rng.random(m).tolist(), reverse=True)
    seen = detections(*((int(rng.integers(3)), s, *map(float, rng.integers(0, 40, 2)), 40.0, 40.0) for s in scores))
    match = match_boxes(truth, seen)
    for i, j in enumerate(match.of_objects.tolist()):
        assert (j == IGNORED) == bool(truth.crowd[i])
        if j >= 0:
            assert match.of_detections[j] == i and overlap(truth.xyxy[i], seen.xyxy[j]) >= 0.5 - 1e-6
    for j, i in enumerate(match.of_detections.tolist()):
        assert i < 0 or match.of_objects[i] == j
    # No pair that could be is left.
    for i in np.nonzero(match.of_objects == NOTHING)[0]:
        for j in np.nonzero(match.of_detections == NOTHING)[0]:
            assert overlap(truth.xyxy[i], seen.xyxy[j]) < 0.5 + 1e-6
    matrix = accuracy.count_confusions(held((truth, seen)), 0.0).matrix
    assert matrix[:3].sum(1).tolist() == np.bincount(truth.class_ids[~truth.crowd], minlength=3).tolist()
    counted = seen.class_ids[match.of_detections != IGNORED]
    assert matrix[:, :3].sum(0).tolist() == np.bincount(counted, minlength=3).tolist()


def test_the_worst_are_drawn_side_by_side(tmp_path: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), media.scene(i))
    good = boxes((0, 10, 10, 50, 50)), detections((0, 0.9, 10, 10, 50, 50))
    false = boxes(), detections((1, 0.4, 10, 10, 50, 50))
    found = held(good, (TRUTH, SEEN), false, folder=tmp_path)
    bad = accuracy.find_worst(found, 0.25, 20)
    assert [Path(each.image.path).name for each in bad] == ["1.png", "2.png"]  # the good one is not among them
    assert (bad[0].missed, bad[0].confused, bad[0].false) == (1, 1, 2)
    assert abs(bad[0].cost - (1 + 1 + 0.8 + 0.5)) < 1e-6 and abs(bad[1].cost - 0.4) < 1e-6
    assert len(accuracy.find_worst(found, 0.25, 1)) == 1 and not accuracy.find_worst(found, 0.95, 0)
    files = accuracy.save(bad, tmp_path / "out", NAMES)
    assert [file.name for file in files] == ["1-1.jpg", "2-2.jpg"]
    image = cv2.imread(str(files[0]))
    assert image.shape[1] >= 2 * 160 and image.shape[0] > 120
    # The left half shows the truth's boxes alone, the right one what was found: the cow's box is on the left.
    top = image.shape[0] - 120
    left, right = image[top:, :160].astype(int), image[top:, -160:].astype(int)
    plain = cv2.imread(str(tmp_path / "1.png")).astype(int)
    edge = np.s_[70:95, 139:141]
    assert np.abs(left[edge] - plain[edge]).max() > 60 > np.abs(right[edge] - plain[edge]).max()
