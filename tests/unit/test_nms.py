"""Suppression on boxes one can draw on paper."""

from __future__ import annotations

import numpy as np
import pytest

from edgecsp.processing import nms
from edgecsp.processing.decode import Candidates


def found(*rows: tuple) -> Candidates:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return Candidates(boxes, np.array([r[1] for r in rows], np.float32), np.array([r[2] for r in rows], np.int32))


A, B, FAR = (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 60, 60)


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_the_better_of_two_stays_and_order_is_by_score(beta: float) -> None:
    rows = found((B, 0.5, 0), (FAR, 0.7, 0), (A, 0.9, 0))
    assert nms.keep(rows, 0.45, beta=beta).tolist() == [2, 1]
    assert nms.keep(rows, 0.45, beta=beta, max_det=1).tolist() == [2]


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_classes_do_not_meet_unless_asked(beta: float) -> None:
    rows = found((A, 0.9, 0), (B, 0.8, 1))
    assert nms.keep(rows, 0.45, beta=beta).tolist() == [0, 1]
    assert nms.keep(rows, 0.45, beta=beta, agnostic=True).tolist() == [0]


def test_an_overlap_at_the_threshold_stays() -> None:
    rows = found((A, 0.9, 0), ((0, 0, 10, 5), 0.8, 0))  # IoU exactly one half
    assert nms.keep(rows, 0.5).tolist() == [0, 1] and nms.keep(rows, 0.49).tolist() == [0]


def test_what_is_suppressed_suppresses_nothing() -> None:
    chain = found(((0, 0, 10, 10), 0.9, 0), ((4, 0, 14, 10), 0.8, 0), ((8, 0, 18, 10), 0.7, 0))
    assert nms.keep(chain, 0.4).tolist() == [0, 2]


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_equal_scores_stay_in_their_order(beta: float) -> None:
    rows = found((A, 0.5, 0), (A, 0.5, 0), (FAR, 0.5, 0), (FAR, 0.5, 1))
    assert nms.keep(rows, 0.45, beta=beta).tolist() == [0, 2, 3]


def test_distance_spares_boxes_with_other_centres() -> None:
    beside = found((A, 0.9, 0), ((3, 0, 13, 10), 0.8, 0))  # IoU 7 / 13
    assert nms.keep(beside, 0.45).tolist() == [0]
    assert nms.keep(beside, 0.45, beta=0.6).tolist() == [0, 1]


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_nothing_in_nothing_out(beta: float) -> None:
    kept = nms.keep(found(), 0.45, beta=beta)
    assert kept.dtype == np.int64 and len(kept) == 0


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_empty_boxes_are_no_trouble(beta: float) -> None:
    rows = found(((5, 5, 5, 5), 0.9, 0), (A, 0.8, 0), ((3, 3, 3, 3), 0.7, 1))
    assert nms.keep(rows, 0.45, beta=beta).tolist() == [0, 1, 2]
