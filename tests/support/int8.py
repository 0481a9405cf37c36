"""Heads of int8 graphs as ONNX defines them, and how far they are off."""

from __future__ import annotations

from typing import List

import numpy as np
import onnxruntime as ort

from edgecsp import backends
from edgecsp.graph import onnx_model
from edgecsp.types import Array, Model

from .engines import require_engine


def plainly(model: Model, batch: Array) -> List[Array]:
    """The heads as ONNX defines them: node by node, nothing fused, Q/DQ in float."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
    heads: List[Array] = session.run([head.name for head in model.heads], {"images": batch})
    return heads


def run_once(model: Model, engine: str, batch: Array) -> List[Array]:
    """The heads as an engine computes them in int8; skips the test where the engine does not run."""
    session = backends.open(model, require_engine(engine), precision="int8", threads=1)
    heads = session.run(batch)
    session.close()
    return heads


def off(heads: List[Array], reference: List[Array]) -> float:
    """The largest mean difference of a head, as a share of its largest value."""
    return max(float(np.abs(a - b).mean() / np.abs(b).max()) for a, b in zip(heads, reference))


def without_notes(model: Model, note: str = "") -> Model:
    """An int8 model whose file has another note, or none, where the ranges of its maps are."""
    proto = onnx_model.parse_graph(model)
    for node in proto.graph.node:
        if node.op_type == "QuantizeLinear":
            node.doc_string = note
    return onnx_model.with_graph(model, proto)
