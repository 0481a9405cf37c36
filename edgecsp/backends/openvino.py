"""OpenVINO: the first choice on an x86 CPU, in fp32 and in int8."""

from __future__ import annotations

import hashlib
import io
import queue
from typing import Any, List, Mapping

import numpy as np

from .. import plans
from ..core import Array, Model
from ..errors import BuildFailed

REQUIRES = ("openvino",)
EXTRA = "openvino"
DEVICES = ("cpu",)
PRECISIONS = ("fp32", "int8")
SHARED = ("cpu",)
# What OpenVINO keeps of a graph is as large as the graph: of yolov4 260 MB, to save a third of two seconds.
LARGE = 64 << 20


class Session:
    """An OpenVINO graph compiled for the CPU: one picture as soon as it can be, or `at_once` of them side by side."""

    def __init__(self, model: Model, device: str, threads: int, precision: str, at_once: int = 1) -> None:
        import openvino as ov

        core = ov.Core()
        wanted = {
            "PERFORMANCE_HINT": "LATENCY" if at_once == 1 else "THROUGHPUT",
            "NUM_STREAMS": at_once,
            "INFERENCE_NUM_THREADS": threads,
            # Where the CPU has bf16 (AVX-512 BF16, AMX), OpenVINO takes it unasked, and moves heads by a hundredth.
            "INFERENCE_PRECISION_HINT": "f32",
            # Pinned, two processes of one thread sit on the same core, and a decoder's thread is in the way.
            "ENABLE_CPU_PINNING": False,
            # `threads` is what the caller asked for, also when that is more than there are physical cores.
            "ENABLE_HYPER_THREADING": True,
        }
        try:
            compiled = _compiled(core, _graph(model, precision), wanted)
        except Exception as error:
            said = " ".join(str(error).split())
            raise BuildFailed(f"OpenVINO {ov.__version__} cannot build {model.name}: {said}") from error
        self.at_once = at_once
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()  # the last one's memory is still in the cache
        for _ in range(at_once):
            self._free.put(compiled.create_infer_request())
        self._outputs = [head.name for head in model.heads]
        if at_once > 1:
            # Its bindings make themselves ready in the first call, and two first calls at once wait for each other for
            # ever: one holds Python's lock, the other what it wants.
            self.run(np.zeros(compiled.input(0).shape, np.float32))

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head."""
        # The picture is read where it lies; the results are copies, for the next call writes over the originals.
        request = self._free.get()
        try:
            found = request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True, share_outputs=False)
        finally:
            self._free.put(request)
        return [found[name] for name in self._outputs]

    def close(self) -> None:
        """Drop the compiled graph; once more does nothing."""
        vars(self).pop("_free", None)


def _compiled(core: Any, graph: bytes, wanted: Mapping[str, Any]) -> Any:
    """The graph, compiled now or at an earlier start."""
    import openvino as ov

    if len(graph) > LARGE:
        return core.compile_model(core.read_model(graph), "CPU", wanted)
    facts = {
        "engine": "openvino",
        "version": ov.get_version(),
        "device": [str(core.get_property("CPU", name)) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")],
        "graph": hashlib.sha256(graph).hexdigest(),
        "options": wanted,
    }
    compiled = None

    def build() -> bytes:
        nonlocal compiled
        compiled = core.compile_model(core.read_model(graph), "CPU", wanted)
        exported = io.BytesIO()
        compiled.export_model(exported)  # what it gives back without a stream has changed from version to version
        return exported.getvalue()

    plan = plans.kept(facts, build)
    return core.import_model(plan, "CPU", wanted) if compiled is None else compiled


def _graph(model: Model, precision: str) -> bytes:
    """The graph as OpenVINO is fast and right with it: in int8 it takes activations along, and uint8 alone as it is."""
    if precision != "int8":
        return model.onnx
    from .. import precision as precisions

    return precisions.unsigned(precisions.fused(model)).onnx
