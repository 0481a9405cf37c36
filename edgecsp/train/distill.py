"""Distillation: another network's heads as soft labels, computed on each batch and compared cell by cell.

A teacher's boxes (`teacher`) say what it is sure of, once an image. Its heads say how sure it is in every cell, of the
very mosaic that is learned from. After "Object detection at 200 frames per second" (Mehta and Ozturk, 2018): boxes and
classes count as much as the teacher takes an object to be there. Both networks must have heads at the same strides with
as many anchors; the one that learns takes the teacher's anchors.
"""

from __future__ import annotations

from typing import Callable, List, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UsageError
from .loss import WEIGHTS, HeadPredictions, Terms, at_least_one, ciou, predict
from .model import Layout
from .network import Network, yolo_heads
from .start import Start

FAINT = 0.01  # score of the teacher below which its box and classes are not compared


class Distillation:
    """The loss of a network's heads against those of a teacher that sees the same images.

    Raises `UsageError` for a teacher of other heads, or that lacks one of the classes.
    """

    def __init__(
        self, teacher: Start, layout: Layout, device: str = "cpu", weights: Tuple[float, float, float] = WEIGHTS
    ) -> None:
        name = f"--distill: {teacher.name}"
        if teacher.net is None or not teacher.labels:
            raise UsageError(f"{name} does not say which classes it knows; put X.names beside X.weights")
        own, theirs = (list(yolo_heads(net).values()) for net in (layout.net(), teacher.net))
        known = teacher.shared(layout.labels)
        if lacking := [label for place, label in enumerate(layout.labels) if place not in known]:
            raise UsageError(f"{name} does not know {', '.join(lacking)}; it knows {', '.join(teacher.labels)}")
        self.network = Network(teacher.net)
        self.network.load_state_dict(dict(teacher.state))
        self.network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self.heads, self.weights = own, weights
        kinds = [[(head.stride, len(head.anchors_wh)) for head in heads] for heads in (own, theirs)]
        if sorted(kinds[0]) != sorted(kinds[1]):
            layouts = [", ".join(f"{count} at stride {stride}" for stride, count in kind) for kind in kinds]
            raise UsageError(f"{name} has other heads than {layout.name}: anchors {layouts[1]}, and here {layouts[0]}")
        self._order = [kinds[1].index(kind) for kind in kinds[0]]
        self._theirs = [theirs[place] for place in self._order]
        self._classes = torch.tensor([known[place] for place in range(len(layout.labels))], device=device)

    @torch.no_grad()
    def teach(self, images: Tensor) -> List[Tensor]:
        """The teacher's raw heads for the network's input (N, 3, H, W), in the order of the network's own."""
        outputs = self.network(images)
        return [outputs[place] for place in self._order]

    def __call__(
        self,
        outputs: Sequence[Tensor],
        taught: Sequence[Tensor],
        side: Tuple[int, int],
        norm: Callable[[Tensor], Tensor] = at_least_one,
    ) -> Terms:
        """`outputs` and `taught`: raw heads of N inputs of `side` (h, w) px; means over what the teacher sees."""
        ours = predict(self.heads, outputs, side)
        with torch.no_grad():
            theirs = predict(self._theirs, taught, side)
            present, named = self._scores(theirs)
            count = norm(present.sum())
            compared = present > FAINT
        sure = present[compared]
        terms = (
            ((1 - ciou(ours.boxes[compared], theirs.boxes[compared])) * sure).sum(),
            F.binary_cross_entropy_with_logits(ours.raw[..., 4], present, reduction="sum"),
            F.binary_cross_entropy_with_logits(
                ours.raw[..., 5:][compared], named[compared], sure[:, None], reduction="sum"
            ),
        )
        return Terms(*(term * weight / count for term, weight in zip(terms, self.weights)))

    def _scores(self, theirs: HeadPredictions) -> Tuple[Tensor, Tensor]:
        """Objectness (N, P) and classes (N, P, C) whose products are the teacher's scores of the classes to learn."""
        scores = theirs.raw[..., 4:5].sigmoid() * theirs.raw[..., 5:].sigmoid()[..., self._classes]
        present = scores.amax(-1)
        return present, scores / present[..., None].clamp(min=1e-9)
