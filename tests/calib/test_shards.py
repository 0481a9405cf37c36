"""Data sets of scenes: shards are whole or not there, each seed once, test seeds in none; edgecsp reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.repository import REPO

pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra calib)")

from calib import CLASSES, HARD_SEEDS, TEST_SEEDS, VAL_SEEDS, shards
from calib.scenes import scene
from edgecsp.bench import accuracy
from edgecsp.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    list(shards.make(shards.plan(out, 40, 20, 40, 128, per_shard=20), 1))
    shards.describe(out)
    return out


def test_a_folder_of_shards_is_a_data_set_of_the_scenes_of_its_seeds(folder):
    pytest.importorskip("yaml", reason="a data.yaml needs PyYAML (extra val)")
    train, val = (accuracy.read(folder / "data.yaml", split=split) for split in ("train", "val"))
    assert train.names == val.names == CLASSES and not train.notes and not val.notes
    held = {int(Path(row.path).stem): row for row in (*train.images, *val.images)}
    half = (VAL_SEEDS + TEST_SEEDS) // 2
    firsts = (0, 20, HARD_SEEDS, VAL_SEEDS, half)
    assert sorted(held) == [first + i for first in firsts for i in range(20)]
    assert {int(Path(row.path).stem) for row in val.images} == {first + i for first in firsts[3:] for i in range(20)}
    for seed in (3, 25, HARD_SEEDS + 1, half + 7):
        image, boxes, ids = scene(seed, 128)
        row = held[seed].with_size((128, 128))
        assert np.abs(row.boxes.xyxy - boxes).max(initial=0) < 1e-3
        assert np.array_equal(row.boxes.class_ids, ids)
        assert np.abs(cv2.imread(row.path).astype(int) - image).mean() < 12


def test_what_is_there_is_not_made_again(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}
    todo = shards.plan(folder, 60, 20, 40, 128, per_shard=20)
    assert [(s.first, s.last) for s in todo] == [(40, 60)]
    assert shards.plan(folder, 40, 20, 40, 128, per_shard=20) == []
    assert shards.plan(folder, 20, 0, 0, 128, per_shard=20) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_interrupted_shard_is_not_there(monkeypatch, tmp_path):
    real = shards.labels

    def fails(xyxy, class_ids, side):
        if len(list((tmp_path / "train").rglob("*.jpg"))) == 5:
            raise KeyboardInterrupt
        return real(xyxy, class_ids, side)

    monkeypatch.setattr(shards, "labels", fails)
    (todo,) = shards.plan(tmp_path, 20, 0, 0, 96, per_shard=20)
    with pytest.raises(KeyboardInterrupt):
        shards.write(todo)
    assert shards.find(tmp_path / "train") == [] and not todo.path.exists()
    monkeypatch.undo()
    assert shards.write(todo) == 20 and [s.path for s in shards.find(tmp_path / "train")] == [todo.path]
    assert len(list((tmp_path / "train").rglob("*.jpg"))) == 20, "what the first left is gone"


def test_shards_of_two_sizes_are_refused(folder):
    with pytest.raises(UsageError, match="of another size"):
        shards.plan(folder, 20, 0, 0, 160, per_shard=20)
    with pytest.raises(UsageError, match="of another size"):
        shards.plan(folder, 40, 0, 0, 128, per_shard=40)


def test_no_test_scene_is_in_a_data_set(tmp_path):
    for counts in (
        (HARD_SEEDS + 500, 0, 0),
        (0, VAL_SEEDS - HARD_SEEDS + 500, 0),
        (0, 0, TEST_SEEDS - VAL_SEEDS + 1000),
    ):
        with pytest.raises(UsageError, match="is a multiple of"):
            shards.plan(tmp_path, *counts)
    todo = shards.plan(tmp_path, 0, 0, 4000)
    assert max(shard.last for shard in todo) <= TEST_SEEDS and {shard.path.parent.name for shard in todo} == {"val"}


def test_the_command_says_what_is_wrong(tmp_path):
    asked = [sys.executable, "-m", "calib.shards", str(tmp_path / "out"), "--scenes", "7"]
    done = subprocess.run(asked, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--scenes is a multiple of 500" in done.stderr and not (tmp_path / "out").exists()
