"""The network of a run: the layers of a zoo model or a cfg with the data's classes and anchors, and what it becomes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from .. import __version__, zoo
from ..errors import BadWeights, UsageError
from ..graph import onnx_model
from ..graph.layers import Net
from ..importers.darknet import cfg, writing
from ..types import Array, Model
from . import from_cfg
from .anchors import Anchors
from .network import Network

REACH = 2.0
"""`scale_x_y` of trained heads: a cell may answer for boxes whose middle is in a neighbouring one, to its edges."""


@dataclass(frozen=True)
class Layout:
    """The model of a run: its name, the input's side, labels, anchors and which of them each head has.

    `cfg` is the text of the darknet cfg that the layers are of, "" for the zoo's.
    """

    name: str
    side: int
    labels: Tuple[str, ...]
    anchors: Anchors
    masks: Tuple[Tuple[int, ...], ...]
    cfg: str = ""

    @property
    def entry(self) -> zoo.Entry:
        """The model's record. Raises `UnknownName`, `BadModel`."""
        return from_cfg.entry(self.name, self.cfg) if self.cfg else zoo.get(self.name)

    def net(self, side: int = 0) -> Net:
        """The layers for inputs of `side` (the layout's own)."""
        side = side or self.side
        scale = (REACH,) * len(self.masks)
        return self.entry.net((side, side), len(self.labels), self.anchors, self.masks, scale)

    def model(self, network: Network, conf: float, origin: Mapping[str, Any]) -> Model:
        """The trained network as a self-describing ONNX."""
        entry, net = self.entry, self.net()
        return onnx_model.build(
            net,
            TrainedWeights(network),
            name=self.name,
            labels=self.labels,
            input=entry.input(net),
            conf=conf,
            iou=entry.iou,
            origin={str(key): str(value) for key, value in {**self.origin(), **origin}.items()},
        )

    def darknet(self) -> str:
        """The network as a darknet cfg. Raises `BadModel` for a layer that darknet has no section for."""
        comment = f"{self.name}, trained by edgecsp {__version__}; classes: {', '.join(self.labels)}"
        return writing.text(self.net(), self.anchors, " ".join(comment.split()))

    def origin(self) -> Dict[str, str]:
        """Origin of the layers."""
        if not self.cfg:
            return {"zoo": self.name}
        return {"cfg": f"{self.name}.cfg", "cfg_sha256": hashlib.sha256(self.cfg.encode()).hexdigest()}

    def differs_from(self, model: str) -> str:
        """Describe how `model`, as a user types it, differs from this layout's; "" when it is the same."""
        if not (self.cfg and from_cfg.is_cfg(model)):
            return model if self.cfg or model != self.name else ""
        path = Path(model)
        if path.stem != self.name:
            return model
        # The record keeps the text: a run goes on without the file.
        return f"{model} with other lines" if path.is_file() and cfg.read_text(path) != self.cfg else ""

    def to_dict(self) -> Dict[str, Any]:
        """The layout as JSON has it."""
        record = {
            "model": self.name,
            "imgsz": self.side,
            "labels": list(self.labels),
            "anchors": [list(wh) for wh in self.anchors],
            "masks": [list(mask) for mask in self.masks],
        }
        return {**record, "cfg": self.cfg} if self.cfg else record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Layout:
        """Back from JSON."""
        return cls(
            record["model"],
            int(record["imgsz"]),
            tuple(record["labels"]),
            tuple((float(w), float(h)) for w, h in record["anchors"]),
            tuple(tuple(mask) for mask in record["masks"]),
            record.get("cfg", ""),
        )


def trainable(model: str, imgsz: Optional[int] = None) -> zoo.Entry:
    """The record of a zoo model or of a darknet cfg that has YOLO heads.

    Raises `UnknownName`, `SourceError` (no such cfg), `BadModel` (not a cfg), and `UsageError` for one that cannot be
    trained, or that is not square while no `imgsz` says which side to take.
    """
    if from_cfg.is_cfg(model):
        entry = from_cfg.entry(Path(model).stem, cfg_text(model))
        if not (imgsz or entry.size):
            width, height = from_cfg.sides(cfg_text(model))
            raise UsageError(
                f"{model} has an input of {width}x{height}, and training takes square ones; add --imgsz {height}"
            )
        return entry
    entry = zoo.get(model)
    if not entry.anchors or entry.new_coords:
        why = "its heads are Scaled-YOLOv4's" if entry.anchors else "it has no YOLO heads"
        able = [each for each in zoo.names() if zoo.get(each).anchors and not zoo.get(each).new_coords]
        raise UsageError(f"{model} cannot be trained here: {why}; these can: {', '.join(able)}; or a darknet .cfg")
    return entry


def cfg_text(model: str) -> str:
    """The text of a model that is a darknet cfg, "" for a name of the zoo. Raises `SourceError`, `BadModel`."""
    return cfg.read_text(Path(model)) if from_cfg.is_cfg(model) else ""


def masks_of(entry: zoo.Entry) -> Tuple[Tuple[int, ...], ...]:
    """The anchors of each head: the model's own, unless it shares an anchor between heads (yolov3-tiny)."""
    used: List[int] = [i for mask in entry.masks for i in mask]
    if len(set(used)) == len(used):
        return entry.masks
    per = len(entry.masks[0])
    heads = len(entry.masks)
    return tuple(tuple(range((heads - 1 - i) * per, (heads - i) * per)) for i in range(heads))


class TrainedWeights:
    """A network's floats in darknet's order, as `export` asks for them."""

    def __init__(self, network: Network) -> None:
        self._left = iter(network.floats())

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """The next float32 values, of a shape. Raises `BadWeights` for one that is not a number."""
        values: Array = next(self._left)
        if not np.isfinite(values).all():
            raise BadWeights(f"{at}: training left values that are not finite; use a lower --lr")
        return values.reshape(shape)
