"""The weights that training begins with: another run's, a zoo model's, a darknet file's, or none.

Heads are for the classes that they learned. Where their names are known, the rows of those that are to be learned again
are taken along (`fit`), with the anchors that they were trained with; the others begin anew.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from .. import zoo
from ..bench.accuracy.names import normalize
from ..cache.files import suggest_similar
from ..errors import BadModel, BadWeights, SourceError, UsageError
from ..graph.labels import COCO
from ..graph.layers import Net
from ..importers.darknet import read_names
from ..importers.darknet.weights import WeightsFile
from ..types import Array
from . import from_cfg
from .anchors import Anchors, kmeans, shape_iou
from .augment import SMALLEST
from .data import Images
from .model import Layout, cfg_text, masks_of
from .network import Network, yolo_heads

LOG = logging.getLogger(__name__)
NONE = "none"


@dataclass(frozen=True)
class Start:
    """Initial weights: tensors by the network's names; none for fresh weights.

    `net` is the network that they are of, and `labels` the classes of its heads; None and () where that is not known.
    """

    name: str
    state: Mapping[str, Tensor] = field(default_factory=dict)
    net: Optional[Net] = None
    labels: Tuple[str, ...] = ()

    def shared(self, labels: Sequence[str]) -> Dict[int, int]:
        """Map places of `labels` to the places of its own classes; those that it lacks are left out."""
        own = {normalize(label): place for place, label in enumerate(self.labels)}
        return {place: own[normalize(label)] for place, label in enumerate(labels) if normalize(label) in own}

    def anchors(self, labels: Sequence[str], masks: Sequence[Sequence[int]]) -> Anchors:
        """Its heads' anchors in the order of `masks`, if it knows one of `labels`; () otherwise."""
        heads = yolo_heads(self.net) if self.net is not None and self.shared(labels) else {}
        if [len(head.anchors_wh) for head in heads.values()] != [len(mask) for mask in masks]:
            return ()
        places = {place: wh for head, mask in zip(heads.values(), masks) for place, wh in zip(mask, head.anchors_wh)}
        return tuple(places[place] for place in sorted(places))

    def fit(self, network: Network, labels: Sequence[str]) -> Dict[str, Tensor]:
        """Its tensors for `network`, whose heads have `labels`: rows of classes that it lacks are the network's own."""
        state, own = dict(self.state), network.state_dict()
        if self.net is None or not self.labels:
            return state
        pairs = list(self.shared(labels).items())
        for (layer, old), (other, new) in zip(yolo_heads(self.net).items(), yolo_heads(network.net).items()):
            count = len(old.anchors_wh)
            if layer != other or count != len(new.anchors_wh):
                continue
            for name in (f"convolutions.{layer}.0.{part}" for part in ("weight", "bias")):
                if not pairs:
                    state.pop(name)
                elif self.state[name].shape[1:] == own[name].shape[1:]:
                    rows, source = (t.unflatten(0, (count, -1)) for t in (own[name].clone(), self.state[name]))
                    rows[:, :5] = source[:, :5]
                    # Both heads place a centre by s * sigmoid(t): the slope in a cell's middle stays what it was.
                    rows[:, :2] *= old.scale_xy / new.scale_xy
                    for place, learned in pairs:
                        rows[:, 5 + place] = source[:, 5 + learned]
                    state[name] = rows.flatten(0, 1)
        return state


def find(requested: Optional[str], entry: Optional[zoo.Entry]) -> Start:
    """Find the initial weights of a model of `entry`; only a .weights file and the default need one.

    `wanted`: "none", a run's folder or its .pt file, a darknet .weights file of the same model (its heads may have
    other classes), a zoo model whose weights come with the package, or None for the weights that the record names.
    Raises `SourceError`, `BadWeights`, `UsageError`.
    """
    requested = requested or (entry and entry.start) or NONE
    if requested == NONE:
        return Start("fresh weights")
    path = Path(requested)
    if path.is_dir() or path.suffix == ".pt":
        return _of_run(path)
    if path.suffix == ".weights" and entry is not None:
        return _of_darknet(path, entry)
    if requested in zoo.names():
        if requested not in zoo.bundled_names():
            raise UsageError(
                f"--weights {requested}: edgecsp keeps a pulled model as ONNX, which cannot be trained; give its file, "
                f"--weights {requested}.weights, or a bundled model ({', '.join(zoo.bundled_names())})"
            )
        net = zoo.net(requested)
        state = Network(net).load(zoo.bundled_weights(requested)).state_dict()
        return Start(f"the weights of {requested}", state, net, zoo.get(requested).labels)
    raise SourceError(
        f"there are no weights at {requested}{suggest_similar(path)}; --weights takes a run's folder, a .weights file, "
        f"a bundled model ({', '.join(zoo.bundled_names())}), or none"
    )


def find_teacher(requested: str) -> Start:
    """A trained network with YOLO heads: X.cfg with X.weights beside it, a run (its folder, best.onnx or best.pt), or a
    zoo model whose weights come with the package. Raises `SourceError`, `BadModel`, `BadWeights`, `UsageError`.
    """
    path = Path(requested)
    if from_cfg.is_cfg(requested):
        return _of_darknet(path.with_suffix(".weights"), from_cfg.entry(path.stem, cfg_text(requested)))
    if path.suffix == ".onnx":
        path = path.parent
    if not (path.is_dir() or path.suffix == ".pt" or requested in zoo.names()):
        raise SourceError(
            f"--distill {requested}: give X.cfg with X.weights beside it, the folder of "
            f"a run of edgecsp train, or a bundled model ({', '.join(zoo.bundled_names())})"
        )
    return find(str(path), None)


def _of_run(path: Path) -> Start:
    folder, file = (path, path / "best.pt") if path.is_dir() else (path.parent, path)
    if not file.is_file():
        raise SourceError(f"{path} holds no {file.name}: it is not a run of edgecsp train, or it has not saved one yet")
    try:
        state = dict(torch.load(file, map_location="cpu", weights_only=True)["average"])
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, ImportError) as error:
        raise BadWeights(
            f"{file} is not a checkpoint of edgecsp train: {' '.join(str(error).split())[:200]}"
        ) from error
    except Exception as error:
        raise BadWeights(f"{file} is not a checkpoint of edgecsp train: {type(error).__name__}") from error
    try:
        layout = Layout.from_dict(json.loads((folder / "run.json").read_text(encoding="utf-8"))["layout"])
    except (OSError, ValueError, KeyError, TypeError):
        return Start(f"the run {path}", state)  # a checkpoint that was moved: its classes are not known
    return Start(f"the run {path}", state, layout.net(), layout.labels)


def _of_darknet(path: Path, entry: zoo.Entry) -> Start:
    """A .weights file of the same model; how many classes its heads have follows from its length."""
    if not path.is_file():
        raise SourceError(f"no weights file at {path}{suggest_similar(path)}")
    one, two = (entry.net(classes=n).floats for n in (1, 2))
    size = path.stat().st_size
    for header in (20, 16):
        classes, rest = divmod((size - header) // 4 - one, two - one)
        if not rest and classes >= 0 and (size - header) % 4 == 0:
            net = entry.net(classes=classes + 1)
            state = Network(net).load(WeightsFile(path, net)).state_dict()
            return Start(path.name, state, net, _labels_beside(path, classes + 1))
    raise UsageError(f"{path} ({size} bytes) is not of {entry.name}, with any number of classes")


def _labels_beside(path: Path, classes: int) -> Tuple[str, ...]:
    """The labels of X.weights: X.names, else COCO's for eighty; () where they are not known."""
    try:
        labels = read_names(path.with_suffix(".names"))
    except (SourceError, BadModel):
        labels = COCO if classes == len(COCO) else ()
    return labels if len(labels) == classes else ()


def _learnable(shares: Array, side: int) -> Array:
    """Widths and heights in pixels of the boxes that are large enough to be learned, (N, 2).

    `shares` are those of all boxes in shares of the image's sides, (N, 2). Raises `UsageError` where all are too small.
    """
    wh = shares * side
    large = (wh >= SMALLEST).all(1)
    if large.all():
        return wh
    # Nine of ten boxes are large enough there.
    enough = int(np.ceil(SMALLEST / max(1e-9, float(np.quantile(shares.min(1), 0.1))) / 32)) * 32
    advice = f"; at --imgsz {enough} nine of ten are larger" if side < enough <= 4096 else ""
    few = f"{(~large).sum():,} of {len(wh):,} boxes are narrower than {SMALLEST} px"
    text = f"{few} at an input of {side} px: too small to learn"
    if not large.any():
        raise UsageError(f"{text}{advice}")
    LOG.warning("%s%s", text, advice)
    return np.asarray(wh[large])


def choose_layout(entry: zoo.Entry, side: int, images: Images, names: Tuple[str, ...], begin: Start) -> Layout:
    """Anchors of the heads that training begins with; else from the data, by k-means on the IoU of shapes."""
    wh = _learnable(np.concatenate(images.sizes), side)
    masks = masks_of(entry)
    count = sum(map(len, masks))
    fitted = kmeans(wh, count) if len(wh) >= count else tuple(entry.anchors[:count])
    anchors = begin.anchors(names, masks)
    before, after = (float(shape_iou(wh, np.array(a)).max(1).mean()) for a in (anchors or entry.anchors, fitted))
    if anchors:
        LOG.info("anchors of the weights: mean best IoU of shapes %.3f (from the data: %.3f)", before, after)
    else:
        LOG.info("anchors from the data: mean best IoU of shapes %.3f -> %.3f", before, after)
        anchors = fitted
    return Layout(entry.name, side, tuple(names), anchors, masks)
