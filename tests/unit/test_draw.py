"""Painting: where ink goes, that it can be read, and that nothing else is touched."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp.graph import labels
from edgecsp.media import draw
from edgecsp.types import Classes, Detections
from support.boxes import detections_of
from support.effort import examples


def grey(width: int = 640, height: int = 480) -> Any:
    return np.full((height, width, 3), 127, np.uint8)


def inked(before: Any, after: Any) -> Any:
    """(x0, y0, x1, y1) around all pixels that changed, the last ones included; None when none did."""
    ys, xs = np.nonzero((before != after).any(2))
    return (xs.min(), ys.min(), xs.max(), ys.max()) if len(xs) else None


BOX = (200, 150, 400, 300, 0.9, 0)


def test_a_copy_unless_told() -> None:
    image = grey()
    painted = draw.annotate(image, detections_of(BOX))
    assert inked(grey(), image) is None
    assert inked(grey(), painted) is not None
    assert draw.annotate(image, detections_of(BOX), copy=False) is image
    np.testing.assert_array_equal(image, painted)


def test_nothing_found_nothing_painted() -> None:
    assert inked(grey(), draw.annotate(grey(), Detections.empty())) is None
    assert inked(grey(), draw.annotate(grey(), Classes(np.zeros(0, np.float32), np.zeros(0, np.int32)))) is None


def test_the_frame_is_on_the_box_in_the_colour_of_its_class() -> None:
    painted = draw.annotate(grey(), detections_of(BOX))
    for x, y in ((200, 250), (400, 250), (300, 300), (390, 150)):
        assert tuple(painted[y, x]) == draw.colour(0)
    assert (painted[200:280, 220:380] == 127).all(), "the inside is left alone"
    x0, y0, x1, y1 = inked(grey(), painted)
    assert 195 <= x0 <= 200
    assert 400 <= x1 <= 405
    assert 300 <= y1 <= 305
    assert 120 <= y0 < 140, "the tag is above"


def test_the_tag_moves_inside_where_there_is_no_room_above() -> None:
    painted = draw.annotate(grey(), detections_of((200, 0, 400, 300, 0.9, 0)))
    tag = (painted[3:20, 200:300] == draw.colour(0)).all(2)
    assert tag.mean() > 0.5


@examples(60)
@given(
    width=st.integers(1, 300), height=st.integers(1, 300), seed=st.integers(0, 1000), count=st.integers(0, 8),
    odd=st.sampled_from(["", "none", "nan", "huge", "inverted"]),
)  # fmt: skip
def test_any_picture_takes_any_boxes(width: int, height: int, seed: int, count: int, odd: str) -> None:
    rng = np.random.default_rng(seed)
    boxes = (rng.uniform(-0.2, 1.2, (count, 4)) * [width, height, width, height]).astype(np.float32)
    if odd == "nan":
        boxes[:1] = np.nan
    if odd == "huge":
        boxes[:1] = (-1e30, -np.inf, np.inf, 1e30)
    if odd == "inverted":
        boxes = boxes[:, [2, 3, 0, 1]]
    ids = rng.integers(0, 2000, count).astype(np.int32)
    result = Detections(boxes, rng.random(count).astype(np.float32), ids, labels.COCO)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    first = draw.annotate(image, result)
    assert first.shape == image.shape
    np.testing.assert_array_equal(first, draw.annotate(image, result), "not deterministic")
    classes = Classes(result.scores, ids, labels.COCO)
    assert draw.annotate(image, classes).shape == image.shape


def test_tags_stay_in_the_picture_whole() -> None:
    """The tag of a box in the far corner is as large as any other's."""

    def tag_pixels(box: Any) -> int:
        alone = draw.annotate(grey(), detections_of((*box, 0.9, 0), names=("x",)))
        named = draw.annotate(grey(), detections_of((*box, 0.9, 0), names=("a long name",)))
        return int((alone != named).any(2).sum())

    middle = tag_pixels((300, 200, 310, 210))
    for box in ((630, 0, 640, 5), (0, 0, 10, 5), (635, 470, 640, 480)):
        assert tag_pixels(box) > 0.5 * middle


def test_letters_grow_with_the_picture() -> None:
    heights = {}
    for scale in (1, 2, 4):
        image = grey(640 * scale, 480 * scale)
        box = tuple(v * scale for v in BOX[:4])
        _, y0, _, _ = inked(image, draw.annotate(image, detections_of((*box, 0.9, 0))))
        heights[scale] = 150 * scale - y0
    assert 10 <= heights[1] <= 30
    assert heights[1] < heights[2] < heights[4]


def test_the_best_is_on_top() -> None:
    both = draw.annotate(grey(), detections_of((100, 100, 300, 300, 0.9, 0), (100, 100, 300, 300, 0.5, 1)))
    best = draw.annotate(grey(), detections_of((100, 100, 300, 300, 0.9, 0)))
    np.testing.assert_array_equal(both[60:110, 97:160], best[60:110, 97:160])


def test_ids_without_a_label_are_painted_too() -> None:
    assert inked(grey(), draw.annotate(grey(), detections_of((10, 50, 90, 90, 0.5, 5), names=()))) is not None


def test_names_in_other_scripts() -> None:
    for name in ("größe", "人", "кот", "", "a" * 500):
        draw.annotate(grey(), detections_of(BOX, names=(name,)))


def _contrast(a: Any, b: Any) -> float:
    """WCAG 2 contrast ratio, 1 to 21, of two BGR colours."""

    def luminance(bgr: Any) -> float:
        linear = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in bgr]
        return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("class_id", range(16))
def test_every_tag_can_be_read(class_id: int) -> None:
    fill = draw.colour(class_id)
    assert _contrast(fill, draw.ink(fill)) >= 4.5
    assert draw.colour(class_id + 16) == fill


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_colours_are_told_apart_by_everyone(kind: str) -> None:
    import cv2

    rgb = np.array([draw.colour(i)[::-1] for i in range(16)], np.float32) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1)
    srgb = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055).astype(np.float32)
    lab = cv2.cvtColor(srgb[None], cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    for i in range(16):
        assert apart[i, (i + 1) % 16] > 30, f"{i} and its neighbour, delta E of 1976"
    assert apart[:8, :8][~np.eye(8, dtype=bool)].min() > 15
    assert apart[~np.eye(16, dtype=bool)].min() > 7


def test_a_classifier_gets_a_list_in_the_corner() -> None:
    names = ("tabby cat", "tiger cat", "dog", "fox", "wolf", "hyena")
    scores = np.array([0.5, 0.2, 0.1, 0.05, 0.03, 0.01], np.float32)
    image = grey()
    six = draw.annotate(image, Classes(scores, np.arange(6, dtype=np.int32), names))
    five = draw.annotate(image, Classes(scores[:5], np.arange(5, dtype=np.int32), names))
    np.testing.assert_array_equal(six, five)
    x0, y0, x1, y1 = inked(image, five)
    assert (x0, y0) == (0, 0)
    assert x1 < 320
    assert y1 < 240
    two = draw.annotate(image, Classes(scores[:2], np.arange(2, dtype=np.int32), names))
    assert inked(image, two)[3] < y1


def test_it_costs_little() -> None:
    image = grey(1280, 720)
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 700, (10, 2, 2)), axis=1).reshape(10, 4).astype(np.float32)
    result = Detections(boxes, rng.random(10).astype(np.float32), np.arange(10, dtype=np.int32), labels.COCO)
    took = []
    for _ in range(30):
        begun = time.perf_counter()
        draw.annotate(image, result)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.004, "a 720p picture with ten boxes; about 0.3 ms on a desktop"
