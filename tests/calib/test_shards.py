"""Shards: whole or not there, each seed once, test seeds apart from training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra train)")

from calib import TEST_SEEDS, shards
from calib.scenes import scene
from edgecsp.errors import UsageError

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    list(shards.make(shards.planned(out, range(40), 128, per_shard=20), 1))
    return out


def test_a_shard_holds_the_scenes_of_its_seeds(folder):
    held = shards.Scenes(shards.found(folder)[1].path)
    assert len(held) == 20
    for i in range(20):
        image, boxes, ids = scene(20 + i, 128)
        picture, xyxy, class_ids = held[i]
        assert np.array_equal(boxes, xyxy)
        assert np.array_equal(ids, class_ids)
        assert np.abs(picture.astype(int) - image).mean() < 12
    with pytest.raises(IndexError):
        held[20]


def test_what_is_there_is_not_made_again(folder):
    before = {s.path: s.path.stat().st_mtime_ns for s in shards.found(folder)}
    todo = shards.planned(folder, range(60), 128, per_shard=20)
    assert [(s.first, s.last) for s in todo] == [(40, 60)]
    assert shards.planned(folder, range(40), 128, per_shard=20) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_interrupted_shard_is_not_there(folder, monkeypatch, tmp_path):
    def fails(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", fails)
    with pytest.raises(KeyboardInterrupt):
        list(shards.make(shards.planned(tmp_path, range(20), 96, per_shard=20), 1))
    assert list(tmp_path.iterdir()) == []


def test_a_seed_is_in_one_shard_alone(folder):
    with pytest.raises(UsageError, match="use other seeds"):
        shards.planned(folder, range(20), 160, per_shard=20)
    (folder / "scenes-128-30-50.npz").touch()
    with pytest.raises(UsageError, match="hold the same seeds"):
        shards.found(folder)
    (folder / "scenes-128-30-50.npz").unlink()


def test_training_refuses_test_scenes(tmp_path):
    with pytest.raises(UsageError, match="no shards"):
        shards.for_training(tmp_path)
    (tmp_path / f"scenes-320-{TEST_SEEDS}-{TEST_SEEDS + 500}.npz").touch()
    with pytest.raises(UsageError, match="training refuses"):
        shards.for_training(tmp_path)
    with pytest.raises(UsageError, match="mixes"):
        shards.planned(tmp_path, range(TEST_SEEDS - 500, TEST_SEEDS + 500), 320)


def test_seeds_that_do_not_fill_a_shard_are_refused(tmp_path):
    with pytest.raises(UsageError, match="multiple of 500"):
        shards.planned(tmp_path, range(300), 320)


def test_the_command_says_what_is_wrong(tmp_path):
    asked = [sys.executable, "-m", "calib.shards", str(tmp_path), "--seeds", "0:7"]
    done = subprocess.run(asked, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 2
    assert "multiple of 500" in done.stderr
