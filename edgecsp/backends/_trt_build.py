"""A graph in, a plan's bytes out: the one place that drives TensorRT's builder.

Across versions by what a TensorRT has, never by its number: 8.2 has a `max_workspace_size`, later ones a memory pool
limit; 11 has no flags for a precision, because every network is strongly typed: there it is the graph's own.
Objects of TensorRT's are annotated wherever they have a name. A test reads those annotations and holds each use
against each version's own bindings.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping

from ..cache import files
from ..errors import BuildFailed
from . import _trt_chip, _trt_log

if TYPE_CHECKING:
    import pycuda.driver as cuda
    import tensorrt as trt

LOG = logging.getLogger(__name__)


def strongly_typed() -> bool:
    """Whether this TensorRT only builds strongly typed networks."""
    import tensorrt as trt

    return not hasattr(trt.BuilderFlag, "FP16")


def serve(request: Mapping[str, Any]) -> Dict[str, Any]:
    """Build in the child process: the graph `request["onnx"]` into the file `request["plan"]`.

    `request["options"]` are the fields of a recipe that matter here, `request["timing"]` is a file that remembers how
    fast the kernels are, or "". Raises `BuildFailed` or `EngineUnavailable`.
    """
    context: cuda.Context = _trt_chip.context()
    try:
        with _trt_chip.current(context):
            plan = build(Path(request["onnx"]).read_bytes(), request["name"], request["options"], request["timing"])
    finally:
        context.detach()
    with files.atomic(request["plan"]) as file:
        file.write(plan)
    return {"size": len(plan)}


def build(onnx: bytes, name: str, options: Mapping[str, Any], timing: str) -> bytes:
    """Build a graph's plan. A CUDA context must be current. Raises `BuildFailed`."""
    import tensorrt as trt

    _trt_log.clear()
    builder: trt.Builder = trt.Builder(_trt_log.logger())
    network: trt.INetworkDefinition = builder.create_network(_network_flags())
    _parse(network, onnx, name)
    config: trt.IBuilderConfig = builder.create_builder_config()
    _configure(config, options)
    if options["dla_core"] is not None:
        _use_dla(builder, config, options)
    if timing:
        _load_timing_cache(config, Path(timing))
    LOG.info("TensorRT %s times its kernels for %s; this can take minutes", trt.__version__, name)
    plan: trt.IHostMemory = builder.build_serialized_network(network, config)
    if plan is None:
        raise _trt_log.build_error(f"TensorRT {trt.__version__} cannot build {name}")
    if timing:
        cache: trt.ITimingCache = config.get_timing_cache()
        with files.atomic(timing) as file:
            file.write(bytes(cache.serialize()))
    return bytes(plan)


def _network_flags() -> int:
    import tensorrt as trt

    if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    return 0


def _parse(network: trt.INetworkDefinition, onnx: bytes, name: str) -> None:
    import tensorrt as trt

    parser: trt.OnnxParser = trt.OnnxParser(network, _trt_log.logger())
    if parser.parse(onnx):
        return
    wrong = []
    for index in range(parser.num_errors):
        error: trt.ParserError = parser.get_error(index)
        wrong.append(f"node {error.node()}: {error.desc()}")
    raise _trt_log.build_error(f"TensorRT {trt.__version__} cannot read {name} ({'; '.join(wrong[:3])})")


def _configure(config: trt.IBuilderConfig, options: Mapping[str, Any]) -> None:
    """Set workspace and precision."""
    import tensorrt as trt

    workspace = options["workspace_mb"] << 20
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    else:
        config.max_workspace_size = workspace
    if hasattr(trt.BuilderFlag, "FP16"):
        if options["precision"] == "fp16":
            config.set_flag(trt.BuilderFlag.FP16)
        elif options["precision"] == "int8":  # the ranges are the graph's own: QuantizeLinear, DequantizeLinear
            config.set_flag(trt.BuilderFlag.INT8)
            config.set_flag(trt.BuilderFlag.FP16)  # for the layers that the graph keeps in float
    if not options["tf32"]:  # on by default, where the chip has it
        config.clear_flag(trt.BuilderFlag.TF32)


def _use_dla(builder: trt.Builder, config: trt.IBuilderConfig, options: Mapping[str, Any]) -> None:
    import tensorrt as trt

    core, cores = options["dla_core"], builder.num_DLA_cores
    if core >= cores:
        raise BuildFailed(f"the recipe needs DLA core {core}, and this device has {cores or 'none'}")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    if options["gpu_fallback"]:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _load_timing_cache(config: trt.IBuilderConfig, timing: Path) -> None:
    """Load the timing cache of earlier builds, or an empty one if it is of another device."""
    known = b""
    with suppress(OSError):
        known = timing.read_bytes()
    cache: trt.ITimingCache = config.create_timing_cache(known)
    if not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
