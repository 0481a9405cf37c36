"""OpenVINO: the first choice on an x86 CPU, in fp32, bf16 and int8; on Intel's GPUs and NPUs in fp16, too."""

from __future__ import annotations

import hashlib
import io
import queue
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from ..cache import plans
from ..errors import BuildFailed, EngineUnavailable
from ..processing import preprocess
from ..system import cpu, versions
from ..types import Array, Model
from .base import EngineInfo, Session, SessionOptions

_DEVICES = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
NARROW = 16  # channels up to which pools in float are faster than in int8


class OpenVinoSession(Session):
    """A graph compiled by OpenVINO: for one image as early as possible, or for `concurrency` side by side."""

    info = EngineInfo(
        "openvino",
        "the first choice on an x86 CPU, in fp32, bf16 and int8.",
        requires=("openvino",),
        extra="openvino",
        devices=tuple(_DEVICES),
        precisions=("fp32", "bf16", "int8"),
        other_precisions=("fp32", "fp16", "int8"),
        concurrent_devices=("cpu",),
        accepts_uint8=True,
        auto_rank=20,
        auto_reason="the first choice on an x86 CPU",
        auto_x86_only=True,
    )

    @classmethod
    def unavailable_reason(cls, device: str) -> Optional[str]:
        """None for the CPU and for a device that OpenVINO sees, else what it sees instead."""
        if device == "cpu":
            return None
        import openvino as ov

        devices = ov.Core().available_devices
        if any(each.partition(".")[0] == _DEVICES[device] for each in devices):
            return None
        version = ov.__version__.partition("-")[0]
        return (
            f"finds no such device of Intel's: OpenVINO {version} sees {', '.join(devices)}; install its "
            "driver, in a container pass its device file through, then see: edgecsp doctor"
        )

    @classmethod
    def auto_precision(cls, device: str) -> Optional[str]:
        """Return bf16 on a CPU with AVX-512 BF16 or AMX, fp16 on a GPU or NPU, else None."""
        import openvino as ov

        if device in ("gpu", "npu"):
            return "fp16"
        return "bf16" if device == "cpu" and _is_bf16_native(ov.Core()) else None

    @classmethod
    def measured_speed(cls) -> Optional[float]:
        """Return the geometric mean over four networks, in bf16 and in fp32; None for CPUs without AVX-512."""
        if _multiplies_bf16():
            return 2.1
        return 1.1 if "AVX-512" in cpu.isa() else None

    def __init__(self, model: Model, options: SessionOptions) -> None:
        super().__init__(model, options)
        self._compile = partial(_Compiled, model, options)
        self._opening = threading.Lock()
        self._compiled: Dict[bool, _Compiled] = {self.accepts_uint8: self._compile(self.accepts_uint8)}

    writes_files = True

    @classmethod
    def to_files(cls, model: Model) -> Dict[str, bytes]:
        """Return OpenVINO's .xml and .bin, in the graph's precision."""
        import openvino

        with tempfile.TemporaryDirectory(prefix="edgecsp-") as folder:
            place = Path(folder) / "model.xml"
            openvino.save_model(openvino.Core().read_model(model.onnx), str(place), compress_to_fp16=False)
            return {suffix: place.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin")}

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

    def __init__(self, model: Model, options: SessionOptions, is_uint8: bool) -> None:
        import openvino as ov

        self._tensor = ov.Tensor
        core, precision, concurrency = ov.Core(), options.precision, options.concurrency
        _check_precision(core, options.device, precision)
        try:
            compiled = _compile(core, model, options, is_uint8)
        except Exception as error:
            message = " ".join(str(error).split())
            raise BuildFailed(f"OpenVINO {ov.__version__} cannot build {model.name}: {message}") from error
        # Heads behind an NMS have as many rows as there are boxes, in other memory each time.
        is_fixed = all(compiled.output(head.name).partial_shape.is_static for head in model.heads)
        self._varying = () if is_fixed else tuple(head.name for head in model.heads)
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
            if self._varying:
                return [request.get_tensor(name).data.copy() for name in self._varying]
            # The results are copies, for the next call writes over the originals.
            return [each.copy() for each in outputs]
        finally:
            self._free.put(free)


def _multiplies_bf16() -> bool:
    return not {"AVX-512 BF16", "AMX BF16"}.isdisjoint(cpu.isa())


def _is_bf16_native(core: Any) -> bool:
    # OpenVINO names bf16 for CPUs that only convert it, too (AVX-NE-CONVERT). Not every system lists what there is.
    return (not cpu.isa() or _multiplies_bf16()) and _has_bf16(core)


def _is_int8_fused() -> bool:
    """Whether this OpenVINO builds int8 graphs without the pairs that change nothing: 2024's fails at an upsample."""
    import openvino as ov

    return int(ov.get_version().split(".")[0]) >= 2025


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _check_precision(core: Any, device: str, precision: str) -> None:
    """Raises `EngineUnavailable` for a precision that this very device has not."""
    if device == "cpu":
        if precision == "bf16" and not _has_bf16(core):
            raise EngineUnavailable(
                "engine 'openvino' computes in bf16 on a CPU with AVX-512 BF16 or AMX, which this one has not; type: "
                "--precision fp32"
            )
        return
    capable = [each.lower() for each in core.get_property(_DEVICES[device], "OPTIMIZATION_CAPABILITIES")]
    offered = [each for each in OpenVinoSession.info.other_precisions if each in capable]
    if precision not in offered:
        raise EngineUnavailable(
            f"engine 'openvino' computes in {', '.join(offered)} on this {device.upper()}; {precision} was requested; "
            f"type: --precision {offered[0] if offered else 'fp32 --device cpu'}"
        )


def _config(core: Any, options: SessionOptions) -> Dict[str, Any]:
    """OpenVINO's settings for a session."""
    precision, concurrency = options.precision, options.concurrency
    hint: Dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY" if concurrency == 1 else "THROUGHPUT"}
    if options.device != "cpu":
        # What an int8 graph leaves in float is computed as the device likes it best.
        return {**hint, "INFERENCE_PRECISION_HINT": _HINTS.get(precision, "f16")}
    # In int8, bf16 does no harm to what is left in float; releases of 2024 leave more in it than is good.
    rest = "bf16" if precision == "int8" and _is_bf16_native(core) and _is_int8_fused() else "f32"
    return {
        **hint,
        "NUM_STREAMS": concurrency,
        "INFERENCE_NUM_THREADS": options.threads,
        # Where the CPU has bf16 (AVX-512 BF16, AMX), OpenVINO takes it unasked, and moves heads by a hundredth.
        "INFERENCE_PRECISION_HINT": _HINTS.get(precision, rest),
        # Pinned, two processes of one thread sit on the same core, and a decoder's thread is in the way.
        "ENABLE_CPU_PINNING": False,
        # `threads` is what the caller asked for, also when that is more than there are physical cores.
        "ENABLE_HYPER_THREADING": True,
    }


def _compile(core: Any, model: Model, options: SessionOptions, is_uint8: bool) -> Any:
    """The graph, compiled now or at an earlier start; for an image's bytes, or for planes of float32."""
    import openvino as ov

    from ..graph.precision import passes

    device, config, is_int8 = _DEVICES[options.device], _config(core, options), options.precision == "int8"

    def read() -> Any:
        graph = core.read_model(_int8_form(model, is_uint8) if is_int8 else model.onnx)
        return _add_preprocessing(graph, model, is_int8) if is_uint8 else graph

    if len(model.onnx) > plans.LARGE_GRAPH or "EXPORT_IMPORT" not in core.get_property(
        device, "OPTIMIZATION_CAPABILITIES"
    ):
        return core.compile_model(read(), device, config)
    # A driver's version is among what OpenVINO's own cache goes by.
    traits = {"FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES", *core.get_property(device, "CACHING_PROPERTIES")}
    facts = {
        "engine": "openvino",
        "version": ov.get_version(),
        "edgecsp": versions.own(),  # `_add_preprocessing` lays the image in
        "device": [str(core.get_property(device, name)) for name in sorted(traits)],
        "graph": hashlib.sha256(model.onnx).hexdigest(),
        "options": config,
        **({"pixels": preprocess.factors(model.input).tolist()} if is_uint8 else {}),
        **({"passes": hashlib.sha256(Path(passes.__file__).read_bytes()).hexdigest()} if is_int8 else {}),
    }
    compiled = None

    def build() -> bytes:
        nonlocal compiled
        compiled = core.compile_model(read(), device, config)
        exported = io.BytesIO()
        compiled.export_model(exported)  # what it gives back without a stream has changed from version to version
        return exported.getvalue()

    plan = plans.get_or_rebuild(facts, build)
    return core.import_model(plan, device, config) if compiled is None else compiled


def _add_preprocessing(graph: Any, model: Model, is_int8: bool) -> Any:
    """The graph behind what takes (N, h, w, 3) uint8 in the model's colours and makes of it what `prepare` does."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    try:
        from openvino import opset13 as ops
    except ImportError:  # before 2025
        from openvino.runtime import opset13 as ops

    factors = preprocess.factors(model.input)
    if is_int8 and len(set(factors.tolist())) == 1:
        # Of one factor it makes the scale of the first convolution, which then reads the bytes where they lie.
        factors = factors[0]
    builder = PrePostProcessor(graph)
    port = builder.input(0)
    port.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    port.model().set_layout(ov.Layout("NCHW"))
    steps = port.preprocess().convert_element_type(ov.Type.f32)
    # By `prepare`'s own factors: `scale` divides, and a reciprocal may round to a neighbour.
    steps.custom(lambda builder: ops.multiply(builder, ops.constant(factors)).output(0))
    return builder.build()


def _int8_form(model: Model, is_uint8: bool) -> bytes:
    """The int8 graph as OpenVINO is fast and right with it: convolutions that read and write bytes, and little else."""
    from ..graph import precision as precisions

    if not _is_int8_fused():
        return precisions.to_uint8_activations(precisions.fold_activation_qdq(model)).onnx
    model = precisions.quantize_after_pools(precisions.fold_activation_qdq(model), NARROW)
    model = precisions.fold_float_qdq(precisions.fold_move_qdq(model))
    return precisions.to_uint8_input(precisions.to_uint8_activations(model), keep_pair=not is_uint8).onnx
