"""Import darknet's `.cfg` and `.weights` as a self-describing ONNX model.

    imported = darknet.load("yolov3-tiny.cfg", "yolov3-tiny.weights")
    onnx_model.save(imported.model, "yolov3-tiny.onnx")

`cfg` knows the syntax, `layers` what each section means, `weights` the binary file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple, Union

from ...cache import files
from ...errors import BadModel, SourceError
from ...graph import onnx_model
from ...graph.labels import COCO, default_labels
from ...graph.layers import Net
from ...processing.heads.yolo import Yolo
from ...types import Input, Model
from .cfg import read
from .layers import build
from .weights import WeightsFile

__all__ = ["DarknetImport", "load", "read_names"]

_TINY_ANCHORS = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0))
_TINY_SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"


@dataclass(frozen=True)
class DarknetImport:
    """A model, its network (with costs), the number of darknet layers, and notes for the user."""

    model: Model
    net: Net
    layers: int
    notes: Tuple[str, ...] = ()


def load(
    cfg: Union[str, Path],
    weights: Union[str, Path],
    names: Optional[Union[str, Path]] = None,
    *,
    hw: Optional[Tuple[int, int]] = None,
    resize: Optional[str] = None,
) -> DarknetImport:
    """Read a darknet model.

    `names` is a file with one label a line; `hw` (height, width) replaces the cfg's input size; `resize`
    replaces its resize mode. Raises `SourceError`, `BadModel` or `BadWeights`, with the line or the layer.
    """
    cfg, weights = Path(cfg), Path(weights)
    built, cfg_resize = build(read(cfg), hw)
    net = built.net
    if not net.heads:
        raise BadModel(f"{cfg} has no head: no [yolo], and it does not end in a classifier's 1x1 output")
    file = WeightsFile(weights, net)
    digest = files.digest_of(weights)
    classes = net.heads[0][1].classes
    labels, notes = _labels(names, classes, has_boxes=net.heads[0][1].result.has_boxes)
    notes += _mask_note(net, digest)
    model = onnx_model.build(
        net,
        file,
        name=cfg.stem,
        labels=labels,
        input=Input((net.input.h, net.input.w), resize or cfg_resize, channels=net.input.c),
        nms_beta=built.nms_beta,
        origin={"source": f"darknet: {cfg.name} + {weights.name}", "sha256": digest},
    )
    return DarknetImport(model, net, len(built.outputs), tuple(built.notes + notes))


def read_names(path: Union[str, Path]) -> Tuple[str, ...]:
    """Read the labels of a `.names` file: one per line, without blank lines."""
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"no names file at {path}{files.suggest_similar(path)}")
    data = path.read_bytes()
    if len(data) > 1 << 20 or b"\0" in data:
        raise BadModel(f"{path} is not a names file: it should hold one label per line")
    lines = (line.strip() for line in data.decode("utf-8-sig", errors="replace").splitlines())
    return tuple(line for line in lines if line)


def _labels(names: Optional[Union[str, Path]], classes: int, has_boxes: bool) -> Tuple[Tuple[str, ...], List[str]]:
    if names is not None:
        labels = read_names(names)
        if len(labels) != classes:
            raise BadModel(f"{names} holds {len(labels)} labels and the cfg says classes={classes}; they must agree")
        return labels, []
    labels = default_labels(classes, has_boxes=has_boxes)
    if labels is COCO:
        return labels, [f"{classes} classes and no --names: assumed to be COCO's, in darknet's order"]
    return labels, [f"no --names: the {classes} classes are called class0, class1 ..."]


def _mask_note(net: Net, digest: str) -> List[str]:
    """The official yolov3-tiny weights were trained with mask 1,2,3 at /16; many cfgs say 0,1,2."""
    for _, head in net.heads:
        if not isinstance(head, Yolo) or head.mask != (0, 1, 2) or head.anchors_wh != _TINY_ANCHORS:
            continue
        official = digest == _TINY_SHA256
        if official or (head.classes == len(COCO) and len(net.heads) == 2):
            whose = "these are the official yolov3-tiny weights" if official else "YOLOv3-tiny's and PRN's own weights"
            note = f"mask=0,1,2 at stride {head.stride}, but {whose}{',' if official else ' were'} "
            note += "trained with mask=1,2,3. "
            note += "Write that in the [yolo] and import again, or lose a third of the AP50"
            return [f"WRONG ANCHORS: {note}" if official else note]
    return []
