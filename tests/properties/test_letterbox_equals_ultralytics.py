"""The letterbox of YOLOv5 to v12 for every size: ultralytics' formula in Python's floats, halves rounded to even."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp.processing.preprocess import prepare
from edgecsp.types import Input
from support.effort import examples

sides = st.integers(1, 700)
networks = st.sampled_from([(64, 64), (64, 96), (128, 32), (80, 80), (160, 96)])


def laid(image: np.ndarray, hw: Tuple[int, int]) -> np.ndarray:
    """The picture scaled by the smaller ratio, with a border of grey 114: (h, w, 3) uint8."""
    height, width = image.shape[:2]
    ratio = min(hw[0] / height, hw[1] / width)
    w, h = round(width * ratio), round(height * ratio)
    pad_x, pad_y = (hw[1] - w) / 2, (hw[0] - h) / 2
    if (width, height) != (w, h):
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    top, bottom, left, right = (round(pad + off) for pad in (pad_y, pad_x) for off in (-0.1, 0.1))
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114))


def assert_laid(height: int, width: int, hw: Tuple[int, int]) -> None:
    image = np.random.default_rng(height * 701 + width).integers(0, 256, (height, width, 3), np.uint8)
    batch, geometry = prepare(image, Input(hw, "letterbox", scale=1.0, colour="bgr", letterbox="ultralytics"))
    assert (batch[0].transpose(1, 2, 0) == laid(image, hw)).all()
    x, y = geometry.offset_xy
    assert (x, y) == (int(x), int(y)) and x >= 0 and y >= 0


@examples(200)
@given(sides, sides, networks)
def test_every_size(height: int, width: int, hw: Tuple[int, int]) -> None:
    # Narrower than half a pixel, ultralytics asks OpenCV for a picture without rows and fails.
    if min(height, width) * min(hw[0] / height, hw[1] / width) > 0.5:
        assert_laid(height, width, hw)


@pytest.mark.parametrize("half", range(3, 128, 2))
def test_exact_halves(half: int) -> None:
    """2 x 64 pixels wide: `half` rows become half / 2."""
    assert_laid(half, 128, (64, 64))
    assert_laid(128, half, (64, 64))


def test_853_rows_of_1280_columns_at_640() -> None:
    image = np.full((853, 1280, 3), 255, np.uint8)
    batch, geometry = prepare(image, Input((640, 640), "letterbox", letterbox="ultralytics"))
    white = np.nonzero(batch[0, 0, :, 0] == 1)[0]
    assert (white[0], len(white)) == (107, 426)
    assert geometry.offset_xy == (0, 107) and geometry.scale_xy == (0.5, 426 / 853)
