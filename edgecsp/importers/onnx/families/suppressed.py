"""Exports that end behind their own NMS: some boxes, each with one score and one class."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator, Optional, Sequence, Tuple

from ....graph.labels import COCO_CATEGORIES
from ....processing.heads.end_to_end import EndToEnd
from ..graph import GraphOutput
from ..kinds import HeadGuess, Kind, OutputLayout
from ..tail import GraphTail
from .yolo import NEEDS_CLASSES, ULTRALYTICS, YOLONAS, guess_pair


def _rows(tail: GraphTail, boxes: str, scores: str, classes: str, rows: int) -> Sequence[GraphOutput]:
    """Concatenate boxes, scores and classes of any layout to rows (1, N, 6)."""
    columns = [tail.reshape(boxes, (1, -1, 4)), *(tail.reshape(each, (1, -1, 1)) for each in (scores, classes))]
    return (tail.output(tail.node("Concat", *columns, axis=2), (1, rows, 6)),)


def _head(layout: OutputLayout) -> Tuple[EndToEnd, ...]:
    return () if layout.classes is None else (EndToEnd("detections", layout.classes),)


def _counted(layout: OutputLayout) -> Optional[Tuple[GraphOutput, ...]]:
    """Find a count (1, 1), boxes (1, N, 4), scores (1, N) and classes (1, N), whatever they are called."""
    boxes = [out for out in layout.outputs if len(out.shape) == 3 and out.shape[::2] == (1, 4)]
    if len(boxes) != 1 or len(layout.outputs) != 4:
        return None
    lists = [out for out in layout.outputs if out.shape == (1, boxes[0].shape[1]) and not out.name.startswith("num")]
    counts = [out for out in layout.outputs if out.shape in ((1, 1), (1,)) and out not in lists[:2]]
    if len(lists) != 2 or len(counts) != 1:
        return None
    classes = [out for out in lists if out.is_integer or "class" in out.name or "label" in out.name]
    if len(classes) != 1:
        return None
    scores = next(out for out in lists if out is not classes[0])
    return counts[0], boxes[0], scores, classes[0]


def _counted_guess(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: the outputs of TensorRT's EfficientNMS_TRT, which others' NMS imitate: corners in network pixels."""
    outputs = _counted(layout)
    if outputs is None:
        return
    if layout.classes is None:
        yield HeadGuess(needs=NEEDS_CLASSES)
        return
    count, boxes, scores, classes = outputs
    rows = boxes.shape[1]

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        # What stands behind the count is undefined: its scores become 0.
        places = tail.const(range(rows))
        counted = tail.node("Less", places, tail.reshape(tail.cast(count.name), (1,)))
        valid = tail.node("Mul", tail.reshape(tail.cast(scores.name), (rows,)), tail.cast(counted))
        return _rows(tail, boxes.name, valid, tail.cast(classes.name), rows)

    yield HeadGuess(_head(layout), reads=outputs, build=build)


def _flat(layout: OutputLayout, score: int, class_id: int) -> Iterator[HeadGuess]:
    """Rows (N, 7) [image, corners, and a score and a class at these places], as many as there are boxes."""
    for output in layout.outputs:
        if len(output.shape) != 2 or output.shape[1] != 7 or len(layout.outputs) > 1:
            continue
        if layout.classes is None:
            yield HeadGuess(needs=NEEDS_CLASSES)
            continue

        def build(tail: GraphTail, name: str = output.name) -> Sequence[GraphOutput]:
            first = tail.cast(tail.node("Less", tail.take(name, [0], axis=1), tail.const([[0.5]])))
            scores = tail.node("Mul", tail.take(name, [score], axis=1), first)  # of the first image alone
            boxes, classes = tail.take(name, [1, 2, 3, 4], axis=1), tail.take(name, [class_id], axis=1)
            return _rows(tail, boxes, scores, classes, 0)

        yield HeadGuess(_head(layout), reads=(output,), build=build)


def _yolov7(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: yolov7, models/experimental.py, ONNX_ORT."""
    return _flat(layout, score=6, class_id=5)


def _yolonas_flat(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: super-gradients, documentation/source/models_export.md, flat format."""
    return _flat(layout, score=5, class_id=6)


def _yolonas_batch(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: super-gradients, models_export.md, batch format; by default the graph takes bytes and scales them."""
    if layout.has_bytes or any(output.name.startswith("graph2_") for output in layout.outputs):
        yield from _counted_guess(layout)


def _other_counted(layout: OutputLayout) -> Iterator[HeadGuess]:
    if not layout.has_bytes and not any(output.name.startswith("graph2_") for output in layout.outputs):
        yield from _counted_guess(layout)


def guess_paddle(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Rows (N, 6) [class, score, corners] and a count, in pixels of the image that scale_factor speaks of.

    Source: PaddleDetection, deploy/third_engine/onnx/infer.py.
    """
    rows = [out for out in layout.outputs if len(out.shape) == 2 and out.shape[1] == 6]
    if len(rows) != 1 or len(layout.outputs) > 2 or "scale_factor" not in layout.extra_inputs:
        return
    if layout.classes is None:
        yield HeadGuess(needs=NEEDS_CLASSES)
        return

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        parts = (tail.take(rows[0].name, columns, axis=1) for columns in ([2, 3, 4, 5], [1], [0]))
        boxes, scores, classes = parts
        return _rows(tail, boxes, scores, classes, 0)

    yield HeadGuess(_head(layout), reads=tuple(rows), build=build)


def _mmdet(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Rows dets (1, N, 5) [corners, score] and labels (1, N), in network pixels. Source: mmdeploy, configs/mmdet."""
    outputs = layout.named("dets", "labels")
    if not outputs or outputs[0].shape[::2] != (1, 5) or outputs[1].shape != outputs[0].shape[:2]:
        return
    if layout.classes is None:
        yield HeadGuess(needs=NEEDS_CLASSES)
        return
    dets, labels = outputs

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        boxes, scores = tail.take(dets.name, [0, 1, 2, 3], axis=2), tail.take(dets.name, [4], axis=2)
        return _rows(tail, boxes, scores, tail.cast(labels.name), dets.shape[1])

    yield HeadGuess(_head(layout), reads=outputs, build=build)


def _torchvision(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Boxes (N, 4), labels (N) and scores (N) of one image, which the graph itself resizes and normalises.

    Source: torchvision, models/detection, exported with a list of one image. Labels are COCO's category ids, 0 being
    the background, unless the model was trained for others.
    """
    boxes = [out for out in layout.outputs if len(out.shape) == 2 and out.shape[1] == 4]
    lists = [out for out in layout.outputs if len(out.shape) == 1]
    labels = [out for out in lists if out.is_integer]
    if len(boxes) != 1 or len(labels) != 1 or len(lists) != 2:
        return
    scores = next(out for out in lists if out is not labels[0])

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        return _rows(tail, boxes[0].name, scores.name, tail.cast(labels[0].name), 0)

    count = layout.classes or len(COCO_CATEGORIES)
    yield HeadGuess((EndToEnd("detections", count),), reads=(boxes[0], scores, labels[0]), build=build)


def _plugin(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Boxes and scores that an EfficientNMS_TRT would take: see `plugins`."""
    if layout.plugin is None:
        return
    boxes, scores = layout.outputs
    box, conf, iou = layout.plugin
    guess = guess_pair(boxes, scores, box)
    yield replace(guess, conf=conf, iou=iou)


_LABELS = (COCO_CATEGORIES,)
# mmdetection, configs/yolox and configs/rtmdet, test_pipeline and data_preprocessor: BGR, padded right and below.
_MMDET = {"resize": "letterbox", "letterbox": "mmdet", "colour": "bgr", "scale": 1.0}
_RTMDET = {**_MMDET, "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}
_RATIO = {"resize": "letterbox", "letterbox": "imagenet"}
_BYTES = {**YOLONAS, "scale": 1.0}  # by default the graph scales them itself

KINDS: Dict[str, Kind] = {
    "efficientnms": Kind("YOLOs whose EfficientNMS_TRT is cut off", _plugin, ULTRALYTICS, explicit_only=True),
    "num-dets": Kind(
        "YOLOs with NMS: a count (1, 1), boxes (1, N, 4), scores (1, N) and classes (1, N)", _other_counted, ULTRALYTICS
    ),
    "yolov7-nms": Kind(
        "YOLOv7 with NMS: output (N, 7) [image, box, class, score]", _yolov7, ULTRALYTICS, names=frozenset({"output"})
    ),
    "yolonas-flat": Kind(
        "YOLO-NAS with NMS, flat: (N, 7) [image, box, score, class]", _yolonas_flat, YOLONAS, byte_input=_BYTES,
        names=frozenset({"graph2_flat_predictions"}),
    ),
    "yolonas-batch": Kind(
        "YOLO-NAS with NMS, batch: a count, boxes, scores and classes", _yolonas_batch, YOLONAS, byte_input=_BYTES
    ),
    "yolox-mmdet": Kind("YOLOX of mmdetection: dets (1, N, 5) and labels (1, N)", _mmdet, _MMDET),
    "rtmdet": Kind("RTMDet of mmdetection: dets (1, N, 5) and labels (1, N)", _mmdet, _RTMDET),
    # torchvision's SSDs stretch the image themselves; the others keep its ratio, and pad with 0 after normalising.
    "ssd": Kind(
        "torchvision's SSDs: boxes (N, 4), scores (N) and labels (N)", _torchvision, {"resize": "stretch"},
        holds={"Softmax": True, "RoiAlign": False}, labels=_LABELS,
    ),
    "retinanet": Kind(
        "torchvision's RetinaNet and FCOS: boxes (N, 4), scores (N) and labels (N)", _torchvision, _RATIO,
        holds={"Softmax": False, "RoiAlign": False}, labels=_LABELS,
    ),
    "fasterrcnn": Kind(
        "torchvision's Faster R-CNN: boxes (N, 4), labels (N) and scores (N)", _torchvision, _RATIO,
        holds={"RoiAlign": True}, labels=_LABELS,
    ),
}  # fmt: skip
