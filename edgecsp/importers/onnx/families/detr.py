"""The DETRs: some hundred queries, each with a box relative to the image and scores; no suppression."""

from __future__ import annotations

from typing import Dict, Iterator, Sequence

from ....graph.labels import COCO, COCO_CATEGORIES
from ....processing.heads.decoded import Decoded
from ..graph import GraphOutput
from ..kinds import MOST_ROWS, HeadGuess, Kind, OutputLayout
from ..tail import GraphTail
from .yolo import guess_rows

_LOGITS = frozenset({"logits", "pred_boxes"})
_LABELS = (COCO, COCO_CATEGORIES)
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def _ultralytics(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Rows [centre and size in 0..1, score, class]; of exporters before 2026 [centre and size, class ...]."""
    for name, rows, fields in layout.rows():
        if rows > MOST_ROWS or fields < 5:
            continue
        if fields == 6:
            yield guess_rows(layout, name, box="xywh", relative=True)
        else:
            yield HeadGuess((Decoded(name, fields - 4, relative=True),))


def _queries(layout: OutputLayout) -> Iterator[Sequence[GraphOutput]]:
    """Pairs of boxes and logits of queries: those of the exporters' own names, else few that are no grid."""
    named = layout.named("pred_boxes", "logits") or layout.named("dets", "labels")
    for boxes, logits in layout.pairs():
        rows = boxes.shape[1]
        if named == (boxes, logits) or (not named and rows <= MOST_ROWS and not layout.is_grid(rows)):
            yield boxes, logits


def _guess(boxes: GraphOutput, logits: GraphOutput, classes: int, activation: str, multi_label: bool) -> HeadGuess:
    rows, columns = logits.shape[1:]

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        scores = tail.node(activation, logits.name, **({"axis": 2} if activation == "Softmax" else {}))
        if classes < columns:
            scores = tail.take(scores, range(classes), axis=2)
        return (tail.output(tail.node("Concat", boxes.name, scores, axis=2), (1, rows, 4 + classes)),)

    head = Decoded("detections", classes, relative=True, multi_label=multi_label)
    return HeadGuess((head,), reads=(boxes, logits), build=build)


def _sigmoid(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: transformers, RTDetrImageProcessor.post_process_object_detection: a query may give several classes."""
    for boxes, logits in _queries(layout):
        yield _guess(boxes, logits, logits.shape[2], "Sigmoid", multi_label=True)


def _softmax(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: transformers, post_process_object_detection of YOLOS and DETR: the last logit is "no object".

    Without TopK a DETR with a sigmoid looks alike (Conditional and Deformable DETR); of the 92 logits of COCO's
    models, and where the classes are known, it can only be this.
    """
    for boxes, logits in _queries(layout):
        classes = logits.shape[2] - 1
        if classes < 1:
            continue
        if layout.classes is None and classes != len(COCO_CATEGORIES):
            yield HeadGuess(needs="--kind yolos --num-classes N, if the last of its logits is no class")
        else:
            yield _guess(boxes, logits, classes, "Softmax", multi_label=False)


def _rfdetr(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Source: rfdetr, models/lwdetr.py, PostProcess. Fine-tuned models have a logit more than classes."""
    for boxes, logits in _queries(layout):
        columns = logits.shape[2]
        yield _guess(boxes, logits, columns - (layout.classes == columns - 1), "Sigmoid", multi_label=True)


def _postprocessed(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Labels (1, N), boxes (1, N, 4) and scores (1, N), in pixels of the size that a second input says.

    Source: RT-DETR and D-FINE, tools/deployment/export_onnx.py.
    """
    outputs = layout.named("labels", "boxes", "scores")
    if not outputs or "orig_target_sizes" not in layout.extra_inputs:
        return
    labels, boxes, scores = outputs
    rows = boxes.shape[1] if len(boxes.shape) == 3 else 0
    if boxes.shape[2:] != (4,) or labels.shape != (1, rows) or scores.shape != (1, rows):
        return

    def build(tail: GraphTail) -> Sequence[GraphOutput]:
        columns = [tail.reshape(tail.cast(each.name), (1, -1, 1)) for each in (scores, labels)]
        return (tail.output(tail.node("Concat", boxes.name, *columns, axis=2), (1, rows, 6)),)

    guess = guess_rows(layout, "detections")
    yield guess if guess.needs else HeadGuess(guess.heads, reads=outputs, build=build)


# RTDetrImageProcessor stretches and does not normalise; YolosImageProcessor keeps the ratio, pads right and below with
# what is 0 once normalised, and normalises; RF-DETR (detr.py, predict) stretches and normalises. All take RGB.
KINDS: Dict[str, Kind] = {
    "rtdetr": Kind(
        "RT-DETR of ultralytics: (1, N, 6) or (1, N, 4 + C), end to end",
        _ultralytics,
        {"resize": "stretch"},
        iou=1.0,  # none is suppressed
        explicit_only=True,
    ),
    "detr": Kind(
        "RT-DETR and D-FINE of transformers: logits (1, N, C) and pred_boxes (1, N, 4)",
        _sigmoid,
        {"resize": "stretch"},
        holds={"TopK": True},  # it selects the queries, which the DETRs with a softmax lack
        patches=False,
        iou=1.0,
        names=_LOGITS,
        labels=_LABELS,
    ),
    "detr-vit": Kind(
        "RF-DETR, LW-DETR and other vision transformers of transformers: logits (1, N, C) and pred_boxes (1, N, 4)",
        _sigmoid,
        {"resize": "stretch", **_IMAGENET},
        holds={"TopK": True},
        patches=True,
        iou=1.0,
        names=_LOGITS,
        labels=_LABELS,
    ),
    "yolos": Kind(
        "YOLOS and DETR of transformers: logits (1, N, C + 1) and pred_boxes (1, N, 4)",
        _softmax,
        {"resize": "letterbox", "letterbox": "imagenet", **_IMAGENET},
        holds={"TopK": False},
        iou=1.0,
        names=_LOGITS,
        labels=_LABELS,
    ),
    "rfdetr": Kind(
        "RF-DETR: dets (1, N, 4) and labels (1, N, C)",
        _rfdetr,
        {"resize": "stretch", **_IMAGENET},
        iou=1.0,
        names=frozenset({"dets", "labels"}),
        labels=_LABELS,
    ),
    "rtdetr-postprocessed": Kind(
        "RT-DETR and D-FINE of their authors: labels, boxes and scores, with orig_target_sizes",
        _postprocessed,
        {"resize": "stretch"},
        names=frozenset({"labels", "boxes", "scores"}),
    ),
}
