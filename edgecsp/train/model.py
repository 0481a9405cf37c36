"""The network of a run: a zoo model's layers with the data's classes and anchors, and the ONNX that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from .. import onnx_model, zoo
from ..core import Array, Model
from ..errors import BadWeights, UsageError
from ..net import Net
from .anchors import Anchors
from .network import Network

REACH = 2.0
"""`scale_x_y` of trained heads: a cell may answer for boxes whose middle is in a neighbouring one, to its edges."""


@dataclass(frozen=True)
class Layout:
    """What a run trains: a zoo model's name, the input's side, labels, anchors and which of them each head has."""

    name: str
    side: int
    labels: Tuple[str, ...]
    anchors: Anchors
    masks: Tuple[Tuple[int, ...], ...]

    def net(self, side: int = 0) -> Net:
        """The layers for inputs of `side` (the layout's own)."""
        side = side or self.side
        scale = (REACH,) * len(self.masks)
        return zoo.net(
            self.name, (side, side), len(self.labels), anchors=self.anchors, masks=self.masks, scale_xy=scale
        )

    def model(self, network: Network, conf: float, origin: Mapping[str, Any]) -> Model:
        """The trained network as a self-describing ONNX."""
        entry, net = zoo.get(self.name), self.net()
        return onnx_model.build(
            net,
            TrainedWeights(network),
            name=self.name,
            labels=self.labels,
            input=entry.input(net),
            conf=conf,
            iou=entry.iou,
            origin={str(key): str(value) for key, value in origin.items()},
        )

    def to_dict(self) -> Dict[str, Any]:
        """As JSON keeps it."""
        return {
            "model": self.name,
            "imgsz": self.side,
            "labels": list(self.labels),
            "anchors": [list(wh) for wh in self.anchors],
            "masks": [list(mask) for mask in self.masks],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Layout:
        """Back from JSON."""
        return cls(
            record["model"],
            int(record["imgsz"]),
            tuple(record["labels"]),
            tuple((float(w), float(h)) for w, h in record["anchors"]),
            tuple(tuple(mask) for mask in record["masks"]),
        )


def trainable(name: str) -> zoo.Entry:
    """A zoo model that has YOLO heads. Raises `UnknownName`, and `UsageError` for one that has none."""
    entry = zoo.get(name)
    if not entry.anchors or entry.new_coords:
        why = "its heads are Scaled-YOLOv4's" if entry.anchors else "it has no YOLO heads"
        able = [each for each in zoo.names() if zoo.get(each).anchors and not zoo.get(each).new_coords]
        raise UsageError(f"{name} cannot be trained here: {why}; these can: {', '.join(able)}")
    return entry


def masks_of(entry: zoo.Entry) -> Tuple[Tuple[int, ...], ...]:
    """Which anchors each head has: the model's own, unless it shares an anchor between heads (yolov3-tiny)."""
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
            raise BadWeights(f"{at}: training left values that are no numbers; take a lower --lr")
        return values.reshape(shape)
