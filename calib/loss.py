"""YOLOv3's loss over raw heads: each box belongs to the anchor of its shape, in the cell where its middle is.

Source: YOLOv3 paper, 2.1 and 2.2, and darknet yolo_layer.c: squared error on the coordinates, weighted by
2 - w * h, binary cross entropy on objectness and classes; a prediction that overlaps a box by more than `IGNORE`
without being responsible for it is not punished.
"""

from __future__ import annotations

import math
from typing import List, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from edgecsp.core import Head
from edgecsp.train.loss import Terms

IGNORE = 0.7


class YoloLoss:
    """The loss for a net's heads. `box` is "mse" (the paper's), "giou" or "ciou".

    With `also` below 1, anchors other than the best share a box when their shapes overlap by more than that
    (darknet's iou_thresh). `smooth` is label smoothing of the classes.
    """

    def __init__(self, heads: Sequence[Head], box: str = "mse", also: float = 1.0, smooth: float = 0.0) -> None:
        self.heads, self.box, self.also, self.smooth = heads, box, also, smooth
        self.anchors = torch.tensor([wh for head in heads for wh in head.anchors_wh])
        self.owner = [(i, a) for i, head in enumerate(heads) for a in range(len(head.anchors_wh))]
        self.classes = heads[0].classes

    def __call__(self, outputs: Sequence[Tensor], targets: Tensor, side: int) -> Terms:
        """`outputs` raw heads of N pictures of `side` px; `targets` (M, 6): picture, class, cx, cy, w, h in 0..1."""
        n = outputs[0].shape[0]
        shapes = targets[:, 4:] * side
        anchors = self.anchors.to(targets)
        common = torch.minimum(shapes[:, None], anchors).prod(2)
        fit = common / (shapes.prod(1)[:, None] + anchors.prod(1) - common)
        chosen = (fit > self.also) | (fit >= fit.amax(1, keepdim=True) if len(fit) else fit > 2)
        padded = _padded(targets, n)
        terms = [self._head(i, out, targets, chosen, padded, side) for i, out in enumerate(outputs)]
        return Terms(*(sum(t) / n for t in zip(*terms)))

    def _head(
        self, index: int, out: Tensor, targets: Tensor, chosen: Tensor, padded: Tensor, side: int
    ) -> Tuple[Tensor, Tensor, Tensor]:
        head = self.heads[index]
        n, _, h, w = out.shape
        raw = out.view(n, len(head.anchors_wh), -1, h, w).permute(0, 1, 3, 4, 2).float()
        anchors = torch.tensor(head.anchors_wh).to(raw) / side
        boxes = _decoded(raw[..., :4], anchors)
        wanted, counted = torch.zeros_like(raw[..., 4]), _unmatched(boxes, padded)
        mine = [k for k, (owner, _) in enumerate(self.owner) if owner == index]
        which, anchor = chosen[:, mine].nonzero(as_tuple=True)
        t = targets[which]
        at = (t[:, 0].long(), anchor, (t[:, 3] * h).long().clamp(0, h - 1), (t[:, 2] * w).long().clamp(0, w - 1))
        wanted[at] = 1.0
        counted[at] = 1.0
        objectness = F.binary_cross_entropy_with_logits(raw[..., 4], wanted, weight=counted, reduction="sum")
        named = F.one_hot(t[:, 1].long(), self.classes).to(raw) * (1 - 2 * self.smooth) + self.smooth
        classes = F.binary_cross_entropy_with_logits(raw[at][:, 5:], named, reduction="sum")
        return self._box(raw[at][:, :4], boxes[at], t[:, 2:], anchors[anchor], at, (w, h)), objectness, classes

    def _box(
        self, raw: Tensor, boxes: Tensor, wanted: Tensor, anchors: Tensor, at: Tuple[Tensor, ...], wh: Tuple[int, int]
    ) -> Tensor:
        weight = 2 - wanted[:, 2] * wanted[:, 3]
        if self.box != "mse":
            return (weight * (1 - _overlap(boxes, wanted, self.box))).sum() * 2.0
        cell = torch.stack((at[3], at[2]), 1)
        shift = wanted[:, :2] * torch.tensor(wh).to(wanted) - cell
        size = torch.log(wanted[:, 2:] / anchors)
        # Cross entropy has its minimum where the squared error has, and does not fade when the sigmoid saturates;
        # it is what darknet's gradient for x and y amounts to.
        xy = F.binary_cross_entropy_with_logits(raw[:, :2], shift.clamp(0, 1), reduction="none").sum(1)
        return (weight * (xy + 0.5 * (raw[:, 2:] - size).square().sum(1))).sum()


def _padded(targets: Tensor, n: int) -> Tensor:
    """Boxes (M, 6) -> (n, most, 4) cx, cy, w, h; rows of zeros overlap nothing."""
    counts = torch.bincount(targets[:, 0].long(), minlength=n)
    most = max(1, int(counts.max())) if len(targets) else 1
    out = targets.new_zeros((n, most, 4))
    starts = counts.cumsum(0) - counts
    picture = targets[:, 0].long()
    out[picture, torch.arange(len(targets), device=targets.device) - starts[picture]] = targets[:, 2:]
    return out


def _decoded(raw: Tensor, anchors: Tensor) -> Tensor:
    """Raw (n, A, h, w, 4) -> cx, cy, w, h in 0..1."""
    h, w = raw.shape[2:4]
    x = (raw[..., 0].sigmoid() + torch.arange(w, device=raw.device)) / w
    y = (raw[..., 1].sigmoid() + torch.arange(h, device=raw.device)[:, None]) / h
    wh = raw[..., 2:].clamp(max=8).exp() * anchors[:, None, None]
    return torch.cat((x[..., None], y[..., None], wh), -1)


@torch.no_grad()
def _unmatched(boxes: Tensor, padded: Tensor) -> Tensor:
    """1 where a prediction overlaps no box of its picture by more than `IGNORE`, else 0: (n, A, h, w)."""
    n = boxes.shape[0]
    flat = boxes.detach().reshape(n, -1, 1, 4)
    best = iou(flat, padded[:, None]).amax(2)
    return (best <= IGNORE).to(boxes).view(boxes.shape[:-1])


def _corners(b: Tensor) -> List[Tensor]:
    half = b[..., 2:] / 2
    return [*(b[..., :2] - half).unbind(-1), *(b[..., :2] + half).unbind(-1)]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes cx, cy, w, h; broadcasts."""
    return _overlap(a, b, "iou")


def _overlap(a: Tensor, b: Tensor, kind: str) -> Tensor:
    ax0, ay0, ax1, ay1 = _corners(a)
    bx0, by0, bx1, by1 = _corners(b)
    inside = (torch.minimum(ax1, bx1) - torch.maximum(ax0, bx0)).clamp(min=0) * (
        torch.minimum(ay1, by1) - torch.maximum(ay0, by0)
    ).clamp(min=0)
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - inside
    value = inside / (union + 1e-9)
    if kind == "iou":
        return value
    w = torch.maximum(ax1, bx1) - torch.minimum(ax0, bx0)
    h = torch.maximum(ay1, by1) - torch.minimum(ay0, by0)
    if kind == "giou":
        return value - (w * h - union) / (w * h + 1e-9)
    apart = (a[..., :2] - b[..., :2]).square().sum(-1) / (w * w + h * h + 1e-9)
    turn = torch.atan(b[..., 2] / (b[..., 3] + 1e-9)) - torch.atan(a[..., 2] / (a[..., 3] + 1e-9))
    v = 4 / math.pi**2 * turn.square()
    with torch.no_grad():
        share = v / (1 - value + v + 1e-9)
    return value - apart - share * v
