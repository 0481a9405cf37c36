"""Exports that give more than boxes: masks, keypoints, angles. The boxes can be read alone when the user asks."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from ...errors import BadModel, UsageError
from .graph import GraphOutput
from .kinds import STRIDES
from .tail import GraphTail

Hw = Tuple[int, int]
_KEYPOINTS = (17, 3)
_POSE_FIELDS = 4 + 1 + 17 * 3  # of a pose model of one class, whose file says nothing


class BeyondBoxes(NamedTuple):
    """A file's outputs beside boxes: the task, its name for people, and how many fields of a row hold it."""

    name: str
    about: str
    fields: int


def find_task(
    name: str, outputs: Sequence[GraphOutput], hw: Hw, keypoints: Optional[Tuple[int, int]], *, boxes_only: bool
) -> Optional[BeyondBoxes]:
    """Find what a file gives beside boxes, by the task of its metadata, else by its outputs.

    With `boxes_only` rows as long as a pose model's are taken for one. None for a detector.
    """
    masks = [out for out in outputs if len(out.shape) == 4 and out.shape[2:] == (hw[0] // 4, hw[1] // 4)]
    if name == "segment" or (len(outputs) > 1 and any(out.shape[1] == 32 for out in masks)):
        return BeyondBoxes("segment", "segmentation masks", masks[0].shape[1] if masks else 32)
    if any("mask" in out.name for out in outputs):
        return BeyondBoxes("segment", "segmentation masks", 0)
    if name == "obb":
        return BeyondBoxes("obb", "oriented boxes", 1)
    count, values = keypoints or _KEYPOINTS
    if name == "pose":
        return BeyondBoxes("pose", "poses (keypoints)", count * values)
    if any("keypoint" in out.name for out in outputs):
        return BeyondBoxes("pose", "poses (keypoints)", 0)
    is_pose = boxes_only and any(len(out.shape) == 3 and _POSE_FIELDS in out.shape[1:] for out in outputs)
    return BeyondBoxes("pose", "poses (keypoints)", count * values) if is_pose else None


def refuse(filename: str, task: BeyondBoxes) -> None:
    """Raise `BadModel`: what it gives beside boxes is not read."""
    raise BadModel(
        f"{filename} gives {task.about}; edgecsp runs detectors and classifiers. "
        f"For its boxes alone: edgecsp import {filename} --boxes-only"
    )


def read_alone(
    proto: Any, filename: str, outputs: Sequence[GraphOutput], task: Optional[BeyondBoxes], hw: Hw
) -> Tuple[GraphOutput, ...]:
    """Append nodes that drop what is no box; returns the outputs that are left. Raises `UsageError` without any.

    An oriented box becomes the upright one around it.
    """
    if task is None:
        raise UsageError(f"{filename} gives boxes and nothing beside them, by its outputs; omit --boxes-only")
    if not task.fields:
        return tuple(out for out in outputs if "mask" not in out.name and "keypoint" not in out.name)
    tail = GraphTail(proto)
    rows = [out for out in outputs if len(out.shape) == 3 and out.shape[0] == 1]
    return tuple(_cut_rows(tail, output, task, hw) for output in rows)


def _cut_rows(tail: GraphTail, output: GraphOutput, task: BeyondBoxes, hw: Hw) -> GraphOutput:
    cells = [sum((hw[0] // s) * (hw[1] // s) for s in strides) for strides in STRIDES]
    axis = 1 if output.shape[2] in cells else 2
    fields = output.shape[axis] - task.fields
    if fields < 5:
        return output
    shape: List[int] = list(output.shape)
    shape[axis] = fields
    cut = tail.take(output.name, range(fields), axis=axis)
    if task.name == "obb":
        is_grid = shape[3 - axis] in cells
        cut = _upright(tail, output.name, cut, axis, fields, corners=not is_grid)
    return tail.output(cut, tuple(shape), name_of(output))


def name_of(output: GraphOutput) -> str:
    """Name what is left of an output."""
    return f"{output.name}_boxes"


def _upright(tail: GraphTail, name: str, cut: str, axis: int, fields: int, *, corners: bool) -> str:
    """Rows [x, y, w, h, ..., angle in radians] -> boxes around them, as centre and size or as `corners`.

    Source: ultralytics, utils/ops.py, xywhr2xyxyxyxy.
    """
    xy, w, h = (tail.take(name, columns, axis=axis) for columns in ([0, 1], [2], [3]))
    angle = tail.take(name, [fields], axis=axis)
    cos, sin = (tail.node("Abs", tail.node(op, angle)) for op in ("Cos", "Sin"))
    sides = [
        tail.node("Add", tail.node("Mul", w, along), tail.node("Mul", h, across))
        for along, across in ((cos, sin), (sin, cos))
    ]
    wh = tail.node("Concat", *sides, axis=axis)
    parts = [xy, wh]
    if corners:
        half = tail.node("Mul", wh, tail.const(0.5))
        parts = [tail.node("Sub", xy, half), tail.node("Add", xy, half)]
    return tail.node("Concat", *parts, tail.take(cut, range(4, fields), axis=axis), axis=axis)
