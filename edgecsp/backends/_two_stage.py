"""The two graphs of a ThunderNet as one session; the steps between them are `heads.two_stage`'s."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List

import numpy as np

from ..processing.heads import two_stage
from ..types import Array, Model
from .base import Session


class TwoStageSession(Session):
    """Two stages as one session: an image goes in; proposals, class logits and class deltas come out.

    `run` gives rois (N, R, 4) xyxy in network pixels, logits (N, R, classes + 1) with the background first,
    and deltas (N, R, 4): what `two_stage.boxes` reads.
    """

    def __init__(self, model: Model, first: Session, second: Session, count: int) -> None:
        self._model, self._first, self._second, self._count = model, first, second, count
        self.info = first.info  # type: ignore[misc]
        self.concurrency = min(first.concurrency, second.concurrency)

    def run(self, batch: Array) -> List[Array]:
        """(N, 3, h, w) float32 -> [rois, logits, deltas]."""
        heads, hw = self._model.heads, batch.shape[2:]
        stride = two_stage.find(heads, "features").stride
        features, *raw = self._first.run(batch)
        outputs: List[List[Array]] = [[], [], []]
        for i in range(len(batch)):
            rois = two_stage.proposals(heads, [out[i : i + 1] for out in raw], (hw[0], hw[1]), self._count)
            samples = two_stage.ps_roi_align(features[i], rois, stride)
            logits, deltas = self._second.run(samples.reshape(self._count, -1, 1, 1))
            for column, values in zip(outputs, (rois, logits, deltas)):
                column.append(values.reshape(self._count, -1))
        return [np.stack(column) for column in outputs]

    def close(self) -> None:
        """Close both stages."""
        self._first.close()
        self._second.close()


def open_stages(model: Model, open_stage: Callable[[Model], Session]) -> Session:
    """Open a model with `open_stage`, both its stages where it has two."""
    if model.second is None:
        return open_stage(model)
    count = _batch(model.second)
    return TwoStageSession(model, open_stage(replace(model, second=None)), open_stage(model.second), count)


def _batch(second: Model) -> int:
    """How many proposals the second graph takes at a time."""
    import onnx

    proto = onnx.load_model_from_string(second.onnx)
    return int(proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value)
