"""The supported families of ONNX exports: the layout of their outputs and their input.

A family is one row of `KINDS` and one function that finds the heads that the outputs' shapes fit. Source: the
exporters' documentation and their files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple, Type

from ...graph.anchors import AnchorSet
from ...processing.heads.anchor_free import AnchorFree
from ...processing.heads.decoded import Decoded
from ...processing.heads.end_to_end import EndToEnd
from ...processing.heads.scores import Scores
from ...processing.heads.yolo import Yolo
from ...types import Classes, Detections, Head, Result
from .graph import GraphOutput

STRIDES = ((8, 16, 32), (16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
MOST_ROWS = 1000  # an end-to-end head keeps 300; more rows than this are a grid


@dataclass(frozen=True)
class OutputLayout:
    """The facts to match: the outputs, the input's size, and the user's classes and anchors.

    `last_operator` gives the operator that computes an output.
    """

    outputs: Tuple[GraphOutput, ...]
    hw: Tuple[int, int]
    classes: Optional[int] = None
    anchors: Optional[AnchorSet] = None
    last_operator: Callable[[str], str] = lambda name: ""

    def rows(self) -> Iterator[Tuple[str, int, int]]:
        """Yield outputs (1, a, b) as (name, a, b), except `pairs` of boxes and scores."""
        apart = [each for pair in self.pairs() for each in pair]
        for output in self.outputs:
            if len(output.shape) == 3 and output.shape[0] == 1 and output not in apart:
                yield output.name, output.shape[1], output.shape[2]

    def pairs(self) -> Iterator[Tuple[GraphOutput, GraphOutput]]:
        """Yield pairs of boxes (1, N, 4) and scores (1, N, C) with the same N rows."""
        for boxes in self.outputs:
            for scores in self.outputs:
                alike = len(scores.shape) == 3 and boxes.shape == (1, scores.shape[1], 4) and scores.shape[0] == 1
                if alike and scores is not boxes:
                    yield boxes, scores

    def strides(self, cells: int) -> Tuple[int, ...]:
        """Return the strides whose grids have this total of cells, () when none do."""
        height, width = self.hw
        for strides in STRIDES:
            if sum((height // s) * (width // s) for s in strides) == cells:
                return strides
        return ()


@dataclass(frozen=True)
class HeadGuess:
    """A candidate for the heads. `needs`: options that the user must give. `join`: boxes and scores to concatenate."""

    heads: Tuple[Head, ...] = ()
    needs: str = ""
    join: Tuple[GraphOutput, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One family of exports.

    `explicit_only`: never guessed by shapes, which are ambiguous; only by metadata or the user.
    `input` are fields of `types.Input`. `raw` True: nothing is computed behind the convolutions; `exp`: the graph
    does or does not hold an Exp; None: no matter. `conf` and `iou` are what the family runs at. The head that `find`
    makes says by `multi_label` whether the family's own predictor gives a place several classes: none here does, but
    darknet's raw heads, which always do.
    """

    about: str
    find: Callable[[OutputLayout], Iterator[HeadGuess]]
    input: Mapping[str, Any]
    raw: Optional[bool] = None
    exp: Optional[bool] = None
    conf: float = 0.25
    iou: float = 0.45
    explicit_only: bool = False
    result: Type[Result] = Detections


def _anchored(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, rows, fields in layout.rows():
        if fields > 5 and rows % 3 == 0 and layout.strides(rows // 3):
            yield HeadGuess((Decoded(name, fields - 5, objectness=True),))


def _objectness(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, rows, fields in layout.rows():
        if fields > 5 and layout.strides(rows):
            yield HeadGuess((Decoded(name, fields - 5, objectness=True),))


def _yolox(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, rows, fields in layout.rows():
        if fields > 5 and layout.strides(rows):
            yield HeadGuess((AnchorFree(name, fields - 5, layout.strides(rows)),))


def _plain(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, a, b in layout.rows():
        if a > 4 and layout.strides(b):
            yield HeadGuess((Decoded(name, a - 4, channels_first=True),))
        elif b > 4 and layout.strides(a):
            yield HeadGuess((Decoded(name, b - 4),))


def _end_to_end(layout: OutputLayout) -> Iterator[HeadGuess]:
    for name, rows, fields in layout.rows():
        grid = layout.strides(rows) or (rows % 3 == 0 and layout.strides(rows // 3))
        if fields == 6 and rows <= MOST_ROWS and not grid:
            yield _rows(layout, name)


def _rows(layout: OutputLayout, name: str, **box: Any) -> HeadGuess:
    if layout.classes is None:
        return HeadGuess(needs="--names FILE or --classes N (its rows name a class and not how many there are)")
    return HeadGuess((EndToEnd(name, layout.classes, **box),))


def _yolov4(layout: OutputLayout) -> Iterator[HeadGuess]:
    for boxes in layout.outputs:
        if len(boxes.shape) != 4 or boxes.shape[0] != 1 or boxes.shape[2:] != (1, 4):
            continue
        for scores in layout.outputs:
            if len(scores.shape) == 3 and scores.shape[:2] == boxes.shape[:2]:
                head = Decoded("detections", scores.shape[2], "xyxy", relative=True)
                yield HeadGuess((head,), join=(boxes, scores))


def _detr(layout: OutputLayout) -> Iterator[HeadGuess]:
    """Rows [centre and size in 0..1, score, class]; of exporters before 2026 [centre and size, class ...]."""
    for name, rows, fields in layout.rows():
        if rows > MOST_ROWS or fields < 5:
            continue
        if fields == 6:
            yield _rows(layout, name, box="xywh", relative=True)
        else:
            yield HeadGuess((Decoded(name, fields - 4, relative=True),))


def _nas(layout: OutputLayout) -> Iterator[HeadGuess]:
    for boxes, scores in layout.pairs():
        # DAMO-YOLO's scores come first, and its images are laid in otherwise.
        if layout.outputs.index(boxes) < layout.outputs.index(scores) and layout.strides(boxes.shape[1]):
            yield HeadGuess((Decoded("detections", scores.shape[2], "xyxy"),), join=(boxes, scores))


def _darknet(layout: OutputLayout) -> Iterator[HeadGuess]:
    maps = sorted((out for out in layout.outputs if len(out.shape) == 4), key=lambda out: -out.shape[2])
    if len(maps) != len(layout.outputs):
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
    each = anchors.heads
    if len(each) == 1 and len(each[0]) % len(maps) == 0:
        n = len(each[0]) // len(maps)
        each = tuple(each[0][i : i + n] for i in range(0, len(each[0]), n))
    if len(each) != len(maps):
        return
    for i, (out, stride, wh) in enumerate(zip(maps, strides, each)):
        fields, rest = divmod(out.shape[1], len(wh))
        if not rest and fields > 5:
            yield Yolo(out.name, fields - 5, stride, wh, anchors.scale_xy[i] if anchors.scale_xy else 1.0)


def _classes(layout: OutputLayout) -> Iterator[HeadGuess]:
    for output in layout.outputs:
        if output.shape[:1] == (1,) and output.shape[2:] in ((), (1, 1)) and len(output.shape) > 1:
            softmax = layout.last_operator(output.name) != "Softmax"
            yield HeadGuess((Scores(output.name, output.shape[1], softmax=softmax),))


_ULTRALYTICS = {"resize": "letterbox", "letterbox": "ultralytics"}
_YOLOX = {"resize": "letterbox", "letterbox": "yolox", "colour": "bgr", "scale": 1.0}

KINDS: Dict[str, Kind] = {
    "yolov5": Kind("YOLOv5, v7: (1, 3 anchors x cells, 5 + C), decoded", _anchored, _ULTRALYTICS, raw=False),
    "yolov6": Kind("YOLOv6: (1, cells, 5 + C), decoded", _objectness, _ULTRALYTICS, raw=False, exp=False),
    "yolov8": Kind("YOLOv8, v9, v11, v12: (1, 4 + C, cells), decoded", _plain, _ULTRALYTICS, raw=False, iou=0.7),
    "yolov10": Kind("YOLOv10, YOLO26 and exports with NMS: (1, N, 6), end to end", _end_to_end, _ULTRALYTICS),
    "yolox": Kind("YOLOX: (1, cells, 5 + C), raw", _yolox, _YOLOX, raw=True),
    "yolox-decoded": Kind("YOLOX with decode_in_inference", _objectness, _YOLOX, raw=False, exp=True),
    "yolov4": Kind("pytorch-YOLOv4: boxes (1, N, 1, 4) and confs (1, N, C)", _yolov4, {"resize": "stretch"}),
    "rtdetr": Kind(
        "RT-DETR of ultralytics: (1, N, 6) or (1, N, 4 + C), end to end",
        _detr,
        {"resize": "stretch"},
        iou=1.0,  # none is suppressed
        explicit_only=True,
    ),
    "yolonas": Kind("YOLO-NAS: boxes (1, cells, 4) and scores (1, cells, C)", _nas, _ULTRALYTICS, raw=None, iou=0.7),
    "darknet": Kind("darknet's raw heads: (1, A x (5 + C), H, W) each", _darknet, {"resize": "darknet"}),
    "classify": Kind("a classifier: (1, C)", _classes, {"resize": "crop"}, explicit_only=True, result=Classes),
}
ALIASES = {
    "yolov7": "yolov5", "yolov9": "yolov8", "yolov11": "yolov8", "yolo11": "yolov8", "yolov12": "yolov8",
    "yolo12": "yolov8", "yolo26": "yolov10", "end2end": "yolov10", "yolo-nas": "yolonas", "rt-detr": "rtdetr",
}  # fmt: skip
