"""Pelee's heads: default boxes and decoding against caffe's formulas, box by box."""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np
import pytest

from edgecsp import pipeline, zoo
from edgecsp.errors import BadModel, UsageError
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from edgecsp.processing.heads.ssd import Ssd


def caffe_priors(size: int, low: float, high: float) -> List[Tuple[float, float]]:
    """caffe's prior_box_layer.cpp with aspect_ratio 2 and 3 and flip: min_size, sqrt(min * max), then each ratio."""
    least, most = size * low / 100.0, size * high / 100.0
    sides = [(least, least), (math.sqrt(least * most),) * 2]
    roots = [math.sqrt(ratio) for ratio in (2.0, 1 / 2.0, 3.0, 1 / 3.0)]
    return [*sides, *((least * root, least / root) for root in roots)]


def test_the_default_boxes_are_those_of_the_authors_script() -> None:
    """train_coco.py: 15 to 90 percent in steps of 18, and 7 to 15 percent in front."""
    starts = [7, *range(15, 91, 18)]
    ends = [15, *(start + 18 for start in range(15, 91, 18))]
    heads = zoo.get("pelee").priors
    assert len(heads) == 6
    for head, low, high in zip(heads, starts, ends):
        assert head == tuple(pytest.approx(pair) for pair in caffe_priors(304, low, high))


def test_a_head_is_decoded_as_caffe_does() -> None:
    priors, hw, grid = caffe_priors(96, 20, 40), (96, 128), (3, 5)
    head = Ssd("h", 3, 26, tuple(priors))
    out = np.random.default_rng(0).normal(0, 2, (1, 6 * 8, *grid)).astype(np.float32)
    found = head.decode(out, hw, 0.3)
    wanted = []
    for prior, (pw, ph) in enumerate(priors):
        for row in range(grid[0]):
            for column in range(grid[1]):
                dx, dy, dw, dh, *logits = (float(out[0, prior * 8 + field, row, column]) for field in range(8))
                total = sum(math.exp(logit) for logit in logits)
                x = (column + 0.5) * hw[1] / grid[1] + 0.1 * dx * pw
                y = (row + 0.5) * hw[0] / grid[0] + 0.1 * dy * ph
                w, h = math.exp(0.2 * dw) * pw, math.exp(0.2 * dh) * ph
                for class_id, logit in enumerate(logits[1:]):
                    if math.exp(logit) / total > 0.3:
                        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                        wanted.append((*box, math.exp(logit) / total, class_id))
    rows = np.column_stack((found.xyxy, found.scores, found.class_ids))
    assert len(wanted) > 50 and len(rows) == len(wanted)
    order = [np.lexsort(np.round(each, 3).T) for each in (rows, np.array(wanted))]
    assert np.allclose(rows[order[0]], np.array(wanted)[order[1]], atol=1e-3)


def test_a_map_of_other_channels_and_a_head_without_boxes() -> None:
    with pytest.raises(BadModel, match="47 channels; 6 default boxes of 3 classes make 48"):
        Ssd("h", 3, 26, tuple(caffe_priors(96, 20, 40))).decode(np.zeros((1, 47, 3, 5), np.float32), (96, 96), 0.5)
    with pytest.raises(BadModel, match="default boxes"):
        Ssd("h", 3, 26, ())
    with pytest.raises(BadModel, match="invalid size"):
        Ssd("h", 3, 26, ((4.0, 0.0),))


def test_values_that_overflow_are_no_boxes() -> None:
    out = np.full((1, 8, 1, 1), np.inf, np.float32)
    assert not len(Ssd("h", 3, 26, ((4.0, 4.0),)).decode(out, (96, 96), 0.0).scores)


def test_default_boxes_grow_with_the_input() -> None:
    wide = zoo.net("pelee", (304, 608)).heads[0][1]
    assert wide.priors_wh[0] == pytest.approx((2 * 21.28, 21.28)) and wide.stride == 16


def test_it_runs_and_finds_its_own_labels() -> None:
    model = zoo.model("pelee", RandomWeights(1), labels=("a", "b"))
    with pipeline.load(model, "ort", conf=0.2) as detector:
        found = detector(np.full((120, 200, 3), 90, np.uint8))
    assert len(found) and {row.label for row in found} <= {"a", "b"}
    assert (found.xyxy >= 0).all() and (found.xyxy[:, 2] <= 200).all()


def test_an_image_size_is_chosen_when_the_model_is_built() -> None:
    """Its default boxes are of one input's size."""
    model = zoo.model("pelee", RandomWeights(1), (288, 304), ("a",))
    assert model.input.hw == (288, 304) and not model.heads[0].is_resizable
    with pytest.raises(UsageError, match="304x304: its size is fixed"):
        onnx_model.reshape(model, hw=(304, 304))
