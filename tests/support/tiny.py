"""One tiny CSP net: its cfg, its weights, and what the oracle computes from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import numpy as np

from edgecsp.importers import darknet
from edgecsp.types import Model
from support import oracle

# Everything a CSP detector has, in 15 layers: a split by groups, a partial transition, a PRN shortcut of different
# widths, an upsample, a two-size maxpool pair and two yolo heads.
TINY_CFG = """\
[net]
width=64
height=64
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=mish

[route]
layers=-1
groups=2
group_id=1

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[route]
layers=-1,-2

[convolutional]
batch_normalize=1
filters=16
size=1
stride=1
pad=1
activation=leaky

[route]
layers=1,-1

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=1

[convolutional]
batch_normalize=1
filters=24
size=1
activation=leaky

[shortcut]
from=8
activation=leaky

[convolutional]
size=1
filters=16
activation=linear

[yolo]
mask=2,3
anchors=8,10, 14,9, 20,30, 40,36
classes=3
num=4

[route]
layers=11

[upsample]
stride=2

[route]
layers=-1,7

[convolutional]
size=1
filters=16
activation=linear

[yolo]
mask=0,1
anchors=8,10, 14,9, 20,30, 40,36
classes=3
num=4
scale_x_y=1.05
"""


@dataclass(frozen=True)
class Tiny:
    """The tiny net: its files, its model, the batch of one image and the heads that the oracle computes for it."""

    cfg: Path
    weights: Path
    model: Model
    batch: np.ndarray
    heads: Tuple[np.ndarray, ...]


def make_tiny(folder: Path) -> Tiny:
    """Write the net's files into `folder` and import them."""
    cfg, weights = folder / "tiny.cfg", folder / "tiny.weights"
    cfg.write_text(TINY_CFG)
    recorder = oracle.Recorder(seed=7)
    batch = np.random.default_rng(7).random((1, 3, 64, 64), np.float32)
    heads = oracle.darknet(TINY_CFG, batch[0], recorder)
    weights.write_bytes(recorder.data)
    return Tiny(cfg, weights, darknet.load(cfg, weights).model, batch, tuple(head[None] for head in heads))
