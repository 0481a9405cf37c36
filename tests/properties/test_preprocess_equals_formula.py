"""preprocess.prepare against its formula, written down in whole pictures and no faster than that.

Bit for bit, except where OpenCV blends four pixels at once: there by the last bits of a float32.
"""

from __future__ import annotations

from typing import Tuple
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp.processing import preprocess
from edgecsp.types import Input
from support import oracle
from support.effort import examples

sides = st.integers(1, 70)


def sampled(image: np.ndarray, hw: Tuple[int, int]) -> np.ndarray:
    """darknet's resize in float32: rows first, then columns, each as first + (second - first) * share.

    The last column is the last pixel; the last row is its first tap alone, times that one's share.
    """
    taps = []
    for axis, (length, wanted) in enumerate(zip(image.shape, hw)):
        at = np.arange(wanted, dtype=np.float32) * (np.float32(length - 1) / np.float32(max(1, wanted - 1)))
        if axis == 0:
            last = np.float32(1) - (at[-1] - np.floor(at[-1]))
        at[-1] = length - 1 if axis else np.floor(at[-1])
        first = at.astype(int)
        taps.append((first, np.minimum(first + 1, length - 1), at - first.astype(np.float32)))
    (top, bottom, dy), (left, right, dx) = taps
    pixels = image.astype(np.float32)
    rows = pixels[top] + (pixels[bottom] - pixels[top]) * dy[:, None, None]
    rows[-1] *= last
    return rows[:, left] + (rows[:, right] - rows[:, left]) * dx[None, :, None]


def planes(pixels: np.ndarray, spec: Input) -> np.ndarray:
    """(h, w, 3) BGR -> (C, h, w) of the model's colours: (byte * scale - mean) / std in two float32 steps."""
    if spec.channels == 1:
        values = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[None].astype(np.float32)
    else:
        values = (pixels[:, :, ::-1] if spec.colour == "rgb" else pixels).transpose(2, 0, 1).astype(np.float32)
    for plane, mean, std in zip(values, spec.mean, spec.std):
        plane *= np.float32(spec.scale / std)
        if mean:
            plane -= np.float32(mean / std)
    return values


@st.composite
def specs(draw: st.DrawFn) -> Input:
    mean, std = draw(st.sampled_from([((0.0,) * 3, (1.0,) * 3), ((0.485, 0.0, 0.406), (0.229, 0.224, 1.0))]))
    return Input(
        (draw(sides), draw(sides)),
        draw(st.sampled_from(["darknet", "darknet", "stretch"])),
        draw(st.sampled_from(["rgb", "bgr"])),
        draw(st.sampled_from([1 / 255, 1.0])),
        mean,
        std,
        draw(st.sampled_from([3, 3, 1])),
    )


@examples(150)
@given(sides, sides, specs(), st.sampled_from([1, 1 << 12, 1 << 16]), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_batch_is_the_formulas(height: int, width: int, spec: Input, block: int, own: bool, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if spec.resize == "darknet":
        pixels = sampled(image, spec.hw)
    else:
        pixels = cv2.resize(image, spec.hw[::-1], interpolation=cv2.INTER_LINEAR)
    by_opencv = not own and preprocess._remaps_exactly()
    # Small blocks, so that small pictures are of several.
    with mock.patch.multiple(preprocess, _BLOCK=block, _remaps_exactly=lambda: by_opencv):
        batch, _ = preprocess.prepare(image, spec)
    assert_equal(batch[0], planes(pixels, spec), by_opencv and spec.resize == "darknet")


def assert_equal(found: np.ndarray, wanted: np.ndarray, nearly: bool) -> None:
    if nearly:
        assert np.abs(found - wanted).max() <= 4e-7 * max(1.0, np.abs(wanted).max())
    else:
        assert (found == wanted).all()


def test_a_real_frame_of_many_blocks() -> None:
    image = np.random.default_rng(5).integers(0, 256, (720, 1280, 3), np.uint8)
    spec = Input((416, 416))
    wanted = planes(sampled(image, spec.hw), spec)
    assert_equal(preprocess.prepare(image, spec)[0][0], wanted, preprocess._remaps_exactly())
    with mock.patch.object(preprocess, "_remaps_exactly", lambda: False):
        assert_equal(preprocess.prepare(image, spec)[0][0], wanted, False)


def test_the_formula_is_darknets() -> None:
    image = np.random.default_rng(6).integers(0, 256, (23, 37, 3), np.uint8)
    assert np.abs(sampled(image, (41, 19)) - oracle.resize_image(image, (41, 19))).max() < 1e-3


@pytest.mark.parametrize("by_opencv", [True, False])
@pytest.mark.parametrize("height", [480, 333, 44])
def test_darknet_leaves_the_second_tap_of_the_last_row_out(height: int, by_opencv: bool) -> None:
    """At 320 rows the last of 333 and of 44 is computed to lie just above the last pixel row: darknet's is black."""
    if by_opencv and not preprocess._remaps_exactly():
        pytest.skip("this OpenCV's remap samples on a grid")
    image = np.random.default_rng(9).integers(100, 256, (height, 61, 3), np.uint8)
    with mock.patch.object(preprocess, "_remaps_exactly", lambda: by_opencv):
        (batch,), _ = preprocess.prepare(image, Input((320, 64)))
    wanted = oracle.resize_image(image[:, :, ::-1], (320, 64)).transpose(2, 0, 1) / 255
    assert np.abs(batch - wanted).max() < 2e-6
    assert (batch[:, -1].max() < 1e-4) == (height != 480) and batch[:, :-1].min() > 0.39


def test_a_batch_that_the_caller_keeps_stays_as_it_is() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.integers(0, 256, (2, 90, 120, 3), np.uint8)
    for resize in ("darknet", "stretch", "letterbox", "crop"):
        spec = Input((64, 64), resize)
        kept, _ = preprocess.prepare(first, spec)
        before = kept.copy()
        other, _ = preprocess.prepare(second, spec)
        assert (kept == before).all() and not np.shares_memory(kept, other) and (kept != other).any()


def test_threads_do_not_meet() -> None:
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(8)
    images = [rng.integers(0, 256, (200 + i, 300, 3), np.uint8) for i in range(8)]
    spec = Input((96, 128))
    alone = [preprocess.prepare(image, spec)[0] for image in images]
    with ThreadPoolExecutor(4) as pool:
        for image, batch in zip(alone * 5, pool.map(lambda image: preprocess.prepare(image, spec)[0], images * 5)):
            assert (image == batch).all()
