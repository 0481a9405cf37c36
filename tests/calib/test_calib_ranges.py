"""`python -m calib.ranges` measures as `edgecsp quantize` does: equalised, by the best method."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed (extra calib)")

from calib import ranges
from edgecsp.graph import onnx_model, precision
from support.tiny import Tiny


def measured(tiny: Tiny, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> precision.Ranges:
    def noise(seed: int, side: int, natural: bool) -> tuple:
        return (np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8),)

    onnx_model.save(tiny.model, folder / "tiny.onnx")
    command = [str(folder / "r.json"), "--model", str(folder / "tiny.onnx"), "--seeds", "0:104", "--threads", "1"]
    monkeypatch.setattr(ranges, "scene", noise)
    monkeypatch.setattr(sys, "argv", ["ranges", *command, *words])
    ranges.main()
    return precision.load(folder / "r.json")


def test_maps_are_equalised_and_the_best_method_is_taken(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = measured(tiny, tmp_path, monkeypatch)
    assert best.scales and set(best.tried) == set(precision.METHODS) and best.images == 104
    plain = measured(tiny, tmp_path, monkeypatch, "--method", "minmax", "--no-equalize")
    assert not plain.scales and plain.method == "minmax"
