"""The zoo's layers in the order of the public `.weights` files: random weights give the same heads through the
zoo, through edgecsp's cfg reader and through OpenCV 4's.

OpenCV 5 has no darknet reader: EDGECSP_OPENCV4_PYTHON names an interpreter that has OpenCV 4 and numpy.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecsp import backends, zoo
from edgecsp.graph.export import RandomWeights, fold_batch_norm
from edgecsp.importers import darknet
from edgecsp.importers.darknet import weights as darknet_weights
from edgecsp.importers.darknet.cfg import parse
from edgecsp.importers.darknet.layers import build
from edgecsp.types import Model
from support.public_cfgs import PUBLIC, Cfg
from support.repository import TESTS

TOLERANCE = 1e-4  # of the head's largest value
DATA = Path(os.environ.get("EDGECSP_TEST_DATA", Path(__file__).parents[3] / "shared"))
LARGE = {name for name in PUBLIC if zoo.get(name).net().weights > 20e6}
MODELS = [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in PUBLIC]

OPENCV_REFUSES = {"resnet10", "resnext50"}  # a [shortcut] between maps of two sizes


class Written:
    """Random weights that remember what they gave, in order. Shrunk a little, so that deep residual sums stay
    small and no sigmoid saturates.
    """

    def __init__(self) -> None:
        self.random = RandomWeights(7)
        self.arrays: list[np.ndarray] = []

    def take(self, part: str, shape: tuple[int, ...], at: str) -> np.ndarray:
        values = self.random.take(part, shape, at) * np.float32(0.7 if part == "weights" else 1)
        self.arrays.append(values)
        return values


def write_files(folder: Path, cfg: Cfg) -> tuple[Path, Path]:
    net = build(parse(cfg.text))[0].net
    written = Written()
    for layer in net.layers:
        if layer.op == "conv":
            fold_batch_norm(layer, written, "")
    (folder / "model.cfg").write_text(cfg.text)
    with open(folder / "model.weights", "wb") as file:
        darknet_weights.write(file, tuple(written.arrays))
    return folder / "model.cfg", folder / "model.weights"


def heads(model: Model, batch: np.ndarray) -> list[np.ndarray]:
    session = backends.open(model, "ort")
    outputs = session.run(batch)
    session.close()
    return outputs


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        b = b.reshape(a.shape)
        assert np.std(b) > 1e-3, "a head that says nothing tests nothing"
        assert np.abs(a - b).max() <= TOLERANCE * np.abs(b).max()


@pytest.mark.parametrize("name", MODELS)
def test_same_heads_as_the_public_cfg(name: str) -> None:
    cfg, hw = PUBLIC[name](), (64, 96)
    batch = np.random.default_rng(0).random((1, 3, *hw), np.float32)
    with tempfile.TemporaryDirectory() as made:  # not tmp_path: pytest keeps three runs of those, 2 GB each
        cfg_path, weights_path = write_files(Path(made), cfg)
        net = zoo.net(name, hw)
        own = zoo.model(name, darknet_weights.WeightsFile(weights_path, net), hw)
        imported = darknet.load(cfg_path, weights_path, hw=hw).model
        assert own.heads == imported.heads
        # The importer keeps darknet's own sampling, the zoo stretches as OpenCV does; all else is the same.
        resize = "darknet" if own.input.resize == "stretch" else own.input.resize
        assert (replace(own.input, resize=resize), own.nms_beta) == (imported.input, imported.nms_beta)
        wanted = heads(imported, batch)
        del imported
        assert_same(heads(own, batch), wanted)
        del own
        python = os.environ.get("EDGECSP_OPENCV4_PYTHON")
        if not python:
            pytest.skip("EDGECSP_OPENCV4_PYTHON names no interpreter with OpenCV 4; the cfg reader agrees")
        if name not in OPENCV_REFUSES:
            assert_same(opencv_heads(python, Path(made), cfg, batch), wanted)


def opencv_heads(python: str, folder: Path, cfg: Cfg, batch: np.ndarray) -> list[np.ndarray]:
    np.save(folder / "input.npy", batch)
    script = TESTS / "support" / "opencv4_heads.py"
    files = [folder / name for name in ("model.cfg", "model.weights", "input.npy", "heads.npz")]
    subprocess.run([python, script, *files, *map(str, cfg.heads)], check=True, timeout=300)
    with np.load(folder / "heads.npz") as saved:
        return [saved[f"arr_{i}"] for i in range(len(cfg.heads))]


def test_official_tiny_weights() -> None:
    """The one official file that is at hand: the same heads from the zoo and from a cfg."""
    path = DATA / "weights" / "yolov3-tiny.weights"
    if not path.is_file():
        pytest.skip(f"no {path.name} under {DATA} (EDGECSP_TEST_DATA)")
    record = zoo.get("yolov3-tiny").weights
    assert record is not None and path.stat().st_size == record.size
    own = zoo.model("yolov3-tiny", darknet_weights.WeightsFile(path, zoo.net("yolov3-tiny")))
    with tempfile.TemporaryDirectory() as made:
        cfg_path = Path(made) / "tiny.cfg"
        cfg_path.write_text(PUBLIC["yolov3-tiny"]().text)
        imported = darknet.load(cfg_path, path)
    assert not any("WRONG" in note for note in imported.notes)
    assert own.heads == imported.model.heads and own.labels == imported.model.labels
    batch = np.random.default_rng(0).random((1, 3, 416, 416), np.float32)
    for a, b in zip(heads(own, batch), heads(imported.model, batch)):
        np.testing.assert_array_equal(a, b)
