"""OpenVINO: the first choice on an x86 CPU, in fp32 and in int8."""

from __future__ import annotations

from typing import List

import numpy as np

from ..core import Array, Model
from ..errors import BuildFailed

REQUIRES = ("openvino",)
EXTRA = "openvino"
DEVICES = ("cpu",)
PRECISIONS = ("fp32", "int8")


class Session:
    """An OpenVINO graph compiled for the CPU: one picture at a time, as soon as it can be."""

    def __init__(self, model: Model, device: str, threads: int, precision: str) -> None:
        import openvino as ov

        core = ov.Core()
        wanted = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Where the CPU has bf16 (AVX-512 BF16, AMX), OpenVINO takes it unasked, and moves heads by a hundredth.
            "INFERENCE_PRECISION_HINT": "f32",
            # Pinned, two processes of one thread sit on the same core, and a decoder's thread is in the way.
            "ENABLE_CPU_PINNING": False,
            # `threads` is what the caller asked for, also when that is more than there are physical cores.
            "ENABLE_HYPER_THREADING": True,
        }
        try:
            compiled = core.compile_model(core.read_model(_graph(model, precision)), "CPU", wanted)
        except Exception as error:
            said = " ".join(str(error).split())
            raise BuildFailed(f"OpenVINO {ov.__version__} cannot build {model.name}: {said}") from error
        self._request = compiled.create_infer_request()
        self._outputs = [head.name for head in model.heads]

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head."""
        # The picture is read where it lies; the results are copies, for the next call writes over the originals.
        found = self._request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True, share_outputs=False)
        return [found[name] for name in self._outputs]

    def close(self) -> None:
        """Drop the compiled graph; once more does nothing."""
        vars(self).pop("_request", None)


def _graph(model: Model, precision: str) -> bytes:
    """The graph as OpenVINO is fast and right with it: in int8 it takes activations along, and uint8 alone as it is."""
    if precision != "int8":
        return model.onnx
    from .. import precision as precisions

    return precisions.unsigned(precisions.fused(model)).onnx
