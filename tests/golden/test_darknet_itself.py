"""The importer against darknet itself, with random weights: EDGECSP_DARKNET_LIBRARY names its libdarknet.so.

Debian's package `darknet` has the library, Joseph Redmon's of 2018: that of the ResNets and of YOLOv2. It knows no
share_index, no [reorg3d] and no [Gaussian_yolo], and its [batchnorm] stores no bias; those are AlexeyAB's.
It adds 1e-6 to the root of a variance where AlexeyAB's, as the importer, adds 1e-5 under it: with random weights that
is 1.4e-4 to 1.9e-4 of the scores of extraction.cfg, darknet19.cfg and densenet201.cfg, all that they differ by.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecsp import backends
from edgecsp.importers import darknet
from support import oracle
from support.repository import REPO

CHILD = REPO / "tests" / "support" / "darknet_library.py"


def conv(filters: int, size: int = 3, stride: int = 1, act: str = "leaky") -> str:
    sides = f"size={size}\nstride={stride}\npad=1\n"
    return f"[convolutional]\nbatch_normalize=1\nfilters={filters}\n{sides}activation={act}\n"


REGION = "[convolutional]\nsize=1\nfilters=14\nactivation=linear\n[region]\nclasses=2\ncoords=4\nnum=2\nsoftmax=1\n"
REGION += "anchors=1.5,2, 3,1\n"
RESIDUAL = conv(12) + conv(16, stride=2) + conv(20, 1, act="linear") + "[shortcut]\nfrom=-3\nactivation=leaky\n"
CFGS = {
    "residual": RESIDUAL + conv(8, 1) + "[shortcut]\nfrom=-2\nactivation=linear\n" + REGION,
    "residual-odd": conv(8, stride=2) + "[maxpool]\nsize=2\nstride=2\n" + RESIDUAL + REGION,
    "reorg": conv(16) + conv(8, stride=2) + "[route]\nlayers=0\n[reorg]\nstride=2\n[route]\nlayers=-1,1\n" + REGION,
    "crop": "[crop]\ncrop_height=28\ncrop_width=20\nflip=1\n" + conv(8) + REGION,
    "connected": conv(8, stride=2) + "[connected]\noutput=10\nbatch_normalize=1\nactivation=leaky\n"
    "[dropout]\nprobability=.5\n[connected]\noutput=6\nactivation=linear\n[softmax]\ngroups=2\ntemperature=2\n",
    "classifier": RESIDUAL + "[avgpool]\n" + conv(5, 1, act="linear") + "[softmax]\ngroups=1\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def library() -> str:
    path = os.environ.get("EDGECSP_DARKNET_LIBRARY", "")
    if not Path(path).is_file():
        pytest.skip("EDGECSP_DARKNET_LIBRARY names no libdarknet.so (Debian's package darknet has one)")
    return path


@pytest.mark.parametrize("name", CFGS)
def test_outputs_are_darknets_own(name: str, library: str, tmp_path: Path) -> None:
    side = 36 if name == "residual-odd" else 32
    text = f"[net]\nbatch=1\nsubdivisions=1\nheight={side}\nwidth={side}\nchannels=3\n" + CFGS[name]
    # Too large for the other epsilon of 2018 to tell: see the last test.
    recorder = oracle.Recorder(3, least_variance=1.0)
    image = np.random.default_rng(3).random((3, side, side), np.float32)
    (raw,) = oracle.darknet(text, image, recorder)
    theirs = run_library(library, text, recorder.data, image, tmp_path, raw.size).reshape(raw.shape)
    session = backends.open(darknet.load(tmp_path / "a.cfg", tmp_path / "a.weights").model, "ort")
    ours = session.run(image[None])[0][0].astype(np.float64)
    session.close()
    for values in (ours, raw):
        if name == "classifier" and values is ours:
            values = softmax(values)
        if raw.shape[0] == 14:
            values = activated(values)
        assert theirs.std() > 1e-3 and np.abs(values - theirs).max() < 1e-4 * np.abs(theirs).max()


def run_library(library: str, text: str, data: bytes, image: np.ndarray, folder: Path, count: int = 5) -> np.ndarray:
    """The last layer's first `count` values; leaves a.cfg and a.weights in `folder`."""
    cfg, weights = folder / "a.cfg", folder / "a.weights"
    cfg.write_text(text)
    weights.write_bytes(data)
    np.save(folder / "in.npy", image)
    arguments = [library, str(cfg), str(weights), str(folder / "in.npy"), str(folder / "out.npy"), str(count)]
    done = subprocess.run([sys.executable, str(CHILD), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(folder / "out.npy")


def softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values - values.max(0)) / np.exp(values - values.max(0)).sum(0)


def activated(values: np.ndarray) -> np.ndarray:
    """Raw values of the [region] above as darknet leaves them."""
    fields = values.reshape(2, 7, *values.shape[1:]).copy()
    for anchor in fields:
        anchor[[0, 1, 4]] = 1 / (1 + np.exp(-anchor[[0, 1, 4]]))
        anchor[5:] = softmax(anchor[5:])
    return fields.reshape(values.shape)


def test_what_differs_is_the_epsilon_of_2018(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[net]\nbatch=1\nsubdivisions=1\nheight=32\nwidth=32\nchannels=3\n" + CFGS["classifier"]
    image = np.random.default_rng(5).random((3, 32, 32), np.float32)
    recorder = oracle.Recorder(5, least_variance=1e-4)
    (later,) = oracle.darknet(text, image, recorder)
    monkeypatch.setattr(oracle, "normalize", normalize_of_2018)
    (of_2018,) = oracle.darknet(text, image, oracle.file_weights(recorder.data))
    theirs = run_library(library, text, recorder.data, image, tmp_path).reshape(later.shape)
    assert np.abs(of_2018 - theirs).max() < 1e-5 * np.abs(theirs).max()
    assert np.abs(later - theirs).max() > 1e-4 * np.abs(theirs).max()


def normalize_of_2018(y: np.ndarray, bias: np.ndarray, *norm: np.ndarray) -> np.ndarray:
    if norm:
        scale, mean, variance = (part[:, None, None] for part in norm)
        y = (y - mean) / (np.sqrt(variance) + 0.000001) * scale
    return y + bias[:, None, None]
