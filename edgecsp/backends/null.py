"""null: a dummy that computes nothing and finds nothing, to time everything around the network."""

from __future__ import annotations

from typing import List

import numpy as np

from ..errors import BuildFailed
from ..types import Array, Model, Yolo
from .base import EngineInfo, Session, SessionOptions


class NullSession(Session):
    """Answers at once, with heads of the right shapes that hold no object."""

    info = EngineInfo(
        "null",
        "a dummy that computes nothing and finds nothing, to time everything around the network.",
        requires=("onnx",),
        devices=("cpu",),
        precisions=("fp32", "fp16", "bf16", "int8"),
        concurrent_devices=("cpu",),
        is_dummy=True,
    )

    def __init__(self, model: Model, options: SessionOptions) -> None:
        super().__init__(model, options)
        import onnx
        from google.protobuf.message import DecodeError

        try:
            outputs = onnx.load_model_from_string(model.onnx).graph.output
        except DecodeError as error:
            raise BuildFailed(f"null cannot read {model.name}: its graph is no ONNX ({error})") from error
        shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in outputs}
        self._heads = []
        for head in model.heads:
            shape = shapes.get(head.name)
            if not shape or 0 in shape:
                raise BuildFailed(
                    f"null cannot tell the shape of {model.name}'s head {head.name}: the graph leaves it open"
                )
            # A logit of 0 is a chance of one half: a raw head of zeros would be full of objects.
            logits = isinstance(head, Yolo) and not head.new_coords
            self._heads.append((shape, np.float32(-30 if logits else 0)))

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head, none of which depends on it."""
        return [np.full(shape, value, np.float32) for shape, value in self._heads]

    def close(self) -> None:
        """Forget the shapes; once more does nothing."""
        vars(self).pop("_heads", None)
