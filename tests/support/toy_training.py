"""A trainer of the toy model and batches for it. Needs PyTorch."""

from __future__ import annotations

from typing import Any

import torch

from edgecsp.train import TrainSettings
from edgecsp.train.model import Layout
from edgecsp.train.trainer import Trainer

ANCHORS = ((8.0, 10.0), (20.0, 30.0))


def trainer(steps: int = 100, labels: Any = ("a", "b"), **settings: Any) -> Trainer:
    """A trainer of `steps` steps that has not begun."""
    layout = Layout("toy", 64, labels, ANCHORS, ((0, 1),))
    return Trainer(layout, TrainSettings(**{"batch": 2, "imgsz": 64, **settings}), steps)


def batch(seed: int = 0) -> Any:
    """Two images of noise, (2, 3, 64, 64) uint8, and a box on each, (2, 7)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    return images, torch.tensor([[0, 0, 30.0, 30, 20, 20, 1], [1, 1, 20.0, 40, 12, 16, 1]])
