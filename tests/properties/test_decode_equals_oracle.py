"""decode.boxes against a per-cell oracle in float64: both coordinate kinds, scale_xy, thresholds, wild logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgecsp.processing import decode
from edgecsp.processing.heads.yolo import Yolo
from support import oracle
from support.effort import examples


@dataclass
class Case:
    head: Yolo
    out: np.ndarray
    input_hw: Tuple[int, int]
    conf: float


@st.composite
def cases(draw: st.DrawFn, wild: bool = False) -> Case:
    h, w = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    classes, n = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    anchors = tuple((draw(st.sampled_from([1.0, 10.0, 23.5])), draw(st.sampled_from([2.0, 14.0]))) for _ in range(n))
    new_coords = draw(st.booleans())
    head = Yolo("head0", classes, 8, anchors, draw(st.sampled_from([1.0, 1.05, 2.0])), new_coords)
    ordinary = st.floats(0, 1, width=32) if new_coords else st.floats(-8, 8, width=32)
    extreme = st.sampled_from([-1e4, 1e4, -np.inf, np.inf, np.nan, 0.0, 100.0, -100.0])
    elements = ordinary | extreme if wild else ordinary
    out = draw(arrays.arrays(np.float32, (1, n * (5 + classes), h, w), elements=elements))
    conf = draw(st.sampled_from([0.0, 0.001, 0.25, 0.5, 0.9, 1.0]))
    return Case(head, out, (h * 8, w * 16), conf)


def decoded(case: Case) -> decode.Candidates:
    return decode.boxes([case.head], [case.out], case.input_hw, case.conf)


@examples(200)
@given(cases())
def test_boxes_are_the_oracles(case: Case) -> None:
    head = case.head
    args = (head.anchors_wh, head.classes, case.input_hw)
    rows = {}
    for x0, y0, x1, y1, score, k in oracle.yolo(case.out[0], *args, case.conf - 1e-6, head.scale_xy, head.new_coords):
        rows.setdefault(k, []).append((x0, y0, x1, y1, score))
    found = decoded(case)
    assert found.xyxy.dtype == np.float32 and found.scores.dtype == np.float32 and found.class_ids.dtype == np.int32
    assert found.xyxy.shape == (len(found.scores), 4)
    assert (found.scores > case.conf).all()
    for k in range(head.classes):
        wanted = np.array(sorted(rows.get(k, []), key=lambda r: r[4]), np.float64).reshape(-1, 5)
        mine = found.class_ids == k
        got = np.concatenate((found.xyxy[mine], found.scores[mine, None]), 1).astype(np.float64)
        # A score within rounding of the threshold may fall on either side of it.
        sure = wanted[wanted[:, 4] > case.conf + 1e-6]
        for row in sure:
            assert np.isclose(got, row, rtol=2e-5, atol=1e-4).all(1).any(), row
        for row in got:
            assert np.isclose(wanted, row, rtol=2e-5, atol=1e-4).all(1).any(), row
        assert len(sure) <= len(got) <= len(wanted)


@examples(200)
@given(cases(wild=True))
def test_wild_logits_never_make_a_box_that_is_no_box(case: Case) -> None:
    found = decoded(case)
    assert np.isfinite(found.xyxy).all() and np.isfinite(found.scores).all()
    assert ((found.scores > case.conf) & (found.scores <= 1 + 1e-6)).all() or case.head.new_coords
    assert (found.xyxy[:, 2:] >= found.xyxy[:, :2]).all()


def test_a_threshold_of_one_keeps_nothing_and_of_zero_everything() -> None:
    out = np.full((1, 2 * 7, 3, 4), 3.0, np.float32)
    head = Yolo("head0", 2, 8, ((4.0, 5.0), (6.0, 7.0)))
    assert len(decode.boxes([head], [out], (24, 32), 1.0).scores) == 0
    assert len(decode.boxes([head], [out], (24, 32), 0.0).scores) == 2 * 2 * 3 * 4


def test_two_heads_are_one_list() -> None:
    heads = [Yolo("head0", 1, 8, ((4.0, 5.0),)), Yolo("head1", 1, 16, ((9.0, 9.0),))]
    outputs = [np.full((1, 6, 4, 4), 2.0, np.float32), np.full((1, 6, 2, 2), 2.0, np.float32)]
    found = decode.boxes(heads, outputs, (32, 32), 0.25)
    assert len(found.scores) == 16 + 4
    assert found.xyxy[-1] == pytest.approx(
        np.array([16 + 16 * oracle.sigmoid(2.0)] * 4) + 9 * np.exp(2) / 2 * np.array([-1, -1, 1, 1]), rel=1e-5
    )
