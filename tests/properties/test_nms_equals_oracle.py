"""nms.keep against the O(n^2) oracle: plain IoU and centre distance, ties, classes, empty and huge boxes."""

from __future__ import annotations

from typing import Tuple
from unittest import mock

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgecsp.processing import nms
from edgecsp.processing.decode import Candidates
from support import oracle
from support.effort import examples

HW = (96, 160)


@st.composite
def candidates(draw: st.DrawFn) -> Candidates:
    n = draw(st.integers(0, 24))
    # Quarter pixels and sixteenths of score: arithmetic is exact, and ties and equal boxes are common.
    corner = draw(arrays.arrays(np.int32, (n, 2), elements=st.integers(-400, 640)))
    size = draw(arrays.arrays(np.int32, (n, 2), elements=st.integers(1, 400)))
    scores = draw(arrays.arrays(np.int32, n, elements=st.integers(1, 16)))
    ids = draw(arrays.arrays(np.int32, n, elements=st.integers(0, 2)))
    xyxy = np.concatenate((corner, corner + size), 1).astype(np.float32) / 4
    return Candidates(xyxy, scores.astype(np.float32) / 16, ids)


def judged_apart(found: Candidates, iou: float, beta: float) -> bool:
    """Whether some pair lies so near the threshold that rounding decides."""
    boxes = found.xyxy.tolist()
    sides = (HW[1], HW[0])
    return any(abs(oracle.overlap(a, b, beta, sides) - iou) < 1e-6 for i, a in enumerate(boxes) for b in boxes[i + 1 :])


@examples(150)
@given(
    candidates(),
    st.sampled_from([0.0, 0.05, 0.2, 0.45, 0.7, 1.0]),
    st.sampled_from([0.0, 0.0, 0.6, 1.0]),
    st.booleans(),
    st.sampled_from([(1000, 64), (0, 64), (0, 3), (0, 1), (7, 2)]),
)
def test_keeps_what_the_oracle_keeps(
    found: Candidates, iou: float, beta: float, agnostic: bool, limits: Tuple[int, int]
) -> None:
    """Also where few boxes are many (`_FEW`), and many blocks of them (`_AT_ONCE`): OpenCV's NMS and ours are one."""
    if judged_apart(found, iou, beta):
        return
    with mock.patch.multiple(nms, _FEW=limits[0], _AT_ONCE=limits[1]):
        check(found, iou, beta, agnostic)


def check(found: Candidates, iou: float, beta: float, agnostic: bool) -> None:
    ids = [0] * len(found.scores) if agnostic else found.class_ids.tolist()
    wanted = oracle.nms(found.xyxy.tolist(), found.scores.tolist(), ids, iou, beta=beta, input_hw=HW)
    kept = nms.keep(found, iou, max_det=1000, agnostic=agnostic, beta=beta, input_hw=HW)
    assert kept.tolist() == wanted
    for limit in (1, 3):
        few = nms.keep(found, iou, max_det=limit, agnostic=agnostic, beta=beta, input_hw=HW)
        assert few.tolist() == wanted[:limit]


@examples(60)
@given(candidates(), st.sampled_from([0.0, 0.6]), st.floats(1e3, 1e30))
@example(Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)), 0.0, 1e30)
def test_one_absurdly_large_box_changes_nothing_for_the_others(found: Candidates, beta: float, size: float) -> None:
    """A raw tw of 80 makes a box of 1e35 pixels; the street behind it must still be tidied up."""
    if judged_apart(found, 0.45, beta):
        return
    kept = nms.keep(found, 0.45, max_det=1000, beta=beta, input_hw=HW)
    big = Candidates(
        np.concatenate((found.xyxy, np.array([[-size, -size, size, size]], np.float32))),
        np.append(found.scores, np.float32(0.01)),
        np.append(found.class_ids, np.int32(2)),
    )
    assert nms.keep(big, 0.45, max_det=1000, beta=beta, input_hw=HW).tolist() == [*kept.tolist(), len(found.scores)]


@examples(60)
@given(candidates(), st.sampled_from([0.0, 0.6]))
def test_what_stays_stays_again(found: Candidates, beta: float) -> None:
    rows = nms.keep(found, 0.45, max_det=1000, beta=beta, input_hw=HW)
    again = Candidates(*(column[rows] for column in found))
    assert nms.keep(again, 0.45, max_det=1000, beta=beta, input_hw=HW).tolist() == list(range(len(rows)))


def test_many_boxes_of_one_class_are_as_opencv_has_them() -> None:
    """Thousands, as a conf of 0.001 leaves them: the boxes that stay are OpenCV's, whoever computes them."""
    rng = np.random.default_rng(3)
    for n, spread in ((1500, 40), (3000, 300)):
        corner, size = rng.random((n, 2)) * spread, rng.random((n, 2)) * 60 + 5
        xyxy = np.concatenate((corner, corner + size), 1).astype(np.float32)
        found = Candidates(xyxy, rng.random(n).astype(np.float32), rng.integers(0, 2, n).astype(np.int32))
        for iou in (0.3, 0.45, 0.7):
            kept = nms.keep(found, iou, max_det=n).tolist()
            with mock.patch.object(nms, "_FEW", n):
                assert nms.keep(found, iou, max_det=n).tolist() == kept
            assert nms.keep(found, iou, max_det=100).tolist() == kept[:100]


def test_distance_is_measured_in_sides_of_the_input() -> None:
    """darknet's boxes are relative: on a wide input the same pixels are a shorter way across than down."""
    boxes = np.array([[10, 10, 30, 50], [10, 18, 30, 58]], np.float32)
    found = Candidates(boxes, np.array([0.5, 0.9], np.float32), np.zeros(2, np.int32))
    overlaps = [oracle.overlap(*boxes.tolist(), 0.6, sides) for sides in ((640, 64), (64, 640))]
    middle = sum(overlaps) / 2
    assert overlaps[0] < middle - 0.01 < middle + 0.01 < overlaps[1]
    assert nms.keep(found, middle, beta=0.6, input_hw=(64, 640)).tolist() == [1, 0]
    assert nms.keep(found, middle, beta=0.6, input_hw=(640, 64)).tolist() == [1]


def test_a_box_that_begins_left_of_the_picture_does_not_meet_another_class() -> None:
    boxes = np.array([[200, 200, 400, 400], [-200, -200, 200, 200]], np.float32)
    found = Candidates(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 1], np.int32))
    assert nms.keep(found, 0.2).tolist() == [0, 1]
