"""YOLOv2's and Gaussian YOLOv3's decoders against cell-by-cell oracles in float64."""

from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgecsp.errors import BadModel
from edgecsp.processing import decode
from edgecsp.processing.heads.gaussian_yolo import GaussianYolo
from edgecsp.processing.heads.region import YoloRegion
from support import oracle
from support.effort import examples

Drawn = Tuple[object, np.ndarray, Tuple[int, int], float, list]


@st.composite
def cases(draw: st.DrawFn) -> Drawn:
    h, w = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    classes, n = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    cells = [(draw(st.sampled_from([0.5, 1.0, 4.25])), draw(st.sampled_from([1.0, 3.5]))) for _ in range(n)]
    hw, conf = (h * 8, w * 16), draw(st.sampled_from([0.001, 0.05, 0.25, 0.5]))
    gaussian = draw(st.booleans())
    fields = (9 if gaussian else 5) + classes
    out = draw(arrays.arrays(np.float32, (1, n * fields, h, w), elements=st.floats(-8, 8, width=32)))
    anchors = tuple((a * 16, b * 8) for a, b in cells)
    if gaussian:
        scale = draw(st.sampled_from([1.0, 1.1]))
        rows = oracle.gaussian_yolo(out[0], anchors, classes, hw, conf, scale)
        return GaussianYolo("head0", classes, 16, anchors, scale), out, hw, conf, rows
    return YoloRegion("head0", classes, 16, anchors), out, hw, conf, oracle.region(out[0], cells, classes, hw, conf)


@examples(150)
@given(cases())
def test_boxes_are_the_oracles(case: Drawn) -> None:
    head, out, hw, conf, rows = case
    found = decode.boxes([head], [out], hw, conf)
    edge = [row for row in rows if row[4] < conf + 1e-6]  # float32 may see it on either side
    assert len(rows) - len(edge) <= len(found.scores) <= len(rows) + sum(found.scores < conf + 1e-6)
    ours = sorted(zip(found.class_ids, *found.xyxy.T, found.scores))
    for class_id, x0, y0, x1, y1, score in ours:
        near = [row for row in rows if row[5] == class_id and abs(row[4] - score) < 1e-4]
        assert score < conf + 1e-6 or any(np.allclose(row[:4], (x0, y0, x1, y1), rtol=1e-4, atol=1e-2) for row in near)


def test_values_that_are_no_numbers_are_no_boxes() -> None:
    for head, fields in (
        (YoloRegion("head0", 2, 16, ((8.0, 8.0),)), 7),
        (GaussianYolo("head0", 2, 16, ((8.0, 8.0),)), 11),
    ):
        for value in (np.nan, np.inf, -np.inf, 1e4):
            found = decode.boxes([head], [np.full((1, fields, 2, 2), value, np.float32)], (32, 32), 0.01)
            assert np.isfinite(found.xyxy).all() and np.isfinite(found.scores).all()
        nothing = np.full((1, fields, 2, 2), head.background, np.float32)
        assert len(decode.boxes([head], [nothing], (32, 32), 0.01).scores) == 0
        with pytest.raises(BadModel, match="has 5 channels"):
            decode.boxes([head], [np.zeros((1, 5, 2, 2), np.float32)], (32, 32), 0.01)


@pytest.mark.parametrize("change", [{"classes": 0}, {"stride": 0}, {"anchors_wh": ()}, {"anchors_wh": ((0.0, 1.0),)}])
def test_heads_that_cannot_be(change: dict) -> None:
    fields = {"name": "head0", "classes": 2, "stride": 16, "anchors_wh": ((8.0, 8.0),), **change}
    for kind in (YoloRegion, GaussianYolo):
        with pytest.raises(BadModel):
            kind(**fields)
