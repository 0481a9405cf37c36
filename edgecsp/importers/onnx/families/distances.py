"""Detectors whose boxes are distances from a cell's point to the four sides, many as distributions over bins."""

from __future__ import annotations

from functools import partial
from typing import Dict, Iterator, List, Sequence, Tuple

from ....processing.heads.decoded import Decoded
from ..graph import GraphOutput
from ..kinds import HeadGuess, Kind, OutputLayout
from ..tail import GraphTail, grid
from .suppressed import guess_paddle

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_BINS = (8, 11)  # reg_max 7, and 10 of NanoDet's EfficientNet-Lite


def _guess(
    layout: OutputLayout, reads: Sequence[GraphOutput], classes: int, strides: Sequence[int], *, offset: float,
    bins: int, parts: str,
) -> HeadGuess:  # fmt: skip
    """Scores and distributions of all cells in one tensor, or level by level: scores of all, then distributions."""
    points, steps = grid(layout.hw, strides, offset)

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        if parts == "rows":
            scores = tail.take(reads[0].name, range(classes), axis=2)
            distributions = tail.take(reads[0].name, range(classes, classes + 4 * bins), axis=2)
        else:
            half = len(reads) // 2
            scores = tail.node("Concat", *(out.name for out in reads[:half]), axis=1)
            distributions = tail.node("Concat", *(out.name for out in reads[half:]), axis=1)
        pixels = tail.node("Mul", tail.distances(distributions, bins), tail.const(steps[None]))
        boxes = tail.around(points, pixels)
        return (tail.output(tail.node("Concat", boxes, scores, axis=2), (1, len(points), 4 + classes)),)

    head = Decoded("detections", classes, "xyxy", multi_label=True)
    return HeadGuess((head,), reads=tuple(reads), build=build)


def _nanodet_rows(layout: OutputLayout, levels: int, offset: float) -> Iterator[HeadGuess]:
    """Rows (1, cells, C + 4 x bins), scores first; as many bins as leave classes."""
    strides = (8, 16, 32, 64)[:levels]
    cells = len(grid(layout.hw, strides, offset)[0])
    for name, rows, fields in layout.rows():
        for bins in _BINS:
            if rows == cells and fields > 4 * bins:
                yield _guess(
                    layout, layout.named(name), fields - 4 * bins, strides, offset=offset, bins=bins, parts="rows"
                )


def _levels(layout: OutputLayout, levels: int) -> Iterator[HeadGuess]:
    """Scores (1, cells, C) of every level, then distributions (1, cells, 4 x bins) of every level, finest first."""
    outputs = layout.outputs
    if len(outputs) != 2 * levels or any(len(out.shape) != 3 or out.shape[0] != 1 for out in outputs):
        return
    strides = (8, 16, 32, 64)[:levels]
    cells = [len(grid(layout.hw, (stride,), 0.5)[0]) for stride in strides]
    scores, bins = outputs[:levels], outputs[levels:]
    fields = ({out.shape[2] for out in scores}, {out.shape[2] for out in bins})
    if [out.shape[1] for out in (*scores, *bins)] != cells * 2 or any(len(each) != 1 for each in fields):
        return
    (classes,), (columns,) = fields
    if columns % 4 == 0 and columns > 4:
        yield _guess(layout, outputs, classes, strides, offset=0.5, bins=columns // 4, parts="levels")


def _nanodet(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: nanodet, model/head/gfl_head.py: points in the middle of cells of 8, 16 and 32 pixels."""
    yield from _levels(layout, 3)
    yield from _nanodet_rows(layout, 3, 0.5)


def _nanodet_plus(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: nanodet, model/head/nanodet_plus_head.py: points at the corner of cells, up to 64 pixels."""
    return _nanodet_rows(layout, 4, 0.0)


def _picodet(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: PaddleDetection, deploy/third_engine (without the post-process); RapidLayout, post_prepross.py."""
    yield from _levels(layout, 4)
    yield from guess_paddle(layout)


def _ppyoloe(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Boxes (1, cells, 4) in pixels and scores (1, C, cells).

    Source: PaddleDetection, ppdet/modeling/heads/ppyoloe_head.py with exclude_nms.
    """
    for boxes, scores in layout.turned_pairs():
        head = Decoded("detections", scores.shape[1], "xyxy", multi_label=True)
        yield HeadGuess((head,), reads=(boxes, scores), build=partial(_turn, boxes=boxes, scores=scores))
    yield from guess_paddle(layout)


def _turn(tail: GraphTail, boxes: GraphOutput, scores: GraphOutput) -> Sequence[GraphOutput]:
    turned = tail.node("Transpose", scores.name, perm=[0, 2, 1])
    shape = (1, boxes.shape[1], 4 + scores.shape[1])
    return (tail.output(tail.node("Concat", boxes.name, turned, axis=2), shape),)


def _yolov9_mit(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Classes (1, C, H, W), distributions (1, 16, 4, H, W) and distances (1, 4, H, W) of every stride, in this order.

    Source: MultimediaTechLab/YOLO, yolo/utils/bounding_box_utils.py, Vec2Box; only the first three levels count.
    """
    levels: List[Tuple[GraphOutput, GraphOutput]] = []
    strides = []
    for classes, bins, distances in zip(*(layout.outputs[i::3] for i in range(3))):
        hw = classes.shape[2:]
        if len(classes.shape) != 4 or distances.shape != (1, 4, *hw) or bins.shape != (1, 16, 4, *hw) or not all(hw):
            return
        strides.append(layout.hw[1] // hw[1])
        if (hw[0] * strides[-1], hw[1] * strides[-1]) != layout.hw:
            return
        levels.append((classes, distances))
    if len(layout.outputs) not in (9, 18) or strides[:3] != sorted(set(strides[:3])):
        return
    levels = levels[:3]
    count = levels[0][0].shape[1]
    points, steps = grid(layout.hw, strides[:3], 0.5)

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        columns = []
        for part, fields in ((0, count), (1, 4)):
            flat = [tail.reshape(level[part].name, (1, fields, -1)) for level in levels]
            columns.append(tail.node("Transpose", tail.node("Concat", *flat, axis=2), perm=[0, 2, 1]))
        boxes = tail.around(points, tail.node("Mul", columns[1], tail.const(steps[None])))
        scores = tail.node("Sigmoid", columns[0])
        return (tail.output(tail.node("Concat", boxes, scores, axis=2), (1, len(points), 4 + count)),)

    head = Decoded("detections", count, "xyxy", multi_label=True)
    yield HeadGuess((head,), reads=tuple(each for level in levels for each in level), build=build)


def _fastestdet(layout: OutputLayout) -> Iterator[HeadGuess]:
    """One map (1, 5 + C, H, W) [objectness, x, y, w, h, classes]: sigmoid, raw, softmax.

    Source: FastestDet, module/custom_layers.py and example/onnx-runtime/runtime.py: x = (column + tanh(tx)) / W,
    w = sigmoid(tw), score = objectness^0.6 x class^0.4.
    """
    if len(layout.outputs) != 1:
        return
    (output,) = layout.outputs
    if len(output.shape) != 4 or output.shape[1] < 6 or min(output.shape[2:]) < 1:
        return
    height, width = output.shape[2:]
    classes, rows = output.shape[1] - 5, height * width
    cells, _ = grid((height, width), (1,), 0.0)

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        flat = tail.node("Transpose", tail.reshape(output.name, (1, 5 + classes, -1)), perm=[0, 2, 1])
        shifts = tail.node("Tanh", tail.take(flat, [1, 2], axis=2))
        centres = tail.node("Div", tail.node("Add", shifts, tail.const(cells[None])), tail.const((width, height)))
        sizes = tail.node("Sigmoid", tail.take(flat, [3, 4], axis=2))
        objectness = tail.node("Pow", tail.take(flat, [0], axis=2), tail.const(0.6))
        chances = tail.node("Pow", tail.take(flat, range(5, 5 + classes), axis=2), tail.const(0.4))
        scores = tail.node("Mul", chances, objectness)
        return (tail.output(tail.node("Concat", centres, sizes, scores, axis=2), (1, rows, 4 + classes)),)

    head = Decoded("detections", classes, relative=True)
    yield HeadGuess((head,), reads=(output,), build=build)


# nanodet, config/*.yml: keep_ratio False, BGR, normalize in bytes. PaddleDetection, configs/picodet/_base_ and
# configs/ppyoloe/_base_: keep_ratio False, RGB; PP-YOLOE+ scales to 0..1 alone.
_NANODET = {
    "resize": "stretch", "colour": "bgr", "scale": 1.0,
    "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395),
}  # fmt: skip
_PADDLE = {"resize": "stretch", **_IMAGENET}
# MultimediaTechLab/YOLO, yolo/tools/data_loader.py, PadAndResize: the middle of grey 114, whole pixels rounded down.
_MIT = {"resize": "letterbox", "letterbox": "mit"}

KINDS: Dict[str, Kind] = {
    "nanodet": Kind(
        "NanoDet: (1, cells, C + 32), scores first", _nanodet, _NANODET, raw=True, scores_first=True, conf=0.35, iou=0.6
    ),
    "nanodet-plus": Kind(
        "NanoDet-Plus: (1, cells, C + 32), scores first, strides to 64", _nanodet_plus, _NANODET, raw=True,
        scores_first=True, conf=0.35, iou=0.6,
    ),
    "picodet": Kind(
        "PicoDet: scores (1, cells, C) of 4 levels, then distributions (1, cells, 32)", _picodet, _PADDLE, conf=0.4,
        iou=0.5,
    ),
    "ppyoloe": Kind("PP-YOLOE: boxes (1, cells, 4) and scores (1, C, cells)", _ppyoloe, _PADDLE, iou=0.7),
    "ppyoloe-plus": Kind("PP-YOLOE+: as PP-YOLOE", _ppyoloe, {"resize": "stretch"}, iou=0.7),
    "yolov9-mit": Kind(
        "YOLOv9 of MultimediaTechLab: 9 outputs, classes, distributions and distances of each stride", _yolov9_mit, _MIT
    ),
    "fastestdet": Kind(
        "FastestDet: one map (1, 5 + C, H, W), sigmoid, raw, softmax", _fastestdet,
        {"resize": "stretch", "colour": "bgr"}, holds={"Softmax": True}, scores_first=True, conf=0.65,
    ),
}  # fmt: skip
