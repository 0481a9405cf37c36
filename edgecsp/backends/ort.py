"""onnxruntime: runs everywhere, the reference the other engines are held against."""

from __future__ import annotations

from typing import List

from ..core import Array, Model
from ..errors import BuildFailed

REQUIRES = ("onnxruntime",)
EXTRA = ""
DEVICES = ("cpu",)
PRECISIONS = ("fp32",)


class Session:
    """An onnxruntime session on the CPU provider."""

    def __init__(self, model: Model, device: str, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # its warnings speak of graph internals; stderr is for people
        try:
            self._session = ort.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BuildFailed(f"onnxruntime {ort.__version__} cannot build {model.name}: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self._outputs = [head.name for head in model.heads]

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head."""
        outputs: List[Array] = self._session.run(self._outputs, {self._input: batch})
        return outputs

    def close(self) -> None:
        """Drop the session; once more does nothing."""
        vars(self).pop("_session", None)
