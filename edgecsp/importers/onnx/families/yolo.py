"""The YOLOs: grids of boxes with scores, decoded or raw, in one output or several."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Iterator, Sequence

from ....graph.anchors import AnchorSet
from ....graph.labels import COCO
from ....processing.heads.anchor_free import AnchorFree
from ....processing.heads.decoded import Decoded
from ....processing.heads.end_to_end import EndToEnd
from ....processing.heads.yolo import Yolo
from ..graph import GraphOutput
from ..kinds import MOST_ROWS, HeadGuess, Kind, OutputLayout
from ..tail import GraphTail

NEEDS_CLASSES = "--names FILE or --num-classes N (its rows name a class and not how many there are)"


def guess_rows(layout: OutputLayout, name: str, **box: Any) -> HeadGuess:
    """Guess rows [box, score, class]: the number of classes must be known."""
    if layout.classes is None:
        return HeadGuess(needs=NEEDS_CLASSES)
    return HeadGuess((EndToEnd(name, layout.classes, **box),))


def _anchored(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, rows, fields in layout.rows():
        if fields > 5 and rows % 3 == 0 and layout.strides(rows // 3):
            yield HeadGuess((Decoded(name, fields - 5, objectness=True),))


def _objectness(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, rows, fields in layout.rows():
        if fields > 5 and layout.strides(rows):
            yield HeadGuess((Decoded(name, fields - 5, objectness=True),))


def _yolox(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, a, b in layout.rows():
        if b > 5 and layout.strides(a):
            yield HeadGuess((AnchorFree(name, b - 5, layout.strides(a)),))
        elif layout.strides(b) and a - 5 == (layout.classes or len(COCO)):  # YOLOv8's raw fields stand so, too
            yield _transposed(layout, name, a, b)


def _transposed(layout: OutputLayout, name: str, fields: int, rows: int) -> HeadGuess:
    """Rows and fields the other way round, as exports without YOLOX's last transposition have them."""

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        return (tail.output(tail.node("Transpose", name, perm=[0, 2, 1]), (1, rows, fields)),)

    head = AnchorFree("detections", fields - 5, layout.strides(rows))
    return HeadGuess((head,), reads=layout.named(name), build=build)


def _plain(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, a, b in layout.rows():
        if a > 4 and layout.strides(b):
            yield HeadGuess((Decoded(name, a - 4, channels_first=True),))
        elif b > 4 and layout.strides(a):
            yield HeadGuess((Decoded(name, b - 4),))


def _end_to_end(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, rows, fields in layout.rows():
        if fields == 6 and rows <= MOST_ROWS and not layout.is_grid(rows):
            yield guess_rows(layout, name)


def join(tail: GraphTail, boxes: GraphOutput, scores: GraphOutput) -> Sequence[GraphOutput]:
    """Concatenate boxes (1, N, 1, 4) or (1, N, 4) and scores (1, N, C) to one output (1, N, 4 + C)."""
    rows = boxes.shape[1]
    flat = boxes.name if len(boxes.shape) == 3 else tail.reshape(boxes.name, (1, rows, 4))
    return (tail.output(tail.node("Concat", flat, scores.name, axis=2), (1, rows, 4 + scores.shape[2])),)


def guess_pair(boxes: GraphOutput, scores: GraphOutput, box: str = "xyxy", **decoded: Any) -> HeadGuess:
    """Guess boxes and scores that only lack being one output."""
    head = Decoded("detections", scores.shape[2], box, **decoded)
    return HeadGuess((head,), reads=(boxes, scores), build=partial(join, boxes=boxes, scores=scores))


def _yolov4(layout: OutputLayout) -> Iterator[HeadGuess]:
    for boxes in layout.outputs:
        if len(boxes.shape) != 4 or boxes.shape[0] != 1 or boxes.shape[2:] != (1, 4):
            continue
        for scores in layout.outputs:
            if len(scores.shape) == 3 and scores.shape[:2] == boxes.shape[:2]:
                yield guess_pair(boxes, scores, relative=True)


def _nas(layout: OutputLayout) -> Iterator[HeadGuess]:
    for boxes, scores in layout.pairs():
        # DAMO-YOLO's scores come first, and its images are laid in otherwise.
        if layout.outputs.index(boxes) < layout.outputs.index(scores) and layout.strides(boxes.shape[1]):
            yield guess_pair(boxes, scores)


def _damo(layout: OutputLayout) -> Iterator[HeadGuess]:
    for boxes, scores in layout.pairs():
        if layout.outputs.index(scores) < layout.outputs.index(boxes) and layout.strides(boxes.shape[1]):
            yield guess_pair(boxes, scores)


def _is_fastestdet(layout: OutputLayout) -> bool:
    """Whether a single map is put together of a sigmoid, raw values and a softmax: no darknet head is."""
    single = len(layout.outputs) == 1 and layout.last_operator(layout.outputs[0].name) == "Sigmoid"
    return single and "Softmax" in layout.operators


def _darknet(layout: OutputLayout) -> Iterator[HeadGuess]:
    maps = sorted((out for out in layout.outputs if len(out.shape) == 4), key=lambda out: -out.shape[2])
    if len(maps) != len(layout.outputs) or _is_fastestdet(layout):
        return
    strides = [layout.hw[1] // out.shape[3] if out.shape[3] else 0 for out in maps]
    for out, stride in zip(maps, strides):
        if stride < 2 or (out.shape[2] * stride, out.shape[3] * stride) != layout.hw or out.shape[1] < 6:
            return
    if len(set(strides)) != len(strides):
        return
    if layout.anchors is None:
        known = {2: "yolov3-tiny, yolov4-tiny", 3: "yolov3, yolov4"}.get(len(maps))
        yield HeadGuess(needs="--anchors W,H,W,H,... (finest head first)" + (f" or one of {known}" if known else ""))
        return
    heads = tuple(_yolo_heads(maps, strides, layout.anchors))
    if len(heads) == len(maps) and len({head.classes for head in heads}) == 1:
        yield HeadGuess(heads)
    else:
        channels = "+".join(str(out.shape[1]) for out in maps)
        yield HeadGuess(needs=f"--anchors that fit {len(maps)} heads of {channels} channels, A x (5 + C) each")


def _yolo_heads(maps: Sequence[GraphOutput], strides: Sequence[int], anchors: AnchorSet) -> Iterator[Yolo]:
    """Yield a head for every map that the anchors fit; one list for all is divided evenly."""
    each = anchors.split(len(maps))
    if len(each) != len(maps):
        return
    for i, (out, stride, wh) in enumerate(zip(maps, strides, each)):
        fields, rest = divmod(out.shape[1], len(wh))
        if not rest and fields > 5:
            yield Yolo(out.name, fields - 5, stride, wh, anchors.scale_xy[i] if anchors.scale_xy else 1.0)


def _yolov7_raw(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Maps (1, A, H, W, 5 + C) of logits, which the predictor reads as darknet's new_coords at scale 2.

    Source: yolov7 and yolov5, models/yolo.py, Detect: xy = (2 s(t) - 0.5 + cell) stride, wh = (2 s(t))^2 anchor.
    """
    maps = sorted((out for out in layout.outputs if len(out.shape) == 5), key=lambda out: -out.shape[2])
    if len(maps) < 2 or len(maps) != len(layout.outputs) or len({out.shape[4] for out in maps}) != 1:
        return
    strides = [layout.hw[1] // max(1, out.shape[3]) for out in maps]
    if any((out.shape[2] * s, out.shape[3] * s) != layout.hw for out, s in zip(maps, strides)):
        return
    fields = maps[0].shape[4]
    each = layout.anchors.split(len(maps)) if layout.anchors else ()
    if fields < 6 or [len(wh) for wh in each] != [out.shape[1] for out in maps]:
        of = f"{len(maps)} heads of {maps[0].shape[1]} boxes each"
        yield HeadGuess(needs=f"--anchors yolov7, yolov5 (yolov7-tiny's too) or W,H,W,H,... of {of}, finest first")
        return

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        outputs = []
        for i, out in enumerate(maps):
            channels = out.shape[1] * fields
            turned = tail.node("Transpose", out.name, perm=[0, 1, 4, 2, 3])
            flat = tail.reshape(turned, (1, channels, *out.shape[2:4]))
            outputs.append(tail.output(tail.node("Sigmoid", flat), (1, channels, *out.shape[2:4]), f"head{i}"))
        return outputs

    heads = tuple(
        Yolo(f"head{i}", fields - 5, stride, wh, 2.0, new_coords=True)
        for i, (stride, wh) in enumerate(zip(strides, each))
    )
    yield HeadGuess(heads, reads=tuple(maps), build=build)


ULTRALYTICS = {"resize": "letterbox", "letterbox": "ultralytics"}
# super-gradients, training/processing/processing.py: RGB, 636 of 640 pixels in the middle of grey 114.
YOLONAS = {"resize": "letterbox", "letterbox": "yolonas"}
_YOLOX = {"resize": "letterbox", "letterbox": "yolox", "colour": "bgr", "scale": 1.0}
# YOLOX before 0.2 (ValTransform with legacy) also turned the colours and normalised by ImageNet's statistics.
_YOLOX_LEGACY = {
    "resize": "letterbox", "letterbox": "yolox", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)
}  # fmt: skip
# DAMO-YOLO, damo/config/augmentations.py and tools/demo.py: RGB bytes as they are, stretched (keep_ratio False).
_DAMO = {"resize": "stretch", "scale": 1.0}

KINDS: Dict[str, Kind] = {
    "yolov5": Kind("YOLOv5, v7: (1, 3 anchors x cells, 5 + C), decoded", _anchored, ULTRALYTICS, raw=False),
    "yolov7-raw": Kind(
        "YOLOv7 and v5 without --grid: logits (1, A, H, W, 5 + C) each", _yolov7_raw, ULTRALYTICS, iou=0.45
    ),
    "yolov6": Kind("YOLOv6: (1, cells, 5 + C), decoded", _objectness, ULTRALYTICS, raw=False, holds={"Exp": False}),
    "yolov8": Kind("YOLOv8, v9, v11, v12: (1, 4 + C, cells), decoded", _plain, ULTRALYTICS, raw=False, iou=0.7),
    "yolov10": Kind("YOLOv10, YOLO26 and exports with NMS: (1, N, 6), end to end", _end_to_end, ULTRALYTICS),
    "yolox": Kind("YOLOX: (1, cells, 5 + C), raw", _yolox, _YOLOX, raw=True, scores_first=False),
    "yolox-decoded": Kind("YOLOX with decode_in_inference", _objectness, _YOLOX, raw=False, holds={"Exp": True}),
    "yolox-legacy": Kind("YOLOX before 0.2: normalised images", _yolox, _YOLOX_LEGACY, explicit_only=True),
    "yolov4": Kind("pytorch-YOLOv4: boxes (1, N, 1, 4) and confs (1, N, C)", _yolov4, {"resize": "stretch"}),
    "yolonas": Kind("YOLO-NAS: boxes (1, cells, 4) and scores (1, cells, C)", _nas, YOLONAS, iou=0.7),
    "damo": Kind(
        "DAMO-YOLO: scores (1, cells, C) named output, then boxes (1, cells, 4)", _damo, _DAMO, iou=0.7,
        names=frozenset({"output"}),
    ),
    "darknet": Kind("darknet's raw heads: (1, A x (5 + C), H, W) each", _darknet, {"resize": "darknet"}),
}  # fmt: skip
