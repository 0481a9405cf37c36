"""ONNX files that end as those of further exporters do, with `BOXES` planted in them. Nothing here imports edgecsp."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from onnx import TensorProto, helper

from support.exports import HW, Graph, cells

BOXES = [((40.0, 30.0, 24.0, 20.0), 0.9, 3), ((90.0, 60.0, 30.0, 40.0), 0.7, 7), ((64.0, 48.0, 50.0, 16.0), 0.5, 3)]
"""Centre x, y, width, height in the network's pixels, score, class."""
HIDDEN = -30.0  # a logit of nothing


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def corners(xywh: Tuple[float, ...]) -> Tuple[float, ...]:
    x, y, w, h = xywh
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def zero_of(g: Graph, image: str = "images", op: str = "ReduceMax") -> str:
    """A scalar 0 that is computed from the image."""
    return g.node("Mul", g.node(op, image, keepdims=0), g.const(0.0))


def with_operator(g: Graph, op: str) -> None:
    """An operator that the family's graphs hold somewhere, on values of no use."""
    one = g.const([1.0])
    if op == "TopK":
        g.nodes.append(helper.make_node("TopK", [one, g.const([1], np.int64)], ["best", "best_at"], name="/topk"))
    elif op == "RoiAlign":
        g.node("RoiAlign", g.const(np.ones((1, 1, 2, 2))), g.const([[0, 0, 1, 1]]), g.const([0], np.int64))
    elif op == "patches":
        g.node("Conv", "images", g.const(np.zeros((1, 3, 16, 16))), strides=[16, 16])
    else:
        g.node(op, one)


def plain(outputs: Dict[str, np.ndarray], operators: Sequence[str] = (), **saved: Any) -> bytes:
    """A graph that gives these arrays whatever the image."""
    g = Graph()
    for op in operators:
        with_operator(g, op)
    image = "images"
    if saved.get("dtype") == TensorProto.UINT8:
        image = g.node("Cast", image, to=TensorProto.FLOAT)
    zero = zero_of(g, image)
    for name, values in outputs.items():
        if values.dtype == np.int64:
            g.node("Add", g.const(values, np.int64), g.node("Cast", zero, to=TensorProto.INT64), out=name)
        else:
            g.node("Add", g.const(values), zero, out=name)
    integers = [name for name, values in outputs.items() if values.dtype == np.int64]
    shapes: Dict[str, Sequence[Any]] = {name: values.shape for name, values in outputs.items()}
    return g.save(shapes, integers=integers, **saved)


# -- the DETRs ---------------------------------------------------------------------------------------------------


def queries(columns: int, *, softmax: bool = False, shift: int = 0) -> Tuple[np.ndarray, np.ndarray]:
    """Boxes (1, 300, 4) and logits (1, 300, columns)."""
    boxes, logits = np.full((1, 300, 4), 0.5, np.float32), np.full((1, 300, columns), HIDDEN, np.float32)
    if softmax:
        logits[..., -1] = 9
    for i, (box, score, k) in enumerate(BOXES):
        boxes[0, i * 7] = np.array(box) / (HW[1], HW[0], HW[1], HW[0])
        if softmax:
            logits[0, i * 7, [k + shift, -1]] = math.log(score), math.log(1 - score)
        else:
            logits[0, i * 7, k + shift] = logit(score)
    return boxes, logits


def rtdetr_logits(columns: int = 80, operators: Sequence[str] = ("TopK",), **saved: Any) -> bytes:
    boxes, logits = queries(columns)
    hidden = logits[..., :8].copy()
    return plain({"logits": logits, "pred_boxes": boxes, "last_hidden_state": hidden}, operators, **saved)


def yolos(columns: int = 92) -> bytes:
    boxes, logits = queries(columns, softmax=True)
    return plain({"logits": logits, "pred_boxes": boxes})


def rfdetr(columns: int = 91) -> bytes:
    boxes, logits = queries(columns)
    return plain({"dets": boxes, "labels": logits})


def postprocessed() -> bytes:
    """labels, boxes and scores, the boxes times a second input."""
    g = Graph()
    boxes = np.zeros((1, 300, 4), np.float32)
    scores, labels = np.zeros((1, 300), np.float32), np.zeros((1, 300), np.int64)
    for i, (box, score, k) in enumerate(BOXES):
        boxes[0, i] = np.array(corners(box)) / (HW[1], HW[0], HW[1], HW[0])
        scores[0, i], labels[0, i] = score, k
    sizes = g.node("Cast", "orig_target_sizes", to=TensorProto.FLOAT)
    sizes = g.node("Reshape", g.node("Concat", sizes, sizes, axis=1), g.const([1, 1, 4], np.int64))
    zero = zero_of(g)
    g.node("Add", g.const(labels, np.int64), g.node("Cast", zero, to=TensorProto.INT64), out="labels")
    g.node("Mul", g.const(boxes), sizes, out="boxes")
    g.node("Add", g.const(scores), zero, out="scores")
    info = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2])
    shapes = {"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}
    return g.save(shapes, integers=["labels"], extra_inputs=[info])


# -- behind NMS --------------------------------------------------------------------------------------------------


def counted(
    names: Sequence[str] = ("num_dets", "det_boxes", "det_scores", "det_classes"), *, rest: float = 0.99, **saved: Any
) -> bytes:
    """A count, boxes, scores and classes; behind the count stands what is not to be read, at a score of `rest`."""
    boxes, scores = np.full((1, 100, 4), 5, np.float32), np.full((1, 100), rest, np.float32)
    classes = np.zeros((1, 100), np.int64)
    for i, (box, score, k) in enumerate(BOXES):
        boxes[0, i], scores[0, i], classes[0, i] = corners(box), score, k
    values = (np.full((1, 1), len(BOXES), np.int64), boxes, scores, classes)
    return plain(dict(zip(names, values)), **saved)


def plugin(op: str = "EfficientNMS_TRT", **attributes: Any) -> bytes:
    """Boxes and scores of a grid into TensorRT's NMS."""
    attributes = {"background_class": -1, "box_coding": [1], "iou_threshold": 0.6, "score_threshold": 0.3, **attributes}
    g = Graph()
    boxes = np.zeros((1, cells(), 4), np.float32)
    scores = np.full((1, cells(), 80), HIDDEN if attributes.get("score_activation") else 0, np.float32)
    for i, (box, score, k) in enumerate(BOXES):
        boxes[0, i * 9] = box if attributes["box_coding"] in (1, [1]) else corners(box)
        scores[0, i * 9, k] = logit(score) if attributes.get("score_activation") else score
    zero = zero_of(g)
    outputs = ["num_dets", "det_boxes", "det_scores", "det_classes"]
    inputs = [g.node("Add", g.const(boxes), zero), g.node("Add", g.const(scores), zero)]
    g.nodes.append(helper.make_node(op, inputs, outputs, name="/nms", domain="TRT", **attributes))
    shapes = {"num_dets": (1, 1), "det_boxes": (1, 100, 4), "det_scores": (1, 100), "det_classes": (1, 100)}
    return g.save(shapes, integers=["num_dets", "det_classes"])


def flat(name: str, order: Sequence[int], *, image: str = "images", g: Any = None, **saved: Any) -> bytes:
    """Rows (N, 7) that the operator NonMaxSuppression selects, [image, corners, class, score] in `order`."""
    g = g or Graph()
    total = 40
    rows = np.zeros((total, 7), np.float32)
    for i, (box, score, k) in enumerate(BOXES):
        rows[i * 9] = (0, *corners(box), k, score)
    zero = zero_of(g, image)
    boxes = g.node("Add", g.const(rows[None, :, 1:5] + 200 * rows[None, :, 5:6]), zero)
    limits = (g.const([100], np.int64), g.const([0.5]), g.const([0.25]))
    chosen = g.node("NonMaxSuppression", boxes, g.const(rows[None, None, :, 6]), *limits)
    places = g.node("Gather", chosen, g.const(2, np.int64), axis=1)
    g.node("Gather", g.const(rows[:, list(order)]), places, out=name, axis=0)
    return g.save({name: ("rows", 7)}, **saved)


def torchvision(operators: Sequence[str] = (), hw: Sequence[Any] = HW) -> bytes:
    """Boxes, scores and labels of one image without a batch axis, as many as have a score."""
    g = Graph()
    for op in operators:
        with_operator(g, op)
    boxes, scores = np.zeros((9, 4), np.float32), np.zeros(9, np.float32)
    labels = np.zeros(9, np.int64)
    for i, (box, score, k) in enumerate(BOXES):
        boxes[i * 2], scores[i * 2], labels[i * 2] = corners(box), score, k
    zero = zero_of(g)
    some = g.node("Add", g.const(scores), zero)
    places = g.node("Reshape", g.node("NonZero", some), g.const([-1], np.int64))
    for name, values in (("boxes", g.const(boxes)), ("scores", some), ("labels", g.const(labels, np.int64))):
        g.node("Gather", values, places, out=name, axis=0)
    return g.save({"boxes": ("n", 4), "scores": ("n",), "labels": ("n",)}, integers=["labels"], shape=(3, *hw))


def mmdet() -> bytes:
    """Rows [corners, score] and labels."""
    dets, labels = np.zeros((1, 100, 5), np.float32), np.zeros((1, 100), np.int64)
    for i, (box, score, k) in enumerate(BOXES):
        dets[0, i], labels[0, i] = (*corners(box), score), k
    return plain({"dets": dets, "labels": labels})


def paddle() -> bytes:
    """Rows (N, 6) [class, score, corners], divided by the second input scale_factor, and a count."""
    g = Graph()
    rows = np.array([(k, score, *corners(box)) for box, score, k in BOXES], np.float32)
    rows = np.concatenate((rows, np.full((4, 6), -1, np.float32)))
    zero = g.node("Mul", g.node("ReduceMax", "scale_factor", keepdims=0), g.const(0.0))
    some = g.node("Reshape", g.node("NonZero", g.node("Add", g.const(rows[:, 1] + 1), zero)), g.const([-1], np.int64))
    g.node("Add", g.node("Gather", g.const(rows), some, axis=0), zero_of(g), out="multiclass_nms3_0.tmp_0")
    g.node("Add", g.const([7], np.int64), g.node("Cast", zero, to=TensorProto.INT64), out="multiclass_nms3_0.tmp_2")
    shapes = {"multiclass_nms3_0.tmp_0": ("n", 6), "multiclass_nms3_0.tmp_2": (1,)}
    info = helper.make_tensor_value_info("scale_factor", TensorProto.FLOAT, [1, 2])
    return g.save(shapes, integers=["multiclass_nms3_0.tmp_2"], extra_inputs=[info])


# -- distances and grids -----------------------------------------------------------------------------------------


def places(strides: Sequence[int]) -> List[int]:
    """Cells of every stride, as padded convolutions make them: a side that is no multiple is rounded up."""
    return [-(-HW[0] // s) * -(-HW[1] // s) for s in strides]


def distance_rows(strides: Sequence[int], offset: float, bins: int, classes: int = 80) -> Tuple[np.ndarray, np.ndarray]:
    """Scores (1, cells, C) and, of each cell, distances or logits over bins (1, cells, 4 x bins); 0 bins: distances."""
    total = sum(places(strides))
    scores = np.zeros((1, total, classes), np.float32)
    sides = np.full((1, total, 4, max(bins, 1)), HIDDEN if bins else 1, np.float32)
    for (x, y, w, h), score, k in BOXES:
        column, row = int(x // 8), int(y // 8)
        place = row * (HW[1] // 8) + column
        point = ((column + offset) * 8, (row + offset) * 8)
        box = corners((x, y, w, h))
        reach = [point[0] - box[0], point[1] - box[1], box[2] - point[0], box[3] - point[1]]
        scores[0, place, k] = score
        for side, length in enumerate(reach):
            low, share = int(length // 8), length / 8 % 1
            if bins:
                sides[0, place, side, low] = math.log(max(1 - share, 1e-12))
                sides[0, place, side, low + 1] = math.log(max(share, 1e-12))
            else:
                sides[0, place, side] = length / 8
    return scores, sides.reshape(1, total, -1)


def logits_of(scores: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(scores / (1 - scores)), HIDDEN).astype(np.float32)


def convolved(g: Graph, values: np.ndarray) -> str:
    """Rows (1, N, fields) as (1, fields, N), the last from a convolution: nothing is computed behind it."""
    fields = values.shape[2]
    last = g.node("Conv", "images", g.const(np.zeros((fields, 3, *HW))), g.const(values[0, -1]))
    last = g.node("Reshape", last, g.const([1, fields, 1], np.int64))
    return g.node("Concat", g.const(values[:, :-1].transpose(0, 2, 1)), last, axis=2)


def nanodet(strides: Sequence[int], offset: float, bins: int = 8, classes: int = 80) -> bytes:
    """Rows of a sigmoid's scores and raw distributions, behind convolutions alone."""
    scores, sides = distance_rows(strides, offset, bins, classes)
    g = Graph()
    rows = g.node("Concat", g.node("Sigmoid", convolved(g, logits_of(scores))), convolved(g, sides), axis=1)
    g.node("Transpose", rows, out="output", perm=[0, 2, 1])
    return g.save({"output": (1, scores.shape[1], classes + 4 * bins)})


def levels(names: Tuple[str, str], strides: Sequence[int], bins: int = 8) -> bytes:
    """Scores of every level, then distributions of every level."""
    scores, sides = distance_rows(strides, 0.5, bins)
    ends = np.cumsum(places(strides))[:-1]
    g, shapes = Graph(), {}
    for name, values in zip(names, (logits_of(scores), sides)):
        for stride, part in zip(strides, np.split(values, ends, axis=1)):
            x = convolved(g, part)
            x = g.node("Sigmoid", x) if values is not sides else x
            g.node("Transpose", x, out=f"{name}{stride}", perm=[0, 2, 1])
            shapes[f"{name}{stride}"] = part.shape
    return g.save(shapes)


def yolov9_mit() -> bytes:
    """Nine outputs: classes, distributions that are not needed, and distances, of every stride."""
    scores, sides = distance_rows((8, 16, 32), 0.5, 0)
    logits = logits_of(scores)
    outputs: Dict[str, np.ndarray] = {}
    begin = 0
    for size, stride in (("small", 8), ("medium", 16), ("large", 32)):
        h, w = HW[0] // stride, HW[1] // stride
        part = slice(begin, begin + h * w)
        begin = part.stop
        for what, values in (("class_scores", logits), ("box_features", None), ("bbox_deltas", sides)):
            name = f"{len(outputs) + 1}_{what}_{size}"
            if values is None:
                outputs[name] = np.zeros((1, 16, 4, h, w), np.float32)
            else:
                outputs[name] = values[:, part].transpose(0, 2, 1).reshape(1, -1, h, w)
    return plain(outputs)


def fastestdet() -> bytes:
    """One map of stride 16: sigmoid, raw, softmax."""
    h, w = HW[0] // 16, HW[1] // 16
    objectness, box = np.full((1, 1, h, w), HIDDEN), np.zeros((1, 4, h, w))
    classes = np.full((1, 80, h, w), HIDDEN)
    for (x, y, bw, bh), score, k in BOXES:
        column, row = round(x / 16), round(y / 16)  # the nearest corner: shifts go both ways
        column, row = min(column, w - 1), min(row, h - 1)
        objectness[0, 0, row, column] = logit(score)
        shifts = (x / 16 - column, y / 16 - row)
        box[0, :, row, column] = [*map(math.atanh, shifts), logit(bw / HW[1]), logit(bh / HW[0])]
        classes[0, :, row, column] = math.log((1 - score) / 79)
        classes[0, k, row, column] = math.log(score)
    g = Graph()
    zero = zero_of(g)
    parts = [g.node("Add", g.const(values), zero) for values in (objectness, box, classes)]
    turned = g.node(
        "Transpose", g.node("Softmax", g.node("Transpose", parts[2], perm=[0, 2, 3, 1]), axis=3), perm=[0, 3, 1, 2]
    )
    g.node("Concat", g.node("Sigmoid", parts[0]), parts[1], turned, out="output", axis=1)
    return g.save({"output": (1, 85, h, w)})


def grid_pair() -> Tuple[np.ndarray, np.ndarray]:
    """Boxes (1, cells, 4) as corners and scores (1, cells, 80)."""
    boxes, scores = np.zeros((1, cells(), 4), np.float32), np.zeros((1, cells(), 80), np.float32)
    for i, (box, score, k) in enumerate(BOXES):
        boxes[0, 3 + i * 9], scores[0, 3 + i * 9, k] = corners(box), score
    return boxes, scores


YOLOV7 = {
    8: [(12, 16), (19, 36), (40, 28)],
    16: [(36, 75), (76, 55), (72, 146)],
    32: [(142, 110), (192, 243), (459, 401)],
}


def yolov7_raw(anchors: Dict[int, List[Tuple[int, int]]] = YOLOV7) -> bytes:
    """Logits (1, 3, H, W, 85) of every stride, as YOLOv7's export gives them without --grid."""
    outputs = {}
    for i, (stride, sizes) in enumerate(anchors.items()):
        values = np.full((1, 3, HW[0] // stride, HW[1] // stride, 85), HIDDEN, np.float32)
        (x, y, w, h), score, k = BOXES[i]
        a = {0: 1, 1: 0, 2: 0}[i]
        column, row = int(x // stride), int(y // stride)
        shifts = [(v / stride - c + 0.5) / 2 for v, c in ((x, column), (y, row))]
        sides = [math.sqrt(side / anchor) / 2 for side, anchor in zip((w, h), sizes[a])]
        values[0, a, row, column, :5] = [*map(logit, (*shifts, *sides)), logit(0.95)]
        values[0, a, row, column, 5 + k] = logit(score / 0.95)
        outputs[f"output{i}"] = values
    return plain(outputs)
