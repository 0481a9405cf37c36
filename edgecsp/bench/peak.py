"""Peak throughput of this machine: the matrix product of the available engines, timed like everything else.

A network's share of it shows how well an engine uses the machine. It is not a bound: a convolution may need fewer
operations than are counted for it (Winograd), and then its share is above one.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np

from .. import backends
from ..errors import EdgecspError
from ..processing.heads.two_stage import Raw
from ..types import Input, Model
from ._tasks import WorkerTask, inference_task
from .process import Process

SIDE = 1536
SECONDS = 0.4
PRECISIONS = ("fp32", "bf16", "int8")
_SCALE = 1 / 64  # of the int8 values; any would do


def measure_peak(
    engines: Sequence[str], device: str, threads: int, *, tick: Callable[[], None] = lambda: None
) -> Dict[str, Optional[float]]:
    """Measure GFLOP/s of the best engine by precision (multiply and add are two); None where no engine offers it."""
    peaks: Dict[str, Optional[float]] = {}
    for precision in PRECISIONS:
        reached = [
            _measure_engine(engine, device, threads, precision, tick)
            for engine in engines
            if precision in backends.info(engine).precisions
        ]
        peaks[precision] = max((each for each in reached if each is not None), default=None)
    return peaks


def _measure_engine(
    engine: str, device: str, threads: int, precision: str, tick: Callable[[], None]
) -> Optional[float]:
    request = {
        "make": f"{__name__}:product_task", "engine": engine, "device": device, "threads": threads,
        "precision": precision, "warm_s": 1.0,
    }  # fmt: skip
    try:
        process = Process(request, f"a matrix product on {engine}", tick)
    except EdgecspError:
        return None  # an engine that does not multiply matrices is not this machine's best
    try:
        best = min(process.round(SECONDS, 60.0)["ms"])
    except EdgecspError:
        return None
    finally:
        process.close()
    return float(2 * SIDE**3 / best / 1e6)


def product_task(request: Dict[str, Any]) -> WorkerTask:
    """Build the task: a product of two square matrices on an engine, one of them constant as weights are."""
    session = backends.open(
        product_model(SIDE, request["precision"] == "int8"),
        request["engine"], device=request["device"], threads=request["threads"], precision=request["precision"],
    )  # fmt: skip
    batch = np.random.default_rng(1).uniform(-1, 1, (1, 1, SIDE, SIDE)).astype(np.float32)
    return inference_task(session.run, [batch], 1, 1)


def product_model(side: int, int8: bool) -> Model:
    """Build a model: (1, 1, side, side) times a constant, in fp32 or as int8 in the form that `precision` writes."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shape = [1, 1, side, side]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "c")]
    if int8:
        weights = random.integers(-127, 128, (side, side)).astype(np.int8)
        constants_by_name = {"b": weights, "scale": np.float32(_SCALE), "wide": np.float32(_SCALE * side)}
        # Zeros of their own: on x86 `precision.to_uint8_activations` moves those of activations to 128, not of weights.
        constants_by_name.update({zero: np.int8(0) for zero in ("zero", "still")})
        nodes = [
            helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["qa"], name="qa"),
            helper.make_node("DequantizeLinear", ["qa", "scale", "zero"], ["da"], name="da"),
            helper.make_node("DequantizeLinear", ["b", "scale", "still"], ["db"], name="db"),
            helper.make_node("MatMul", ["da", "db"], ["product"], name="product"),
            helper.make_node("QuantizeLinear", ["product", "wide", "zero"], ["qc"], name="qc"),
            helper.make_node("DequantizeLinear", ["qc", "wide", "zero"], ["c"], name="c"),
        ]
    else:
        constants_by_name = {"b": random.uniform(-1, 1, (side, side)).astype(np.float32)}
        nodes = [helper.make_node("MatMul", ["a", "b"], ["c"], name="product")]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants_by_name.items()]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return Model("product", Input((side, side), channels=1), (Raw("c", 1),), ("none",), onnx=proto.SerializeToString())
