"""ncnn: small, quick on Arm, and on x86 CPUs whose fp32 peak is that of AVX2."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from ..cache import plans
from ..errors import BuildFailed
from ..processing import preprocess
from ..system import cpu
from ..types import Array, Model
from . import _ncnn_graph
from .base import EngineInfo, Session, SessionOptions

SPIN = "GOMP_SPINCOUNT"


class NcnnSession(Session):
    """A network of ncnn on the CPU; the images of a batch go through it one by one."""

    info = EngineInfo(
        "ncnn",
        "small, quick on Arm, and on x86 CPUs whose fp32 peak is that of AVX2.",
        requires=("ncnn",),
        extra="ncnn",
        devices=("cpu",),
        # On x86 it keeps fp16 as fp32.
        precisions=("fp32", "bf16") if cpu.is_x86() else ("fp32", "fp16", "bf16"),
        concurrent_devices=("cpu",),
        accepts_uint8=True,
        auto_rank=35,
        auto_reason="it runs here",
    )

    def __init__(self, model: Model, options: SessionOptions) -> None:
        super().__init__(model, options)
        ncnn = _import_ncnn()
        self._mat, self._factors = ncnn.Mat, [float(factor) for factor in preprocess.factors(model.input).ravel()]
        self._net = ncnn.Net()
        settings = self._net.opt
        settings.num_threads = options.threads // options.concurrency
        settings.use_vulkan_compute = False
        # fp32 means fp32: where the CPU can, ncnn would keep maps and weights in 16 bits unasked.
        for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage"):
            setattr(settings, f"use_{name}", name.startswith(options.precision))
        graph = _convert(model)
        self._input, self._outputs = graph.input, graph.outputs
        with tempfile.TemporaryDirectory(prefix="edgecsp-") as folder:  # it reads weights from files alone
            weights = Path(folder) / "weights.bin"
            weights.write_bytes(graph.weights)
            if self._net.load_param_mem(graph.param) or self._net.load_model(str(weights)):
                raise BuildFailed(f"ncnn {ncnn.__version__} cannot build {model.name}")

    writes_files = True

    @classmethod
    def to_files(cls, model: Model) -> Dict[str, bytes]:
        """Return ncnn's .param and .bin; the input and the heads have the names of the ONNX graph in the last lines.

        They are named as pnnx names them: OpenVINO's weights are a .bin too, and both may lie in one folder.
        """
        graph = _convert(model)
        return {".ncnn.param": graph.param.encode(), ".ncnn.bin": graph.weights}

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32, or with `accepts_uint8` (N, h, w, 3) uint8, too -> one array a head."""
        laid = np.ascontiguousarray(batch, np.uint8 if batch.dtype == np.uint8 else np.float32)
        images = [self._run_one(image) for image in laid]
        return [np.stack(heads) for heads in zip(*images)]

    def _run_one(self, image: Array) -> List[Array]:
        extractor = self._net.create_extractor()
        extractor.input(self._input, self._mat(image) if image.dtype == np.float32 else self._scale(image))
        heads = []
        for name, shape in self._outputs:
            failed, head = extractor.extract(name)
            if failed:
                raise RuntimeError(f"ncnn gave no {name} (its code is {failed}); is there enough memory?")
            heads.append(np.array(head).reshape(shape))
        return heads

    def _scale(self, image: Array) -> Any:
        """(h, w, 3) uint8 as the planes that `preprocess.prepare` makes of it."""
        height, width, _ = image.shape
        planes = self._mat.from_pixels(image, self._mat.PixelType.PIXEL_RGB, width, height)  # in the order they have
        planes.substract_mean_normalize([], self._factors)
        return planes

    def close(self) -> None:
        """Drop the network; once more does nothing."""
        vars(self).pop("_net", None)


def _import_ncnn() -> Any:
    """Import ncnn with threads that soon sleep when they wait for each other.

    Its OpenMP library, which reads the variable as it is loaded, lets them spin for milliseconds a layer: with another
    busy program on the cores a network took four times as long.
    """
    is_set = any(name in os.environ for name in (SPIN, "OMP_WAIT_POLICY"))
    if not is_set:
        os.environ[SPIN] = "1000"
    try:
        import ncnn
    finally:
        if not is_set:
            del os.environ[SPIN]
    return ncnn


def _convert(model: Model) -> _ncnn_graph.NcnnGraph:
    """The graph in ncnn's format, converted now or at an earlier start."""
    facts = {
        "engine": "ncnn",
        "converter": hashlib.sha256(Path(_ncnn_graph.__file__).read_bytes()).hexdigest(),
        "graph": hashlib.sha256(model.onnx).hexdigest(),
    }
    names = [head.name for head in model.heads]
    if len(model.onnx) > plans.LARGE_GRAPH:
        return _ncnn_graph.to_ncnn(model.onnx, names, model.name)
    data = plans.get_or_rebuild(facts, lambda: _ncnn_graph.to_ncnn(model.onnx, names, model.name).to_bytes())
    return _ncnn_graph.NcnnGraph.from_bytes(data)
