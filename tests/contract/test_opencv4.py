"""The importer against OpenCV 4's own darknet reader, for the layers that both know.

It adds 1e-6 to a variance where darknet adds 1e-5: in deep networks that is up to 3e-4 of the heads' scale, and nothing
is left of it (2e-6) where all variances are large. Of the layers that it knows, [crop] breaks its reading of the
weights, and a [shortcut] of two sizes is an error there.
OpenCV 5 has dropped that reader: EDGECSP_OPENCV4_PYTHON names an interpreter that has OpenCV 4 and numpy.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgecsp import backends
from edgecsp.importers import darknet
from edgecsp.processing import decode
from support import oracle
from support.repository import REPO
from support.tiny import TINY_CFG

CHILD = REPO / "tests" / "support" / "opencv4_heads.py"


def conv(filters: int, size: int = 3, activation: str = "leaky", **options: int) -> str:
    said = {"batch_normalize": 1, "filters": filters, "size": size, "pad": 1, "activation": activation, **options}
    return "[convolutional]\n" + "".join(f"{key}={value}\n" for key, value in said.items())


def cfg(*sections: str, side: int = 32) -> str:
    """A net of the sections that ends in one linear head."""
    head = "[convolutional]\nsize=1\nfilters=6\nactivation=linear\n[yolo]\nanchors=4,5\nnum=1\nclasses=1\nmask=0\n"
    return f"[net]\nwidth={side}\nheight={side}\nchannels=3\n" + "".join(sections) + head


CFGS = {
    "activations": cfg(*(conv(8, 1, a) for a in ("relu", "mish", "swish", "logistic", "tanh", "leaky"))),
    "strides-groups-dilation": cfg(conv(8, 3, stride=2), conv(16, 3, groups=4), conv(16, 5), conv(12, 1, pad=0)),
    "bias-without-bn": cfg(conv(8, 3, batch_normalize=0), conv(6, 3, "linear")),
    "pools": cfg(
        conv(8),
        "[maxpool]\nsize=2\nstride=2\n",
        "[maxpool]\nsize=2\nstride=1\n",
        "[maxpool]\nsize=3\nstride=2\n",
        side=40,
    ),
    "odd-pool": cfg(conv(4), "[maxpool]\nsize=2\nstride=2\n", side=31),
    "spp": cfg(
        conv(4),
        "[maxpool]\nsize=5\nstride=1\n",
        "[route]\nlayers=-2\n",
        "[maxpool]\nsize=9\nstride=1\n",
        "[route]\nlayers=-1,-3,0\n",
    ),
    "csp": cfg(
        conv(16, 3, stride=2), "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n", conv(8), conv(8),
        "[route]\nlayers=-1,-2\n", conv(16, 1), "[route]\nlayers=0,-1\n",
    ),
    "residual": cfg(conv(8), conv(4, 1), conv(8), "[shortcut]\nfrom=-3\nactivation=linear\n", conv(8)),
    "upsample": cfg(conv(8, 3, stride=2), "[upsample]\nstride=2\n", conv(4)),
    "squeeze": cfg(conv(8), "[avgpool]\n", conv(4, 1, "swish"), conv(8, 1, "logistic"), "[scale_channels]\nfrom=0\n"),
    "sam": cfg(conv(8), conv(8, 1, "logistic"), "[sam]\nfrom=-2\n"),
    "reorg": cfg(conv(16), "[reorg]\nstride=2\n", conv(8)),
    "dropout": cfg(conv(8), "[dropout]\nprobability=.5\n", conv(4)),
    "tiny": TINY_CFG,
}  # fmt: skip


@pytest.fixture(scope="module")
def opencv4() -> str:
    python = os.environ.get("EDGECSP_OPENCV4_PYTHON")
    if not python or not Path(python).exists():
        pytest.skip("EDGECSP_OPENCV4_PYTHON names no interpreter with OpenCV 4, the last with a darknet reader")
    return python


def opencv4_outputs(opencv4: str, folder: Path, text: str, layers: list) -> tuple:
    """A cfg with random weights: a batch, what the oracle and OpenCV 4 compute, and our import."""
    sections = oracle.sections_of(text)
    side = int(sections[0][1]["height"])
    recorder = oracle.Recorder(3, least_variance=1.0)  # OpenCV has 1e-6, darknet 1e-5: too small to tell here
    batch = np.random.default_rng(3).random((1, 3, side, side), np.float32)
    wanted = oracle.darknet(text, batch[0], recorder)
    model, weights = folder / "a.cfg", folder / "a.weights"
    model.write_text(text)
    weights.write_bytes(recorder.data)
    np.save(folder / "in.npy", batch)
    done = subprocess.run(
        [opencv4, str(CHILD), str(model), str(weights), str(folder / "in.npy"), str(folder / "out.npz"), *layers],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "out.npz") as theirs:
        return batch, wanted, [theirs[key] for key in theirs], darknet.load(model, weights).model


def test_same_boxes_as_opencv_4_gives_for_a_region(opencv4: str, tmp_path: Path) -> None:
    head = "[convolutional]\nsize=1\nfilters=14\nactivation=linear\n[region]\nclasses=2\nnum=2\ncoords=4\n"
    text = cfg(conv(16, 3, stride=2), "[reorg]\nstride=2\n")
    text = text[: text.rindex("[convolutional]")] + head + "anchors=1.5,2, 3,1\nsoftmax=1\nthresh=.1\n"
    batch, (raw,), (rows,), model = opencv4_outputs(opencv4, tmp_path, text, ["last"])
    session = backends.open(model, "ort")
    found = decode.boxes(model.heads, session.run(batch), model.input.hw, 0.3)
    session.close()
    theirs = [(row[5 + k], k, *(row[:4] * 32)) for row in rows for k in (0, 1) if row[5 + k] > 0.3]
    assert len(theirs) == len(found.scores) == len(oracle.region(raw, ((1.5, 2), (3, 1)), 2, (32, 32), 0.3)) > 20
    sizes = np.concatenate(((found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2, found.xyxy[:, 2:] - found.xyxy[:, :2]), 1)
    ours = sorted(zip(found.scores, found.class_ids, *sizes.T))
    assert np.abs(np.array(sorted(theirs)) - np.array(ours)).max() < 2e-3  # pixels; scores within float32


def test_same_scores_as_opencv_4_gives_for_connected_layers(opencv4: str, tmp_path: Path) -> None:
    net = cfg(conv(16, 3, stride=2))
    text = net[: net.rindex("[convolutional]")] + "[connected]\noutput=8\nactivation=leaky\n"
    text += "[connected]\noutput=5\nactivation=linear\n[softmax]\ngroups=1\n"
    batch, (wanted,), (theirs,), model = opencv4_outputs(opencv4, tmp_path, text, ["last"])
    session = backends.open(model, "ort")
    logits = session.run(batch)[0].reshape(-1)
    session.close()
    soft = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert np.abs(soft - theirs.reshape(-1)).max() < 1e-4 and np.abs(wanted.reshape(-1) - soft).max() < 1e-5


@pytest.mark.parametrize("name", CFGS)
def test_same_heads_as_opencv_4(name: str, opencv4: str, tmp_path: Path) -> None:
    text = CFGS[name]
    heads = [str(i - 2) for i, (kind, _) in enumerate(oracle.sections_of(text)) if kind == "yolo"]
    batch, wanted, theirs, model = opencv4_outputs(opencv4, tmp_path, text, heads)
    session = backends.open(model, "ort")
    for ours, other, slow in zip(session.run(batch), theirs, wanted):
        assert other.shape == ours.shape
        scale = np.abs(other).max()
        assert np.abs(ours - other).max() < 1e-4 * scale
        assert np.abs(slow - other).max() < 1e-4 * scale  # and so the oracle of all other tests
    session.close()
