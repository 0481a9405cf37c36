"""Pictures in, network input out: colours, scale, mean, the four ways of laying, and what is no picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgecsp.errors import BadModel, SourceError
from edgecsp.processing.preprocess import GREY, factors, has_pixels, pixels, prepare
from edgecsp.types import Input

FLAT = np.full((8, 8, 3), (10, 20, 200), np.uint8)  # blue, green, red


@pytest.mark.parametrize(("colour", "wanted"), [("rgb", (200, 20, 10)), ("bgr", (10, 20, 200))])
@pytest.mark.parametrize("resize", ["darknet", "stretch", "letterbox", "crop"])
def test_colours_and_scale(colour: str, wanted: tuple, resize: str) -> None:
    batch, _ = prepare(FLAT, Input((4, 4), resize, colour))
    assert batch.shape == (1, 3, 4, 4) and batch.dtype == np.float32 and batch.flags.c_contiguous
    assert batch[0, :, 1, 2] * 255 == pytest.approx(wanted)


def test_mean_and_std_are_of_the_scaled_values_in_the_models_order() -> None:
    spec = Input((4, 4), "stretch", "rgb", 1.0, (1.0, 2.0, 3.0), (2.0, 4.0, 5.0))
    batch, _ = prepare(FLAT, spec)
    assert batch[0, :, 0, 0] == pytest.approx([(200 - 1) / 2, (20 - 2) / 4, (10 - 3) / 5])


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_pixels_are_what_prepare_makes_numbers_of(picture: np.ndarray, colour: str, resize: str) -> None:
    for scale, std in ((1 / 255, (1.0, 1.0, 1.0)), (1.0, (0.229, 0.3, 0.7))):
        spec = Input((16, 24), resize, colour, scale, std=std)
        (laid, geometry), (batch, wanted) = pixels(picture, spec), prepare(picture, spec)
        assert has_pixels(spec) and geometry == wanted
        assert laid.shape == (1, 16, 24, 3) and laid.dtype == np.uint8 and laid.flags.c_contiguous
        assert ((laid * factors(spec)).transpose(0, 3, 1, 2) == batch).all()


def test_what_has_no_pixels() -> None:
    for spec in (Input((4, 4)), Input((4, 4), "stretch", mean=(0.0, 0.1, 0.0)), Input((4, 4), "stretch", channels=1)):
        assert not has_pixels(spec)
    with pytest.raises(SourceError, match="uint8 BGR"):
        pixels(np.zeros((4, 4), np.uint8), Input((4, 4), "stretch"))


def test_grey_networks_get_the_luminance() -> None:
    batch, _ = prepare(FLAT, Input((4, 4), channels=1))
    assert batch.shape == (1, 1, 4, 4)
    assert batch[0, 0, 0, 0] * 255 == pytest.approx(0.114 * 10 + 0.587 * 20 + 0.299 * 200, abs=0.6)
    with pytest.raises(BadModel, match="takes 2"):
        prepare(FLAT, Input((1, 1), channels=2))


def test_out_is_filled_and_returned(picture: np.ndarray) -> None:
    spec = Input((16, 24))
    out = np.empty((1, 3, 16, 24), np.float32)
    batch, _ = prepare(picture, spec, out)
    assert batch is out and (out == prepare(picture, spec)[0]).all()
    for wrong in (np.empty((1, 3, 24, 16), np.float32), np.empty((1, 3, 16, 24))):
        with pytest.raises(ValueError, match="out must be float32"):
            prepare(picture, spec, wrong)


def test_the_picture_is_not_touched(picture: np.ndarray) -> None:
    picture.flags.writeable = False
    before = picture.copy()
    for resize in ("darknet", "stretch", "letterbox", "crop"):
        prepare(picture, Input((16, 24), resize))
    assert (picture == before).all()


def test_a_view_is_as_good_as_its_copy(picture: np.ndarray) -> None:
    view = picture[::-1, 10:70]
    for resize in ("darknet", "stretch", "letterbox", "crop"):
        spec = Input((16, 24), resize)
        assert (prepare(view, spec)[0] == prepare(np.ascontiguousarray(view), spec)[0]).all()


def test_same_size_is_the_picture_itself(picture: np.ndarray) -> None:
    for resize in ("darknet", "stretch", "letterbox", "crop"):
        batch, geometry = prepare(picture, Input(picture.shape[:2], resize))
        assert np.abs(batch[0] * 255 - picture[:, :, ::-1].transpose(2, 0, 1)).max() < 1e-4
        assert geometry.scale_xy == (1, 1) and geometry.offset_xy == (0, 0)


def test_darknet_samples_corner_to_corner_and_stretch_centre_to_centre() -> None:
    ramp = np.repeat(np.arange(0, 250, 50, dtype=np.uint8)[None, :, None], 3, 2)  # 0 50 100 150 200
    corner, _ = prepare(ramp, Input((1, 9), "darknet", scale=1.0))
    assert corner[0, 0, 0] == pytest.approx(np.arange(0, 201, 25))
    centre, _ = prepare(ramp, Input((1, 10), "stretch", scale=1.0))
    assert centre[0, 0, 0, 1:-1] == pytest.approx(np.arange(12.5, 200, 25), abs=1)


def test_letterbox_is_grey_above_and_below() -> None:
    batch, geometry = prepare(np.full((10, 40, 3), 255, np.uint8), Input((32, 32), "letterbox"))
    rows = batch[0, 0, :, 16] * 255
    assert rows[:12] == pytest.approx(GREY) and rows[12:20] == pytest.approx(255) and rows[20:] == pytest.approx(GREY)
    assert geometry.offset_xy == (0, 12) and geometry.scale_xy == (0.8, 0.8)


def test_crop_keeps_the_middle() -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, 20:40] = 255
    batch, geometry = prepare(image, Input((10, 10), "crop"))
    assert batch.min() == 1
    assert geometry.to_image(np.array([[0, 0, 10, 10]])).tolist() == [[20, 0, 40, 20]]


def test_crop_of_a_very_long_picture_is_cheap() -> None:
    batch, _ = prepare(np.zeros((2, 20000, 3), np.uint8), Input((224, 224), "crop"))
    assert batch.shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((8, 8), np.uint8), r"found uint8 \(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"found uint8 \(8, 8, 4\)"),
        (np.zeros((8, 8, 3), np.float32), "found float32"),
        ("street.jpg", "found str"),
        (np.zeros((0, 8, 3), np.uint8), "is empty"),
    ],
)
def test_what_is_no_picture(image: object, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        prepare(image, Input((4, 4)))


def test_one_pixel_and_very_thin_pictures() -> None:
    for hw in ((1, 1), (1, 500), (500, 1), (2, 3)):
        for resize in ("darknet", "stretch", "letterbox", "crop"):
            spec = replace(Input((32, 16)), resize=resize)
            batch, geometry = prepare(np.full((*hw, 3), 77, np.uint8), spec)
            assert np.isfinite(batch).all() and min(geometry.scale_xy) > 0
