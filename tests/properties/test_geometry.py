"""Boxes to the network and back, in every resize mode; what lands where in the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp.options.choices import RESIZES
from edgecsp.processing.preprocess import GREY, prepare
from edgecsp.types import Input
from support import oracle
from support.effort import examples

sides = st.integers(1, 90)
hws = st.tuples(sides, sides)
networks = st.tuples(st.integers(1, 64), st.integers(1, 64))


def noise(hw: tuple, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*hw, 3), np.uint8)


@examples(120)
@given(hws, networks, st.sampled_from(RESIZES), st.integers(0, 99))
def test_boxes_come_back_within_a_thousandth_of_a_pixel(hw: tuple, net_hw: tuple, resize: str, seed: int) -> None:
    batch, geometry = prepare(noise(hw, seed), Input(net_hw, resize))
    assert batch.shape == (1, 3, *net_hw) and batch.dtype == np.float32
    assert batch.min() >= 0 and batch.max() <= 1
    boxes = np.sort(np.random.default_rng(seed).random((8, 2, 2)), 1).reshape(8, 4) * [hw[1], hw[0], hw[1], hw[0]]
    assert np.abs(geometry.to_image(geometry.to_network(boxes)) - boxes).max() < 1e-3
    outside = geometry.to_image(np.array([[-1e4, -1e4, 1e4, 1e4]]))
    assert outside.tolist() == [[0, 0, hw[1], hw[0]]]
    assert geometry.to_image(np.zeros((0, 4))).shape == (0, 4)


@examples(60)
@given(hws, networks, st.sampled_from(["darknet", "stretch", "letterbox"]))
def test_the_whole_picture_is_inside_the_network(hw: tuple, net_hw: tuple, resize: str) -> None:
    _, geometry = prepare(noise(hw, 0), Input(net_hw, resize))
    (x0, y0, x1, y1), (h, w) = geometry.to_network(np.array([[0, 0, hw[1], hw[0]]]))[0], net_hw
    assert -1e-4 <= x0 < x1 <= w + 1e-3 and -1e-4 <= y0 < y1 <= h + 1e-3
    if resize == "letterbox":
        assert x1 - x0 == pytest.approx(w, abs=1e-3) or y1 - y0 == pytest.approx(h, abs=1e-3)
    else:
        assert (x1 - x0, y1 - y0) == (pytest.approx(w, abs=1e-3), pytest.approx(h, abs=1e-3))


@examples(60)
@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 99),
)
def test_darknet_resize_is_darknets(hw: tuple, net_hw: tuple, seed: int) -> None:
    image = noise(hw, seed)
    batch, _ = prepare(image, Input(net_hw, "darknet"))
    wanted = oracle.resize_image(image[:, :, ::-1], net_hw).transpose(2, 0, 1) / 255
    assert np.abs(batch[0] - wanted).max() < 2e-6


@examples(60)
@given(hws, networks)
def test_letterbox_fills_one_side_with_pixels_that_are_the_pictures(hw: tuple, net_hw: tuple) -> None:
    """A white picture on grey: white is exactly where the geometry says, grey exactly where it does not."""
    batch, geometry = prepare(np.full((*hw, 3), 255, np.uint8), Input(net_hw, "letterbox"))
    x0, y0, x1, y1 = np.round(geometry.to_network(np.array([[0, 0, hw[1], hw[0]]]))[0]).astype(int)
    wanted = np.full(net_hw, GREY / 255, np.float32)
    wanted[y0:y1, x0:x1] = 1
    assert np.abs(batch[0] - wanted).max() < 1e-6
    # darknet's own arithmetic, in whole numbers: the long side fills the network to the last pixel.
    (height, width), (h, w) = hw, net_hw
    fits = (w, height * w // width) if w * height <= h * width else (width * h // height, h)
    assert (x1 - x0, y1 - y0) == (max(1, fits[0]), max(1, fits[1]))
    assert (x0, y0) == ((w - (x1 - x0)) // 2, (h - (y1 - y0)) // 2)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("hw", [(120, 200), (200, 120), (97, 131)])
def test_a_rectangles_edges_land_where_geometry_says(resize: str, hw: tuple) -> None:
    image = np.zeros((*hw, 3), np.uint8)
    box = (hw[1] // 3, hw[0] // 3, hw[1] * 3 // 5, hw[0] * 3 // 5)
    image[box[1] : box[3], box[0] : box[2], 2] = 255  # red
    batch, geometry = prepare(image, Input((320, 256), resize))
    red = batch[0, 0] - batch[0, 1]
    wanted = geometry.to_network(np.array([box]))[0]
    # Half the brightness is where the edge is, to within half a source pixel and half a target pixel.
    # The grey of a letterbox has no red over green, so it does not count.
    rows, columns = np.nonzero(red.max(1) > 0.5)[0], np.nonzero(red.max(0) > 0.5)[0]
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.array(found) - wanted).max() <= 0.5 * max(geometry.scale_xy) + 0.5
    assert (batch[0, 2] - batch[0, 1]).max() == 0  # no blue: channels are RGB
