"""Decode raw heads to candidate boxes, in the same numpy code for every engine."""

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


EMPTY = Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))


def boxes(heads: Sequence[Head], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float) -> Candidates:
    """Decode all candidates of one image with score > `conf`.

    `outputs` are the heads' arrays of one image, each of the shape its head says, in the heads' order.
    """
    read = [head for head in heads if type(head) in _DECODERS]
    if len(read) != len(outputs):
        raise BadModel(f"the graph gave {len(outputs)} outputs for {len(read)} box heads")
    parts = [
        _DECODERS[alike[0]]([head for head, _ in pairs], [out for _, out in pairs], input_hw, conf)
        for alike, pairs in ((alike, list(pairs)) for alike, pairs in groupby(zip(read, outputs), _group_key))
    ]
    return parts[0] if len(parts) == 1 else Candidates(*(np.concatenate(columns) for columns in zip(*parts)))


def _group_key(pair: Tuple[Head, Array]) -> Tuple[Any, ...]:
    """The key of heads that are decoded together."""
    head = pair[0]
    return (Yolo, head.classes, head.new_coords) if isinstance(head, Yolo) else (type(head), id(head))


@np.errstate(over="ignore", invalid="ignore")  # what overflows is no box and is left out at the end
def _yolo(heads: Sequence[Yolo], outputs: Sequence[Array], input_hw: Tuple[int, int], conf: float) -> Candidates:
    # Most places hold nothing: one comparison of the raw objectness drops them before any arithmetic.
    new_coords = heads[0].new_coords
    floor = conf if new_coords else _logit(conf)
    near = [_read_cells(head, out, input_hw, floor) for head, out in zip(heads, outputs)]
    rows, places = (np.concatenate(each) for each in zip(*near))
    # A score is objectness x class <= class, so the class alone must pass too.
    row, class_id = np.nonzero(rows[:, 5:] > floor)
    objectness, chance = rows[row, 4], rows[row, 5 + class_id]
    scores = objectness * chance if new_coords else _sigmoid(objectness) * _sigmoid(chance)
    keep = scores > np.float32(conf)
    if not np.count_nonzero(keep):
        return EMPTY
    row = row[keep]
    return _drop_invalid(_boxes(rows[row, :4], places[row], new_coords), scores[keep], class_id[keep])


def _read_cells(head: Yolo, out: Array, input_hw: Tuple[int, int], floor: float) -> Tuple[Array, Array]:
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
    return grid[anchor, :, place], _grid_cells(head, (height, width), input_hw)[anchor, place]


@lru_cache(maxsize=64)
def _grid_cells(head: Yolo, grid_hw: Tuple[int, int], input_hw: Tuple[int, int]) -> Array:
    """What a box goes by at each anchor's places: (A, H * W, 8), [column, row, s, (s - 1) / 2, steps, anchor_wh]."""
    (height, width), s = grid_hw, np.float32(head.scale_xy)
    cells = np.empty((len(head.anchors_wh), height, width, 8), np.float32)
    cells[..., 0], cells[..., 1] = np.arange(width), np.arange(height)[:, None]
    cells[..., 2], cells[..., 3] = s, (s - 1) / 2
    cells[..., 4], cells[..., 5] = input_hw[1] / width, input_hw[0] / height
    cells[..., 6:] = np.array(head.anchors_wh, np.float32)[:, None, None]
    cells.setflags(write=False)
    return cells.reshape(len(head.anchors_wh), height * width, 8)


def _boxes(raw: Array, place: Array, new_coords: bool) -> Array:
    """Rows [tx, ty, tw, th] and their `_places` -> xyxy network pixels."""
    shift = raw[:, :2] if new_coords else _sigmoid(raw[:, :2])
    xy = (place[:, :2] + shift * place[:, 2:3] - place[:, 3:4]) * place[:, 4:6]
    # exp past 60 times an anchor leaves float32; such a box covers the image many times over either way.
    wh = (2 * raw[:, 2:]) ** 2 if new_coords else np.exp(np.minimum(raw[:, 2:], np.float32(60)))
    return _corners(np.concatenate((xy, wh * place[:, 6:]), 1))


@np.errstate(over="ignore", invalid="ignore")
def _anchor_free(head: AnchorFree, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
    grids = [(input_hw[0] // stride, input_hw[1] // stride) for stride in head.strides]
    ends = np.cumsum([height * width for height, width in grids])
    rows = _rows(head, out, 5 + head.classes, places=int(ends[-1]))
    row, class_id, scores = _select(rows[:, 5:], rows[:, 4], conf, head.multi_label)
    level = np.searchsorted(ends, row, side="right")
    place = row - (ends - [height * width for height, width in grids])[level]
    widths, strides = np.array([width for _, width in grids])[level], np.array(head.strides, np.float32)[level]
    cell = np.stack((place % widths, place // widths), 1).astype(np.float32)
    raw = rows[row, :4]
    # exp past 60 leaves the image many times over; see `_boxes`.
    wh = np.exp(np.minimum(raw[:, 2:], np.float32(60)))
    xywh = np.concatenate((raw[:, :2] + cell, wh), 1) * strides[:, None]
    return _drop_invalid(_corners(xywh), scores, class_id)


@np.errstate(over="ignore", invalid="ignore")
def _decode(head: Decoded, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
    first = 5 if head.objectness else 4
    rows = _rows(head, out.transpose(0, 2, 1) if head.channels_first else out, first + head.classes)
    objectness = rows[:, 4] if head.objectness else None
    row, class_id, scores = _select(rows[:, first:], objectness, conf, head.multi_label)
    return _drop_invalid(_in_pixels(head, rows[row, :4], input_hw), scores, class_id)


def _end_to_end(head: EndToEnd, out: Array, input_hw: Tuple[int, int], conf: float) -> Candidates:
    rows = _rows(head, out, 6)
    rows = rows[(rows[:, 4] > conf) & (rows[:, 5] > -0.5) & (rows[:, 5] < head.classes - 0.5)]
    return _drop_invalid(_in_pixels(head, rows[:, :4], input_hw), rows[:, 4], np.rint(rows[:, 5]))


def _in_pixels(head: Union[Decoded, EndToEnd], box: Array, input_hw: Tuple[int, int]) -> Array:
    """Boxes as the head lays them out -> xyxy network pixels."""
    if head.relative:
        box = box * np.array((input_hw[1], input_hw[0]) * 2, np.float32)
    return _corners(box) if head.box == "xywh" else box


def _rows(head: Head, out: Array, fields: int, places: Optional[int] = None) -> Array:
    """Convert one image's (1, N, fields) to (N, fields), checked against the head."""
    if out.ndim != 3 or out.shape[0] != 1 or out.shape[2] != fields or (places is not None and out.shape[1] != places):
        shape = "x".join(str(side) for side in out.shape)
        raise BadModel(
            f"head {head.name} gave {shape}; {head.classes} classes make rows of {fields}"
            + (f", {places} of them" if places is not None else "")
        )
    rows: Array = out[0]
    return rows


def _select(classes: Array, objectness: Optional[Array], conf: float, multi_label: bool) -> Tuple[Array, Array, Array]:
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
    """Convert centre and size to corners."""
    half = xywh[:, 2:] / 2
    return np.concatenate((xywh[:, :2] - half, xywh[:, :2] + half), 1)


def _drop_invalid(xyxy: Array, scores: Array, class_ids: Array) -> Candidates:
    """Drop invalid boxes: values that are not finite (fp16 overflow), or crossed corners."""
    real = np.isfinite(xyxy).all(1) & np.isfinite(scores) & (xyxy[:, 2:] >= xyxy[:, :2]).all(1)
    return Candidates(xyxy[real].astype(np.float32), scores[real].astype(np.float32), class_ids[real].astype(np.int32))


def _decode_each(decoder: Callable[[Any, Array, Tuple[int, int], float], Candidates]) -> Callable[..., Candidates]:
    """A decoder of one head as one of several that are alike."""
    return lambda heads, outputs, *how: decoder(heads[0], outputs[0], *how)


_DECODERS: Dict[type, Callable[[Any, Any, Tuple[int, int], float], Candidates]] = {
    Yolo: _yolo,
    AnchorFree: _decode_each(_anchor_free),
    Decoded: _decode_each(_decode),
    EndToEnd: _decode_each(_end_to_end),
}


def _sigmoid(x: Array) -> Array:
    bounded = np.minimum(np.maximum(x, np.float32(-80)), np.float32(80))
    y: Array = np.float32(1) / (np.float32(1) + np.exp(-bounded))
    return y


def _logit(p: float) -> float:
    return -math.inf if p <= 0 else math.inf if p >= 1 else math.log(p / (1 - p))


def decode_classes(model: Model, outputs: Sequence[Array], top: int = 5) -> Classes:
    """Decode a classifier's `top` classes for one image, highest score first."""
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
