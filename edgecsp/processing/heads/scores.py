"""A classifier's scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np

from ...errors import BadModel
from ...options import Thresholds
from ...types import Array, Classes, Geometry, Head, Model
from ..nms import EMPTY, Candidates


@dataclass(frozen=True)
class Scores(Head):
    """A classifier's output `name`, (1, classes) or (1, classes, 1, 1).

    `softmax` says that the values are logits and a softmax is still to be applied.
    """

    kind = "scores"
    result = Classes
    nms_free = True
    is_resizable = False
    softmax: bool = False

    @property
    def shape(self) -> Tuple[int, ...]:
        """(1, classes), or (1, classes, 1, 1)."""
        return (0, self.classes)

    def detect(self, model: Model, outputs: Sequence[Array], options: Thresholds) -> Candidates:
        """No boxes."""
        return EMPTY

    def finish(self, model: Model, outputs: Sequence[Array], geometry: Geometry, options: Thresholds) -> Classes:
        """Decode the best 5 classes."""
        return self.classify(model, outputs)

    def classify(self, model: Model, outputs: Sequence[Array], top: int = 5) -> Classes:
        """Decode the `top` classes of one image, highest score first. Raises `BadModel`."""
        scores = outputs[0].reshape(-1).astype(np.float32)
        if scores.size != self.classes:
            raise BadModel(f"the classifier gave {scores.size} scores for {self.classes} classes")
        if not np.isfinite(scores).all():
            raise BadModel(f"{model.name} gave scores that are no numbers; its weights or its precision are at fault")
        if self.softmax:
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        best = np.argsort(-scores, kind="stable")[:top]
        return Classes(scores[best], best.astype(np.int32), model.labels)
