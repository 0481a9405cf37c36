"""The weights that training begins with: another run's, a zoo model's, a darknet file's, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from torch import Tensor

from .. import zoo
from ..cache.files import nearby
from ..errors import BadWeights, SourceError, UsageError
from ..importers.darknet.weights import WeightsFile
from .model import Layout
from .network import Network

NONE = "none"


def find(wanted: Optional[str], layout: Layout) -> Tuple[str, Dict[str, Tensor]]:
    """What to begin with, as (what it is, tensors by name); no tensors for fresh weights.

    `wanted`: "none", a run's folder or its .pt file, a darknet .weights file of the same model (its heads may have
    other classes), a zoo model whose weights come with the package, or None for the
    weights that the model's record names. Raises
    `SourceError`, `BadWeights`, `UsageError`.
    """
    wanted = wanted or layout.entry.start or NONE
    if wanted == NONE:
        return "fresh weights", {}
    path = Path(wanted)
    if path.is_dir() or path.suffix == ".pt":
        return _of_run(path)
    if path.suffix == ".weights":
        return f"{path.name}", _of_darknet(path, layout)
    if wanted in zoo.names():
        net = zoo.net(wanted)
        weights = zoo.shipped_weights(wanted)
        return f"the weights of {wanted}", dict(Network(net).load(weights).state_dict())
    raise SourceError(
        f"there are no weights at {wanted}{nearby(path)}; --weights takes a run's folder, a .weights file, "
        "the name of a model with weights (edgecsp models list), or none"
    )


def _of_run(path: Path) -> Tuple[str, Dict[str, Tensor]]:
    file = path / "best.pt" if path.is_dir() else path
    if not file.is_file():
        raise SourceError(f"{path} holds no {file.name}: it is no run of edgecsp train, or it has not saved one yet")
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
        return f"the run {path}", dict(held["average"])
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, ImportError) as error:
        raise BadWeights(f"{file} is no checkpoint of edgecsp train: {' '.join(str(error).split())[:200]}") from error
    except Exception as error:
        raise BadWeights(f"{file} is no checkpoint of edgecsp train: {type(error).__name__}") from error


def _of_darknet(path: Path, layout: Layout) -> Dict[str, Tensor]:
    """Arrays of a .weights file of the same model; how many classes its heads have follows from its length."""
    if not path.is_file():
        raise SourceError(f"no weights file at {path}{nearby(path)}")
    entry = layout.entry
    one, two = (entry.net(classes=n, anchors=layout.anchors, masks=layout.masks).floats for n in (1, 2))
    size = path.stat().st_size
    for header in (20, 16):
        classes, rest = divmod((size - header) // 4 - one, two - one)
        if not rest and classes >= 0 and (size - header) % 4 == 0:
            net = entry.net(classes=classes + 1, anchors=layout.anchors, masks=layout.masks)
            return dict(Network(net).load(WeightsFile(path, net)).state_dict())
    raise UsageError(f"{path} ({size} bytes) is not of {layout.name}, with whatever number of classes")
