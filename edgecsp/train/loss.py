"""The loss over raw YOLO heads: which predictions answer for which boxes, and what is punished.

Two assigners. "shape" is darknet's: the anchors whose shape fits, in the cell of the box's middle. "dynamic" is
SimOTA (YOLOX, Ge et al. 2021): of the predictions near the middle, the ones that fit best so far, as many as the
sum of their best IoUs says. Boxes are punished by CIoU (Zheng et al. 2020), objectness and classes by binary
cross entropy. Where a box is ignored (a crowd, something that a teacher is not sure of), nothing is punished.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, List, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..processing.heads.yolo import Yolo
from .threads import one_thread

WEIGHTS = (5.0, 1.0, 1.0)  # of box, objectness and classes against each other


class Terms(NamedTuple):
    """The loss of a batch, by what it punishes: scalars."""

    box: Tensor
    objectness: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """The sum that is minimised."""
        return self.box + self.objectness + self.classes


class HeadPredictions(NamedTuple):
    """All places of all heads side by side; P is the sum of A * H * W over the heads.

    `raw` (N, P, 5 + classes) float32, `boxes` (N, P, 4) cx, cy, w, h in input pixels, `centres` (P, 2) of the
    cells, `strides` (P,) and `anchors` (P, 2) in input pixels.
    """

    raw: Tensor
    boxes: Tensor
    centres: Tensor
    strides: Tensor
    anchors: Tensor


class Assignment(NamedTuple):
    """Pairs of places and targets: which place of which image answers for which row; all (K,) int64."""

    image: Tensor
    place: Tensor
    target: Tensor


def predict(heads: Sequence[Yolo], outputs: Sequence[Tensor], side: Tuple[int, int]) -> HeadPredictions:
    """Decode raw heads (N, A * (5 + classes), H, W) of inputs of `side` (height, width) pixels."""
    parts: List[Tuple[Tensor, ...]] = []
    for head, out in zip(heads, outputs):
        n, _, h, w = out.shape
        count = len(head.anchors_wh)
        raw = out.view(n, count, -1, h, w).permute(0, 1, 3, 4, 2).reshape(n, count * h * w, -1).float()
        rows, columns = torch.meshgrid(
            torch.arange(h, device=out.device), torch.arange(w, device=out.device), indexing="ij"
        )
        cells = torch.stack((columns, rows), -1).reshape(1, h * w, 2).expand(count, -1, -1).reshape(-1, 2).float()
        stride = torch.tensor([side[1] / w, side[0] / h], device=out.device)
        anchors = torch.tensor(head.anchors_wh, device=out.device).repeat_interleave(h * w, 0)
        scale = head.scale_xy
        xy = (raw[..., :2].sigmoid() * scale - (scale - 1) / 2 + cells) * stride
        wh = raw[..., 2:4].clamp(max=8).exp() * anchors
        strides = stride.max().expand(len(cells))
        parts.append((raw, torch.cat((xy, wh), -1), (cells + 0.5) * stride, strides, anchors))
    columns_ = list(zip(*parts))
    return HeadPredictions(*(torch.cat(c, 1) for c in columns_[:2]), *(torch.cat(c) for c in columns_[2:]))


def at_least_one(count: Tensor) -> Tensor:
    """The divisor of a batch's loss when one process computes all of it."""
    return count.clamp(min=1)


@dataclass
class Loss:
    """The loss for a network's heads, means over the boxes of a batch.

    `assigner` is "dynamic" or "shape". `smooth` is label smoothing of the classes; `weights` weighs box, objectness
    and classes against each other.
    """

    heads: Sequence[Yolo]
    assigner: str = "dynamic"
    smooth: float = 0.0
    weights: Tuple[float, float, float] = WEIGHTS

    def __call__(
        self,
        outputs: Sequence[Tensor],
        targets: Tensor,
        side: Tuple[int, int],
        norm: Callable[[Tensor], Tensor] = at_least_one,
    ) -> Terms:
        """`outputs` raw heads of N inputs of `side` (h, w) px; `targets` (M, 6 or 7): image, class, cx, cy, w, h in px.

        A seventh column is the label's confidence: what answers for it counts as much, and 0 is an ignored region.
        `norm` makes of the sum of those confidences what the loss is divided by.
        """
        predictions = predict(self.heads, outputs, side)
        sure = targets[:, 6] if targets.shape[1] > 6 else torch.ones_like(targets[:, 0])
        ignored, targets, sure = targets[sure <= 0], targets[sure > 0], sure[sure > 0]
        match = (
            assign_dynamic(predictions, targets) if self.assigner == "dynamic" else assign_shape(predictions, targets)
        )
        weight = sure[match.target]
        count = norm(weight.sum())
        rows = predictions.raw[match.image, match.place]
        matched = targets[match.target]
        boxes = predictions.boxes[match.image, match.place]
        overlap = ciou(boxes, matched[:, 2:6])
        present = torch.zeros_like(predictions.raw[..., 4])
        present[match.image, match.place] = 1.0
        counts = (~are_ignored(predictions.boxes, ignored)).to(present)
        counts[match.image, match.place] = weight
        classes = predictions.raw.shape[2] - 5
        named = F.one_hot(matched[:, 1].long(), classes).to(rows) * (1 - self.smooth) + self.smooth / classes
        terms = (
            ((1 - overlap) * weight).sum(),
            F.binary_cross_entropy_with_logits(predictions.raw[..., 4], present, counts, reduction="sum"),
            F.binary_cross_entropy_with_logits(rows[:, 5:], named, weight[:, None], reduction="sum"),
        )
        return Terms(*(term * weight / count for term, weight in zip(terms, self.weights)))


@torch.no_grad()
def are_ignored(boxes: Tensor, regions: Tensor, share: float = 0.5) -> Tensor:
    """Mask (N, P) of the boxes (N, P, 4) cx, cy, w, h of which an ignored region has more than `share` of the area.

    `regions` (M, 6 or more) are rows as of the targets.
    """
    ignored_rows = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for image in regions[:, 0].unique().long().tolist():
        mine = regions[regions[:, 0] == image, 2:6]
        own = boxes[image, :, None]
        ignored_rows[image] = (_common(own, mine) > share * own[..., 2:].prod(-1)).any(1)
    return ignored_rows


@torch.no_grad()
def assign_dynamic(
    predictions: HeadPredictions, targets: Tensor, radius: float = 0.95, shape: float = 4.0
) -> Assignment:
    """SimOTA over anchors: candidates are places near a box's middle whose anchor is within `shape` times its sides.

    `radius` is in strides: a head with `scale_xy` 2 reaches a stride from its cell's middle, and only asymptotically.
    A place answers for one box at most, the one that it costs least.
    """
    with one_thread(targets.device):
        return _assign_dynamic(predictions, targets, radius, shape)


def _assign_dynamic(predictions: HeadPredictions, targets: Tensor, radius: float, shape: float) -> Assignment:
    device = targets.device
    images, places, chosen = [], [], []
    centres, anchors = predictions.centres.T.contiguous(), predictions.anchors.T.contiguous()
    for image in range(predictions.raw.shape[0]):
        mine = (targets[:, 0] == image).nonzero()[:, 0]
        if not len(mine):
            continue
        boxes = targets[mine, 2:6]
        x, y, w, h = (column[:, None] for column in boxes.T)
        near = torch.maximum((x - centres[0]).abs_(), (y - centres[1]).abs_()).div_(predictions.strides) < radius
        ratios = w / anchors[0], h / anchors[1]
        # Side by side in place of a reduction over two values, which torch does far more slowly.
        fits = torch.maximum(*(torch.maximum(ratio, 1 / ratio) for ratio in ratios)) < shape
        fits |= ~fits.any(1, keepdim=True)  # a box that no anchor resembles takes what there is
        able = near & fits
        inside = able.any(0).nonzero()[:, 0]
        if not len(inside):
            continue
        overlap = iou(boxes[:, None], predictions.boxes[image, inside])
        rows = predictions.raw[image, inside]
        named = targets[mine, 1].long()
        score = (rows[:, 5:].sigmoid() * rows[:, 4:5].sigmoid()).sqrt().clamp(1e-6, 1 - 1e-6)
        absent = torch.log1p(-score)
        cost_class = -(absent.sum(1) + (score.log() - absent)[:, named].T)
        cost = cost_class + 3.0 * -(overlap + 1e-8).log()
        cost = cost + 1e5 * ~able[:, inside]
        most = min(10, len(inside))
        counts = overlap.topk(most, 1).values.sum(1).int().clamp(min=1)
        least, order = cost.topk(most, 1, largest=False)
        taken = torch.zeros_like(cost, dtype=torch.bool)
        taken.scatter_(1, order, (torch.arange(most, device=device) < counts[:, None]) & (least < 1e5))
        several = taken.sum(0) > 1
        if several.any():
            best = cost[:, several].argmin(0)
            taken[:, several] = False
            taken[best, several.nonzero()[:, 0]] = True
        box, column = taken.nonzero(as_tuple=True)
        images.append(torch.full_like(box, image))
        places.append(inside[column])
        chosen.append(mine[box])
    if not images:
        nothing = torch.zeros(0, dtype=torch.long, device=device)
        return Assignment(nothing, nothing, nothing)
    return Assignment(torch.cat(images), torch.cat(places), torch.cat(chosen))


@torch.no_grad()
def assign_shape(predictions: HeadPredictions, targets: Tensor, also: float = 0.35) -> Assignment:
    """darknet's: the anchor of the best shape, and those of an IoU of shapes above `also`, in the middle's cell."""
    wh = targets[:, 4:6]
    common = torch.minimum(wh[:, None], predictions.anchors).prod(2)
    fit = common / (wh.prod(1)[:, None] + predictions.anchors.prod(1) - common)
    here = (targets[:, None, 2:4] - predictions.centres).abs() <= predictions.strides[:, None] / 2 * (1 + 1e-6)
    fit = torch.where(here.all(2), fit, torch.full_like(fit, -1.0))
    if not len(targets):
        nothing = torch.zeros(0, dtype=torch.long, device=targets.device)
        return Assignment(nothing, nothing, nothing)
    best = fit.argmax(1, keepdim=True)
    taken = fit > also
    taken.scatter_(1, best, True)
    target, place = taken.nonzero(as_tuple=True)
    return Assignment(targets[target, 0].long(), place, target)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes cx, cy, w, h; broadcasts."""
    inside = _common(a, b)
    return inside / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - inside + 1e-9)


def _common(a: Tensor, b: Tensor) -> Tensor:
    """Area that boxes cx, cy, w, h share; broadcasts."""
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    return (high - low).clamp(min=0).prod(-1)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU of boxes cx, cy, w, h (Zheng et al. 2020), the gradient of its aspect term as published."""
    value = iou(a, b)
    low = torch.minimum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.maximum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    away = (a[..., :2] - b[..., :2]).square().sum(-1) / ((high - low).square().sum(-1) + 1e-9)
    turn = torch.atan(b[..., 2] / (b[..., 3] + 1e-9)) - torch.atan(a[..., 2] / (a[..., 3] + 1e-9))
    v = 4 / math.pi**2 * turn.square()
    with torch.no_grad():
        share = v / (1 - value + v + 1e-9)
    return value - away - share * v
