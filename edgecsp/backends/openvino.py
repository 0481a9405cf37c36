"""OpenVINO: the first choice on an x86 CPU, in fp32, bf16 and int8."""

from __future__ import annotations

import hashlib
import io
import queue
import threading
from functools import partial
from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from ..cache import plans
from ..errors import BuildFailed, EngineUnavailable
from ..processing import preprocess
from ..system import cpu, versions
from ..types import Array, Input, Model
from .base import EngineInfo, Session, SessionOptions


class OpenVinoSession(Session):
    """An OpenVINO graph compiled for the CPU: for one image as early as possible, or for `concurrency` side by side."""

    info = EngineInfo(
        "openvino",
        "the first choice on an x86 CPU, in fp32, bf16 and int8.",
        requires=("openvino",),
        extra="openvino",
        devices=("cpu",),
        precisions=("fp32", "bf16", "int8"),
        concurrent_devices=("cpu",),
        accepts_uint8=True,
        auto_rank=20,
        auto_reason="the first choice on an x86 CPU",
        auto_x86_only=True,
    )

    @classmethod
    def auto_precision(cls, device: str) -> Optional[str]:
        """Return bf16 on a CPU with AVX-512 BF16 or AMX, else None."""
        import openvino as ov

        # OpenVINO names bf16 for CPUs that only convert it, too (AVX-NE-CONVERT). Not every system lists what there is.
        is_native = not cpu.isa() or _multiplies_bf16()
        return "bf16" if device == "cpu" and is_native and _has_bf16(ov.Core()) else None

    @classmethod
    def measured_speed(cls) -> Optional[float]:
        """Return the geometric mean over four networks, in bf16 and in fp32; None for CPUs without AVX-512."""
        if _multiplies_bf16():
            return 2.1
        return 1.1 if "AVX-512" in cpu.isa() else None

    def __init__(self, model: Model, options: SessionOptions) -> None:
        super().__init__(model, options)
        self._compile = partial(_Compiled, model, options.threads, options.precision, options.concurrency)
        self._opening = threading.Lock()
        self._compiled: Dict[bool, _Compiled] = {self.accepts_uint8: self._compile(self.accepts_uint8)}

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32, or with `accepts_uint8` (N, h, w, 3) uint8, too -> one array a head."""
        return self._for(batch).run(batch)

    def warm_up(self, batch: Array) -> None:
        """Compile now what `run` needs for a batch of this kind, where it is not the kind it was opened for."""
        self._for(batch)

    def _for(self, batch: Array) -> _Compiled:
        is_uint8 = self.accepts_uint8 and batch.dtype == np.uint8
        compiled = self._compiled.get(is_uint8)
        if compiled is None:
            with self._opening:
                compiled = self._compiled.get(is_uint8) or self._compile(is_uint8)
                self._compiled[is_uint8] = compiled
        return compiled

    def close(self) -> None:
        """Drop the compiled graphs; once more does nothing."""
        vars(self).pop("_compiled", None)


class _Compiled:
    """The graph for one kind of input, and the requests that it is asked by."""

    def __init__(self, model: Model, threads: int, precision: str, concurrency: int, is_uint8: bool) -> None:
        import openvino as ov

        self._tensor = ov.Tensor
        config = {
            "PERFORMANCE_HINT": "LATENCY" if concurrency == 1 else "THROUGHPUT",
            "NUM_STREAMS": concurrency,
            "INFERENCE_NUM_THREADS": threads,
            # Where the CPU has bf16 (AVX-512 BF16, AMX), OpenVINO takes it unasked, and moves heads by a hundredth.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            # Pinned, two processes of one thread sit on the same core, and a decoder's thread is in the way.
            "ENABLE_CPU_PINNING": False,
            # `threads` is what the caller asked for, also when that is more than there are physical cores.
            "ENABLE_HYPER_THREADING": True,
        }
        core = ov.Core()
        if precision == "bf16" and not _has_bf16(core):
            raise EngineUnavailable(
                "engine 'openvino' computes in bf16 on a CPU with AVX-512 BF16 or AMX, which this one has not; type: "
                "--precision fp32"
            )
        try:
            spec = model.input if is_uint8 else None
            compiled = _compile(core, _graph(model, precision), config, spec)
        except Exception as error:
            message = " ".join(str(error).split())
            raise BuildFailed(f"OpenVINO {ov.__version__} cannot build {model.name}: {message}") from error
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()  # the last one's memory is still in the cache
        for _ in range(concurrency):
            request = compiled.create_infer_request()
            self._free.put((request, [request.get_tensor(head.name).data for head in model.heads]))
        if concurrency > 1:
            # Its bindings make themselves ready in the first call, and two first calls at once wait for each other for
            # ever: one holds Python's lock, the other what it wants.
            self.run(np.zeros(compiled.input(0).shape, np.uint8 if is_uint8 else np.float32))

    def run(self, batch: Array) -> List[Array]:
        """Raises OpenVINO's own error when the batch is of another shape or type."""
        # A name for as long as it is read, for the tensor does not hold it; and OpenVINO takes no locked memory.
        laid = np.require(batch, requirements=("C", "W"))
        free = self._free.get()
        request, outputs = free
        try:
            # The image is read where it lies. Named in `infer`, it would take twice as long to hand over.
            request.set_input_tensor(self._tensor(laid, shared_memory=True))
            request.infer(share_outputs=True)
            # The results are copies, for the next call writes over the originals.
            return [each.copy() for each in outputs]
        finally:
            self._free.put(free)


def _multiplies_bf16() -> bool:
    return not {"AVX-512 BF16", "AMX BF16"}.isdisjoint(cpu.isa())


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compile(core: Any, graph: bytes, config: Mapping[str, Any], pixels: Optional[Input]) -> Any:
    """The graph, compiled now or at an earlier start; for bytes of that input in front of it, or as it is."""
    import openvino as ov

    def read() -> Any:
        graph_model = core.read_model(graph)
        return graph_model if pixels is None else _add_preprocessing(graph_model, pixels)

    if len(graph) > plans.LARGE_GRAPH:
        return core.compile_model(read(), "CPU", config)
    facts = {
        "engine": "openvino",
        "version": ov.get_version(),
        "edgecsp": versions.own(),  # `_scaled` lays the image in
        "device": [str(core.get_property("CPU", name)) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")],
        "graph": hashlib.sha256(graph).hexdigest(),
        "options": config,
        **({"pixels": preprocess.factors(pixels).tolist()} if pixels else {}),
    }
    compiled = None

    def build() -> bytes:
        nonlocal compiled
        compiled = core.compile_model(read(), "CPU", config)
        exported = io.BytesIO()
        compiled.export_model(exported)  # what it gives back without a stream has changed from version to version
        return exported.getvalue()

    plan = plans.get_or_rebuild(facts, build)
    return core.import_model(plan, "CPU", config) if compiled is None else compiled


def _add_preprocessing(graph: Any, spec: Input) -> Any:
    """The graph behind what takes (N, h, w, 3) uint8 in the model's colours and makes of it what `prepare` does."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    try:
        from openvino import opset13 as ops
    except ImportError:  # before 2025
        from openvino.runtime import opset13 as ops

    builder = PrePostProcessor(graph)
    port = builder.input(0)
    port.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    port.model().set_layout(ov.Layout("NCHW"))
    steps = port.preprocess().convert_element_type(ov.Type.f32)
    # By `prepare`'s own factors: `scale` divides, and a reciprocal may round to a neighbour.
    steps.custom(lambda builder: ops.multiply(builder, ops.constant(preprocess.factors(spec))).output(0))
    return builder.build()


def _graph(model: Model, precision: str) -> bytes:
    """The graph as OpenVINO is fast and right with it: in int8 it takes activations along, and uint8 alone as it is."""
    if precision != "int8":
        return model.onnx
    from ..graph import precision as precisions

    return precisions.to_uint8_activations(precisions.fold_activation_qdq(model)).onnx
