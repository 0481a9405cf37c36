"""The importer against darknet itself, with random weights: EDGECSP_DARKNET_LIBRARY names its libdarknet.so.

Debian's package `darknet` has the library, Joseph Redmon's of 2018: that of the ResNets and of YOLOv2. It knows no
share_index, no [reorg3d] and no [Gaussian_yolo], and its [batchnorm] stores no bias; those are AlexeyAB's.
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
    # The 2018 one adds 1e-6 to the root of a variance, later ones 1e-5 under it: too small to tell here.
    recorder = oracle.Recorder(3, least_variance=1.0)
    image = np.random.default_rng(3).random((3, side, side), np.float32)
    (raw,) = oracle.darknet(text, image, recorder)
    cfg, weights = tmp_path / "a.cfg", tmp_path / "a.weights"
    cfg.write_text(text)
    weights.write_bytes(recorder.data)
    np.save(tmp_path / "in.npy", image)
    arguments = [library, str(cfg), str(weights), str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), str(raw.size)]
    done = subprocess.run([sys.executable, str(CHILD), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.load(tmp_path / "out.npy").reshape(raw.shape)
    session = backends.open(darknet.load(cfg, weights).model, "ort")
    ours = session.run(image[None])[0][0].astype(np.float64)
    session.close()
    for values in (ours, raw):
        if name == "classifier" and values is ours:
            values = softmax(values)
        if raw.shape[0] == 14:
            values = activated(values)
        assert theirs.std() > 1e-3 and np.abs(values - theirs).max() < 1e-4 * np.abs(theirs).max()


def softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values - values.max(0)) / np.exp(values - values.max(0)).sum(0)


def activated(values: np.ndarray) -> np.ndarray:
    """Raw values of the [region] above as darknet leaves them."""
    fields = values.reshape(2, 7, *values.shape[1:]).copy()
    for anchor in fields:
        anchor[[0, 1, 4]] = 1 / (1 + np.exp(-anchor[[0, 1, 4]]))
        anchor[5:] = softmax(anchor[5:])
    return fields.reshape(values.shape)
