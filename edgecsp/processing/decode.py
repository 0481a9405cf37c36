"""Raw heads -> candidate boxes. The same numpy for every engine, so a difference is the engine's."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import groupby
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import BadModel
from ..types import AnchorFree, Array, Classes, Decoded, EndToEnd, Head, Model, Scores, Yolo


class Candidates(NamedTuple):
    """Boxes before NMS: xyxy (N, 4) float32 in network pixels, scores (N,) float32, class_ids (N,) int32.

    As in darknet, a box stands once for every class whose score passes; of other families' heads without
    `multi_label`, once for its best class.
    """

    xyxy: Array
    scores: Array
    class_ids: Array


NOTHING = Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))


def boxes(heads: Sequence[Head], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float) -> Candidates:
    """All candidates of one picture with score > `conf`.

    `outputs` are the heads' arrays of one picture, each of the shape its head says, in the heads' order.
    """
    read = [head for head in heads if type(head) in _DECODERS]
    if len(read) != len(outputs):
        raise BadModel(f"the graph gave {len(outputs)} outputs for {len(read)} box heads")
    parts = [
        _DECODERS[alike[0]]([head for head, _ in pairs], [out for _, out in pairs], input_hw, conf)
        for alike, pairs in ((alike, list(pairs)) for alike, pairs in groupby(zip(read, outputs), _alike))
    ]
    return parts[0] if len(parts) == 1 else Candidates(*(np.concatenate(columns) for columns in zip(*parts)))


def _alike(pair: Tuple[Head, Array]) -> Tuple[Any, ...]:
    """What heads have in common that are decoded in one go."""
    head = pair[0]
    return (Yolo, head.classes, head.new_coords) if isinstance(head, Yolo) else (type(head), id(head))


@np.errstate(over="ignore", invalid="ignore")  # what overflows is no box and is left out at the end
def _yolo(heads: Sequence[Yolo], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float) -> Candidates:
    # Most places hold nothing: one comparison of the raw objectness drops them before any arithmetic.
    new_coords = heads[0].new_coords
    floor = conf if new_coords else _logit(conf)
    near = [_near(head, out, input_hw, floor) for head, out in zip(heads, outputs)]
    rows, places = (np.concatenate(each) for each in zip(*near))
    # A score is objectness x class <= class, so the class alone must pass too.
    row, class_id = np.nonzero(rows[:, 5:] > floor)
    objectness, chance = rows[row, 4], rows[row, 5 + class_id]
    scores = objectness * chance if new_coords else _sigmoid(objectness) * _sigmoid(chance)
    keep = scores > np.float32(conf)
    if not np.count_nonzero(keep):
        return NOTHING
    row = row[keep]
    return _real(_boxes(rows[row, :4], places[row], new_coords), scores[keep], class_id[keep])


def _near(head: Yolo, out: Array, input_hw: Tuple[int, int], floor: float) -> Tuple[Array, Array]:
    """The rows [tx, ty, tw, th, objectness, classes] of the places whose objectness passes, and those `_places`."""
    n = len(head.anchors_wh)
    fields = 5 + head.classes
    _, channels, height, width = out.shape
    if channels != n * fields:
        raise BadModel(
            f"head {head.name} has {channels} channels; {n} anchors of {head.classes} classes make {n * fields}"
        )
    grid = out.reshape(n, fields, height * width)
    anchor, place = np.nonzero(grid[:, 4] > floor)
    return grid[anchor, :, place], _places(head, (height, width), input_hw)[anchor, place]


@lru_cache(maxsize=64)
def _places(head: Yolo, grid_hw: Tuple[int, int], input_hw: Tuple[int, int]) -> Array:
    """What a box goes by at each anchor's places: (A, H * W, 8), [column, row, s, (s - 1) / 2, steps, anchor_wh]."""
    (height, width), s = grid_hw, np.float32(head.scale_xy)
    made = np.empty((len(head.anchors_wh), height, width, 8), np.float32)
    made[..., 0], made[..., 1] = np.arange(width), np.arange(height)[:, None]
    made[..., 2], made[..., 3] = s, (s - 1) / 2
    made[..., 4], made[..., 5] = input_hw[1] / width, input_hw[0] / height
    made[..., 6:] = np.array(head.anchors_wh, np.float32)[:, None, None]
    made.setflags(write=False)
    return made.reshape(len(head.anchors_wh), height * width, 8)


def _boxes(raw: Array, place: Array, new_coords: bool) -> Array:
    """Rows [tx, ty, tw, th] and their `_places` -> xyxy network pixels."""
    shift = raw[:, :2] if new_coords else _sigmoid(raw[:, :2])
    xy = (place[:, :2] + shift * place[:, 2:3] - place[:, 3:4]) * place[:, 4:6]
    # exp past 60 times an anchor leaves float32; such a box covers the picture many times over either way.
    wh = (2 * raw[:, 2:]) ** 2 if new_coords else np.exp(np.minimum(raw[:, 2:], np.float32(60)))
    return _corners(np.concatenate((xy, wh * place[:, 6:]), 1))


@np.errstate(over="ignore", invalid="ignore")
def _anchor_free(head: AnchorFree, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
    grids = [(input_hw[0] // stride, input_hw[1] // stride) for stride in head.strides]
    ends = np.cumsum([height * width for height, width in grids])
    rows = _rows(head, out, 5 + head.classes, places=int(ends[-1]))
    row, class_id, scores = _passing(rows[:, 5:], rows[:, 4], conf, head.multi_label)
    level = np.searchsorted(ends, row, side="right")
    place = row - (ends - [height * width for height, width in grids])[level]
    widths, strides = np.array([width for _, width in grids])[level], np.array(head.strides, np.float32)[level]
    cell = np.stack((place % widths, place // widths), 1).astype(np.float32)
    raw = rows[row, :4]
    # exp past 60 leaves the picture many times over; see `_boxes`.
    wh = np.exp(np.minimum(raw[:, 2:], np.float32(60)))
    xywh = np.concatenate((raw[:, :2] + cell, wh), 1) * strides[:, None]
    return _real(_corners(xywh), scores, class_id)


@np.errstate(over="ignore", invalid="ignore")
def _decoded(head: Decoded, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
    first = 5 if head.objectness else 4
    rows = _rows(head, out.transpose(0, 2, 1) if head.channels_first else out, first + head.classes)
    objectness = rows[:, 4] if head.objectness else None
    row, class_id, scores = _passing(rows[:, first:], objectness, conf, head.multi_label)
    return _real(_in_pixels(head, rows[row, :4], input_hw), scores, class_id)


def _end_to_end(head: EndToEnd, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
    rows = _rows(head, out, 6)
    rows = rows[(rows[:, 4] > conf) & (rows[:, 5] > -0.5) & (rows[:, 5] < head.classes - 0.5)]
    return _real(_in_pixels(head, rows[:, :4], input_hw), rows[:, 4], np.rint(rows[:, 5]))


def _in_pixels(head: Union[Decoded, EndToEnd], box: Array, input_hw: Tuple[int, int]) -> Array:
    """Boxes as the head lays them out -> xyxy network pixels."""
    if head.relative:
        box = box * np.array((input_hw[1], input_hw[0]) * 2, np.float32)
    return _corners(box) if head.box == "xywh" else box


def _rows(head: Head, out: Array, fields: int, places: Optional[int] = None) -> Array:
    """One picture's (1, N, fields) -> (N, fields), checked against what the head says."""
    if out.ndim != 3 or out.shape[0] != 1 or out.shape[2] != fields or (places is not None and out.shape[1] != places):
        shape = "x".join(str(side) for side in out.shape)
        raise BadModel(
            f"head {head.name} gave {shape}; {head.classes} classes make rows of {fields}"
            + (f", {places} of them" if places is not None else "")
        )
    rows: Array = out[0]
    return rows


def _passing(classes: Array, objectness: Optional[Array], conf: float, multi_label: bool) -> Tuple[Array, Array, Array]:
    """Scores in 0..1 -> row numbers, class ids and scores of the pairs above `conf`, or of each row's best pair."""
    # Most rows hold nothing, and a score is no more than any factor of it.
    near = np.nonzero((classes.max(1) if objectness is None else objectness) > conf)[0]
    factor = np.float32(1) if objectness is None else objectness[near, None]
    scores = classes[near] * factor
    if multi_label:
        row, class_id = np.nonzero(scores > np.float32(conf))
        return near[row], class_id, scores[row, class_id]
    class_id = scores.argmax(1)
    best = scores[np.arange(len(near)), class_id]
    passes = best > np.float32(conf)
    return near[passes], class_id[passes], best[passes]


def _corners(xywh: Array) -> Array:
    """Centre and size -> corners."""
    half = xywh[:, 2:] / 2
    return np.concatenate((xywh[:, :2] - half, xywh[:, :2] + half), 1)


def _real(xyxy: Array, scores: Array, class_ids: Array) -> Candidates:
    """Without the boxes that are none: a number that is not finite (fp16 that overflowed), corners crossed."""
    real = np.isfinite(xyxy).all(1) & np.isfinite(scores) & (xyxy[:, 2:] >= xyxy[:, :2]).all(1)
    return Candidates(xyxy[real].astype(np.float32), scores[real].astype(np.float32), class_ids[real].astype(np.int32))


def _alone(decoder: Callable[[Any, Array, Tuple[int, int], float], Candidates]) -> Callable[..., Candidates]:
    """A decoder of one head as one of several that are alike."""
    return lambda heads, outputs, *how: decoder(heads[0], outputs[0], *how)


_DECODERS: Dict[type, Callable[[Any, Any, Tuple[int, int], float], Candidates]] = {
    Yolo: _yolo,
    AnchorFree: _alone(_anchor_free),
    Decoded: _alone(_decoded),
    EndToEnd: _alone(_end_to_end),
}


def _sigmoid(x: Array) -> Array:
    bounded = np.minimum(np.maximum(x, np.float32(-80)), np.float32(80))
    y: Array = np.float32(1) / (np.float32(1) + np.exp(-bounded))
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
