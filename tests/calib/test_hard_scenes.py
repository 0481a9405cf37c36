"""Hard scenes: shares of Data Matrix and of nothing, negatives without a code; and the scenes that must stay."""

from __future__ import annotations

import base64
import importlib.util
import json

import cv2
import numpy as np
import pytest

pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra calib)")

import zxingcpp

from calib import CLASSES, HARD_SEEDS, LOOKALIKE_SEEDS, TEST_SEEDS, VAL_SEEDS
from calib.scenes import hard, is_hard, negatives, scene
from calib.scenes.dice import Dice
from calib.scenes.symbols import DATAMATRIX
from support.repository import REPO

FROZEN = REPO / "tests" / "data" / "test_scenes.json"
"""Test scenes as they were when the bundled model was measured: 16x16 grey levels, boxes, class ids."""


@pytest.fixture(scope="module")
def many():
    return [scene(HARD_SEEDS + i, 160) for i in range(300)]


def test_the_test_scenes_are_those_that_published_figures_are_from():
    """A changed draw moves everything after it, far beyond what another OpenCV's rounding does."""
    if importlib.util.find_spec("skimage") is None or not hasattr(cv2, "FontFace"):
        pytest.skip("the scenes were recorded with scikit-image's pictures and OpenCV 5's fonts")
    for row in json.loads(FROZEN.read_text()):
        image, boxes, ids = scene(row["seed"], row["side"], row["natural"])
        assert ids.tolist() == row["ids"] and list(image.shape[:2]) == row["hw"]
        assert np.abs(boxes - np.array(row["boxes"]).reshape(-1, 4)).max(initial=0) < 0.2
        was = np.frombuffer(base64.b64decode(row["grey"]), np.uint8).reshape(16, 16).astype(int)
        off = np.abs(thumbnail(image).astype(int) - was)
        assert off.mean() < 0.5 and off.max() <= 6, row["seed"]


def thumbnail(image):
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (16, 16), interpolation=cv2.INTER_AREA)


def test_seeds_say_which_scenes_are_hard():
    half = (VAL_SEEDS + TEST_SEEDS) // 2
    easy = (0, HARD_SEEDS - 1, VAL_SEEDS, half - 1, TEST_SEEDS, LOOKALIKE_SEEDS - 1)
    assert not any(map(is_hard, easy))
    assert all(map(is_hard, (HARD_SEEDS, VAL_SEEDS - 1, half, TEST_SEEDS - 1, LOOKALIKE_SEEDS)))


def test_a_third_of_the_hard_scenes_hold_a_data_matrix_and_as_many_no_code(many):
    holds = np.mean([DATAMATRIX in ids for _, _, ids in many])
    empty = np.mean([len(ids) == 0 for _, _, ids in many])
    assert 0.35 < holds < 0.6 and 0.33 < empty < 0.55, (holds, empty)
    counts = np.bincount(np.concatenate([ids for _, _, ids in many]), minlength=len(CLASSES)) / len(many)
    assert 0.5 < counts[DATAMATRIX] / counts.sum() < 0.85
    assert (counts > 0).all(), "what it is taken for is beside it"


def test_data_matrix_is_small_rectangular_and_dense():
    shapes = [hard.datamatrix(Dice(seed)).ink.shape for seed in range(300)]
    small = np.mean([max(shape) <= 16 for shape in shapes])
    rectangular = np.mean([h != w for h, w in shapes])
    assert 0.25 < small < 0.45 and 0.2 < rectangular < 0.4, (small, rectangular)
    assert max(max(shape) for shape in shapes) >= 44


def test_every_kind_of_negative_can_be_drawn_and_none_can_be_read():
    read = 0
    for draw, _ in negatives.KINDS:
        for seed in range(12):
            ink = draw(Dice(f"{draw.__name__} {seed}"))
            assert ink.shape == (negatives.N, negatives.N) and ink.dtype == np.uint8
            assert ink.any()
            read += len(zxingcpp.read_barcodes(255 - ink, formats=zxingcpp.BarcodeFormat.AllMatrix))
    assert read == 0
    assert sum(share for _, share in negatives.KINDS) == pytest.approx(1)


def test_what_tests_show_is_another_half_of_the_bank(monkeypatch):
    asked = []
    monkeypatch.setattr(
        negatives, "render", lambda i: asked.append(i) or np.zeros((negatives.N, negatives.N, 3), np.uint8)
    )
    for first, held_out in ((HARD_SEEDS, False), (LOOKALIKE_SEEDS, True), (TEST_SEEDS - 500, True)):
        asked.clear()
        for seed in range(40):
            scene(first + seed, 96)
        assert asked and all((i >= negatives.BANK) == held_out for i in asked)
