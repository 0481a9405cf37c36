"""onnxruntime: runs everywhere, the reference the other engines are held against."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
from typing import Any, Dict, List, Optional

from ..errors import BuildFailed, EngineUnavailable
from ..types import Array, Model
from .base import EngineInfo, Session, SessionOptions

_PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
# The two packages hold the same module: beside the CPU's, the GPU's is not seen.
_INSTALL = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"


def _no_gpu() -> Optional[str]:
    """Why there is no CUDA device, as the driver says it; None when there is one."""
    library = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return f"finds no NVIDIA driver ({library}); install the driver, then see: nvidia-smi"
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if failed or not count.value:
        return f"finds no CUDA device (the driver's answer: {failed}, {count.value} devices); see: nvidia-smi"
    return None


class OrtSession(Session):
    """An onnxruntime session on one provider; what the provider cannot do, onnxruntime does on the CPU."""

    info = EngineInfo(
        "ort",
        "runs everywhere, the reference the other engines are held against.",
        requires=("onnxruntime",),
        aliases=("onnxruntime",),
        devices=("cpu", "cuda", "tensorrt"),
        precisions=("fp32", "fp16", "int8"),
        concurrent_devices=("cpu",),
        auto_rank=30,
        auto_reason="the one that runs everywhere",
    )

    @classmethod
    def unavailable_reason(cls, device: str) -> Optional[str]:
        """None when the installed onnxruntime has the device's provider and the machine the device, else why not."""
        import onnxruntime as ort

        provider, offered = _PROVIDERS[device][0], ort.get_available_providers()
        if provider not in offered:
            lacks = provider if "CUDAExecutionProvider" in offered else "CUDA or TensorRT provider"
            return f"has no {lacks} in onnxruntime {ort.__version__}; on a machine with an NVIDIA GPU type: {_INSTALL}"
        return None if device == "cpu" else _no_gpu()

    def __init__(self, model: Model, options: SessionOptions) -> None:
        super().__init__(model, options)
        import onnxruntime as ort

        device, precision = options.device, options.precision
        settings = ort.SessionOptions()
        # Of one thread it computes in the caller's own, and several callers may.
        settings.intra_op_num_threads = options.threads // options.concurrency
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3  # its warnings speak of graph internals; stderr is for people
        providers = [(name, _options(name, precision)) for name in _PROVIDERS[device]]
        libraries = "" if device == "cpu" else _preload_cuda(ort)
        graph = _graph(model, device, precision)
        try:
            self._session = ort.InferenceSession(graph, settings, providers=providers, enable_fallback=0)
        except Exception as error:
            raise BuildFailed(f"onnxruntime {ort.__version__} cannot build {model.name}: {error}") from error
        # A provider whose libraries do not load is left out, with a line in a log that nobody reads.
        got = self._session.get_providers()
        if got[0] != _PROVIDERS[device][0]:
            raise EngineUnavailable(
                f"engine 'ort' was asked for {device} and onnxruntime {ort.__version__} got {', '.join(got)}: its GPU "
                f"libraries do not load ({libraries or 'see its log above'}); type: {_INSTALL}"
            )
        self._session.disable_fallback()
        self._input = self._session.get_inputs()[0].name
        self._outputs = [head.name for head in model.heads]

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head."""
        outputs: List[Array] = self._session.run(self._outputs, {self._input: batch})
        return outputs

    def close(self) -> None:
        """Drop the session; once more does nothing."""
        vars(self).pop("_session", None)


def _preload_cuda(ort: Any) -> str:
    """Load CUDA and cuDNN of pip's nvidia packages, where onnxruntime knows how (since 1.21); what it says of it."""
    with contextlib.redirect_stdout(io.StringIO()) as output:  # it prints, and stdout is for data
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
    return "; ".join(output.getvalue().splitlines()[:2])


def _graph(model: Model, device: str, precision: str) -> bytes:
    from ..graph import precision as precisions
    from ..system import cpu

    if precision == "fp16" and precisions.detect_precision(model) == "fp32":
        return precisions.to_fp16(model).onnx
    if precision == "int8" and device == "cpu":
        if cpu.is_x86():
            return precisions.quantize_biases(precisions.to_uint8_activations(model)).onnx
        return precisions.to_zero_points(model).onnx
    return model.onnx


def _options(provider: str, precision: str) -> Dict[str, Any]:
    if provider == "CUDAExecutionProvider":
        return {"use_tf32": "0"}  # fp32 means fp32: TF32 keeps 10 of its 23 bits
    if provider == "TensorrtExecutionProvider":
        return {"trt_fp16_enable": str(precision == "fp16"), "trt_int8_enable": str(precision == "int8")}
    return {}
