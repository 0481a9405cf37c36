"""Raw heads -> candidate boxes. The same numpy for every engine, so a difference is the engine's."""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence, Tuple

import numpy as np

from .core import Array, Classes, Head, Model, Scores, Yolo
from .errors import BadModel


class Candidates(NamedTuple):
    """Boxes before NMS: xyxy (N, 4) float32 in network pixels, scores (N,) float32, class_ids (N,) int32.

    As in darknet, a box stands once for every class whose score passes.
    """

    xyxy: Array
    scores: Array
    class_ids: Array


def boxes(heads: Sequence[Head], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float) -> Candidates:
    """All candidates of one picture with score > `conf`.

    `outputs` are the heads' arrays of one picture, (1, channels, H, W) each, in the heads' order.
    """
    parts = [_yolo(head, out, input_hw, conf) for head, out in zip(heads, outputs) if isinstance(head, Yolo)]
    if len(parts) != len(outputs):
        raise BadModel(f"the graph gave {len(outputs)} outputs for {len(parts)} box heads")
    return Candidates(*(np.concatenate(columns) for columns in zip(*parts)))


def _yolo(head: Yolo, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
    n = len(head.anchors_wh)
    fields = 5 + head.classes
    _, channels, height, width = out.shape
    if channels != n * fields:
        raise BadModel(
            f"head {head.name} has {channels} channels; {n} anchors of {head.classes} classes make {n * fields}"
        )
    grid = out.reshape(n, fields, height * width)
    # Most places hold nothing: one comparison of the raw objectness drops them before any arithmetic.
    floor = conf if head.new_coords else _logit(conf)
    anchor, place = np.nonzero(grid[:, 4] > floor)
    raw = grid[anchor, :, place]
    objectness, classes = raw[:, 4], raw[:, 5:]
    # A score is objectness x class <= class, so the class alone must pass too.
    row, class_id = np.nonzero(classes > floor)
    if head.new_coords:
        scores = objectness[row] * classes[row, class_id]
    else:
        scores = _sigmoid(objectness)[row] * _sigmoid(classes[row, class_id])
    keep = scores > np.float32(conf)
    row, class_id, scores = row[keep], class_id[keep], scores[keep]
    used, row = np.unique(row, return_inverse=True)
    cell = np.stack((place[used] % width, place[used] // width), 1).astype(np.float32)
    step = np.array((input_hw[1] / width, input_hw[0] / height), np.float32)
    anchors = np.array(head.anchors_wh, np.float32)[anchor[used]]
    xyxy = _boxes(head, raw[used, :4], cell, step, anchors)[row.reshape(-1)]
    # A NaN among the raw four (fp16 that overflowed) makes no box; comparing dropped those among the scores.
    real = np.isfinite(xyxy).all(1)
    return Candidates(xyxy[real], scores[real].astype(np.float32), class_id[real].astype(np.int32))


def _boxes(head: Yolo, raw: Array, cell: Array, step: Array, anchors: Array) -> Array:
    """Rows [tx, ty, tw, th] -> xyxy network pixels."""
    s = np.float32(head.scale_xy)
    shift = raw[:, :2] if head.new_coords else _sigmoid(raw[:, :2])
    xy = (cell + shift * s - (s - 1) / 2) * step
    # exp past 80 leaves float32; such a box covers the picture many times over either way.
    wh = (2 * raw[:, 2:]) ** 2 if head.new_coords else np.exp(np.minimum(raw[:, 2:], np.float32(80)))
    half = wh * anchors / 2
    return np.concatenate((xy - half, xy + half), 1).astype(np.float32)


def _sigmoid(x: Array) -> Array:
    y: Array = np.float32(1) / (np.float32(1) + np.exp(-np.clip(x, np.float32(-80), np.float32(80))))
    return y


def _logit(p: float) -> float:
    return -math.inf if p <= 0 else math.inf if p >= 1 else math.log(p / (1 - p))


def classes(model: Model, outputs: Sequence[Array], top: int = 5) -> Classes:
    """A classifier's `top` classes for one picture, highest score first."""
    head = model.heads[0]
    assert isinstance(head, Scores)
    scores = outputs[0].reshape(-1).astype(np.float32)
    if scores.size != head.classes:
        raise BadModel(f"the classifier gave {scores.size} scores for {head.classes} classes")
    if not np.isfinite(scores).all():
        raise BadModel(f"{model.name} gave scores that are no numbers; its weights or its precision are at fault")
    if head.softmax:
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    best = np.argsort(-scores, kind="stable")[:top]
    return Classes(scores[best], best.astype(np.int32), model.labels)
