"""Run a graph once on onnxruntime, to see what its outputs are."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from ...errors import BadModel
from ...graph import onnx_model
from ...types import Array

MAX_MEASURED = 2048 * 2048  # pixels of an image run only to see shapes: a damaged file must not ask for gigabytes


def image_shape(proto: Any) -> List[int]:
    """Return the sides of a graph's first input."""
    return [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]


def can_run(proto: Any) -> bool:
    """Whether onnxruntime is installed and the image small enough to run only for this."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    *_, height, width = image_shape(proto)
    return height * width <= MAX_MEASURED


def run(proto: Any, filename: str, image: Array) -> List[Array]:
    """Run a graph of one input on one batch; returns all outputs. Raises `BadModel`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    feed: Dict[str, Array] = {proto.graph.input[0].name: image}
    try:
        session = ort.InferenceSession(
            onnx_model.serialize(proto, filename), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )  # its fallback is the same provider again, with a banner on stdout
        return [np.asarray(array) for array in session.run(None, feed)]
    except BadModel:
        raise
    except Exception as error:  # onnxruntime's errors share no class that it exports
        sides = "x".join(map(str, image.shape))
        raise BadModel(f"{filename}: onnxruntime cannot run it at {sides}: {error}") from error
