"""The scene generator: the same bytes for a seed, tight boxes, readable symbols, every class, true negatives."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.effort import examples
from support.repository import REPO

pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra calib)")

import cv2
import zxingcpp

from calib import CLASSES
from calib.scenes import prints, scene, symbols, warp
from calib.scenes.__main__ import bench, sheet
from calib.scenes.canvas import Scene
from calib.scenes.cards import Card, any_class
from calib.scenes.compose import without
from calib.scenes.dice import Dice
from calib.scenes.warp import Frame

DIGEST = """
import hashlib, sys
from calib.scenes import scene
for seed in map(int, sys.argv[1:]):
    image, boxes, ids = scene(seed, 192)
    print(hashlib.sha256(image.tobytes() + boxes.tobytes() + ids.tobytes()).hexdigest())
"""


def digest(seed: int) -> str:
    image, boxes, ids = scene(seed, 192)
    return hashlib.sha256(image.tobytes() + boxes.tobytes() + ids.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def many():
    return [scene(seed, 160) for seed in range(400)]


def test_a_seed_gives_the_same_bytes_in_any_process_and_order():
    seeds = list(range(30, 54))
    here = [digest(seed) for seed in seeds]
    asked = [sys.executable, "-c", DIGEST, *map(str, reversed(seeds))]
    there = subprocess.run(asked, cwd=REPO, capture_output=True, text=True, check=True).stdout.split()
    assert here == there[::-1] == [digest(seed) for seed in seeds]
    assert len(set(here)) == len(here)


@given(seed=st.integers(0, 2**40), side=st.sampled_from((96, 160, 224, 320, 416)), natural=st.booleans())
@examples(60)
def test_boxes_lie_in_the_picture(seed, side, natural):
    image, boxes, ids = scene(seed, side, natural)
    h, w = image.shape[:2]
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert max(h, w) == side
    assert natural or h == w
    assert boxes.shape == (len(ids), 4)
    assert boxes.dtype == np.float32
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= (w, h)).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1.5).all()
    assert np.isin(ids, range(len(CLASSES))).all()


@pytest.mark.parametrize("bend", ["flat", "cylinder", "crumple"])
def test_boxes_are_tight(bend, monkeypatch):
    """A red block in the symbol's place: the box is where the picture is red."""
    if bend != "flat":
        monkeypatch.setattr(warp, {"cylinder": "crumple", "crumple": "cylinder"}[bend], getattr(warp, bend))
    off = []
    for seed in range(60):
        d = Dice(seed)
        s = Scene(d, Frame((320, 320), d.choice((0.6, 1.0, 1.8))))
        s.image[:] = 255
        aspect = d.log(0.3, 3)
        block = symbols.Symbol(symbols.DATAMATRIX, "block", np.full((12, 12), 255, np.uint8), aspect)
        box = (0.4, 0.3, aspect, 1.0)

        def draw(paper, block=block, box=box):
            paper.symbol(block, *box, (0, 0, 255), wear=0, dotted=0)

        s.put(
            Card(aspect + 0.8, 1.6, box, draw, (255, 255, 255), bends=bend != "flat"), d.uniform(0.1, 0.6), (0.5, 0.5)
        )
        red = s.image[:, :, 2].astype(int) > 1.9 * s.image[:, :, 0] + 4
        ys, xs = np.nonzero(red)
        seen = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        (found,), ids = s.boxes()
        assert ids.tolist() == [symbols.DATAMATRIX]
        off.append(np.abs(found - seen).max())
    assert np.median(off) < 1.2
    assert max(off) < 4  # a tip that the view makes needle-sharp fades before it ends


def test_what_is_covered_or_cut_off_has_no_box():
    def laid(centre, over):
        s = Scene(Dice(1), Frame((200, 200), 1.0))
        flat = warp.pose(Dice(2), 1.0, 0.0, flat=True)
        block = symbols.Symbol(symbols.AZTEC, "block", np.full((9, 9), 255, np.uint8), 1.0)
        card = Card(1, 1, (0, 0, 1, 1), lambda p: p.symbol(block, 0, 0, 1, 1, (0, 0, 0)), bends=False)
        s.put(card, 0.5, centre, flat)
        if over:
            blank = Card(over, 1, (0, 0, over, 1), lambda p: None, bends=False)
            s.put(blank, 0.5, (0.25 + over / 4, 0.5), flat)
        return s.boxes()[0]

    assert np.allclose(laid((0.5, 0.5), 0), [[50, 50, 150, 150]], atol=1)
    assert np.allclose(laid((0.0, 0.5), 0), [[0, 50, 50, 150]], atol=1), "half of it inside is enough"
    assert len(laid((-0.05, 0.5), 0)) == 0
    assert len(laid((0.5, 0.5), 1.0)) == 0


def test_every_class_is_there_in_its_share(many):
    drawn = np.bincount([any_class(Dice(seed)) for seed in range(3000)], minlength=len(CLASSES)) / 3000
    assert (drawn > 0.09).all() and (drawn < 0.3).all()
    counts = np.bincount(np.concatenate([ids for _, _, ids in many]), minlength=len(CLASSES))
    assert (counts > 0.06 * counts.sum()).all(), dict(zip(CLASSES, counts))


def test_sizes_go_from_specks_to_all_of_the_picture(many):
    sides = np.concatenate([(b[:, 2:] - b[:, :2]).max(1) for _, b, _ in many]) / 160
    assert (sides < 0.1).mean() > 0.03
    assert (sides > 0.9).mean() > 0.04
    assert np.median(sides) > 0.15


def test_about_a_fifth_of_the_scenes_hold_no_code(many):
    assert 0.14 < np.mean([len(ids) == 0 for _, _, ids in many]) < 0.34


def test_nothing_in_a_negative_scene_can_be_read():
    read = 0
    for seed in range(60):
        s = Scene(Dice(seed), Frame((320, 320), 1.0))
        without(s)
        assert not len(s.boxes()[0])
        found = zxingcpp.read_barcodes(s.image, formats=zxingcpp.BarcodeFormat.AllMatrix)
        read += sum(code.format != zxingcpp.BarcodeFormat.MaxiCode for code in found)
    assert read == 0


RECIPES = [(c, name, content) for c, rows in symbols.RECIPES.items() for name, _, content in rows]
READABLE = {str(f) for f in zxingcpp.barcode_formats_list(zxingcpp.BarcodeFormat.AllReadable)}


@pytest.mark.parametrize(("class_id", "name", "content"), RECIPES, ids=[name for _, name, _ in RECIPES])
def test_what_is_drawn_can_be_read(class_id, name, content):
    if str(getattr(zxingcpp, name)) not in READABLE:
        pytest.skip(f"zxing-cpp writes {name} but does not read it")
    good = 0
    for seed in range(8):
        d = Dice(f"{name} {seed}")
        s = symbols.write(d, class_id, name, content)
        h, w = s.ink.shape
        ink = prints.render(d, s, 4 * w, 4 * h, wear=0, dotted=0)
        found = zxingcpp.read_barcodes(cv2.copyMakeBorder(255 - ink, 50, 50, 50, 50, cv2.BORDER_CONSTANT, value=255))
        good += len(found) == 1
    assert good >= 7, f"{good} of 8"


@pytest.mark.parametrize("name", symbols.MARKERS)
def test_markers_can_be_read(name, monkeypatch):
    monkeypatch.setattr(symbols, "MARKERS", [name])
    d = Dice(name)
    s = next(s for s in (symbols.symbol(d, symbols.MARKER) for _ in range(99)) if s.format == name)
    ink = cv2.resize(s.ink, None, fx=12, fy=12, interpolation=cv2.INTER_NEAREST)
    picture = cv2.copyMakeBorder(255 - ink, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=255)
    words = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    settings = cv2.aruco.DetectorParameters()
    settings.markerBorderBits = (s.ink.shape[0] - words.markerSize) // 2
    _, ids, _ = cv2.aruco.ArucoDetector(words, settings).detectMarkers(picture)
    assert ids is not None and len(ids) == 1


def test_the_sheet_and_the_bench_show_what_there_is():
    assert sheet(0, 4, 96).shape == (192, 288, 3)
    assert "ms a scene of 96 px" in bench(0, 8, 96)
