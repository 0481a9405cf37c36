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
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence, Tuple

from ..cache import files
from ..errors import BuildFailed
from . import _trt_calibration, _trt_chip, _trt_log

if TYPE_CHECKING:
    import pycuda.driver as cuda
    import tensorrt as trt

LOG = logging.getLogger(__name__)
_NONE: Mapping[str, float] = MappingProxyType({})


def strongly_typed() -> bool:
    """Whether this TensorRT only builds strongly typed networks."""
    import tensorrt as trt

    return not hasattr(trt.BuilderFlag, "FP16")


def serve(request: Mapping[str, Any]) -> Dict[str, Any]:
    """Build in the child process: the graph `request["onnx"]` into the file `request["plan"]`.

    `request["options"]` are the fields of a recipe that matter here, `request["timing"]` is a file that remembers how
    fast the kernels are, or "". `request["steps"]` are those of a graph without pairs that is built in int8 all the
    same, and `request["float_layers"]` the layers that int8 must leave alone. Returns the layers that the DLA has left
    to the GPU. Raises `BuildFailed` or `EngineUnavailable`.
    """
    context: cuda.Context = _trt_chip.context()
    try:
        with _trt_chip.current(context):
            plan, gpu_layers = build(
                Path(request["onnx"]).read_bytes(), request["name"], request["options"], request["timing"],
                steps=request["steps"], float_layers=request["float_layers"],
            )  # fmt: skip
    finally:
        context.detach()
    with files.atomic(request["plan"]) as file:
        file.write(plan)
    return {"size": len(plan), "gpu_layers": gpu_layers}


def build(
    onnx: bytes, name: str, options: Mapping[str, Any], timing: str, *, steps: Mapping[str, float] = _NONE,
    float_layers: Sequence[str] = (),
) -> Tuple[bytes, List[str]]:  # fmt: skip
    """Build a graph's plan; also the layers that fall back from the DLA to the GPU, by name.

    A CUDA context must be current. Raises `BuildFailed`.
    """
    import tensorrt as trt

    _trt_log.clear()
    builder: trt.Builder = trt.Builder(_trt_log.logger())
    network: trt.INetworkDefinition = builder.create_network(_network_flags())
    _parse(network, onnx, name)
    config: trt.IBuilderConfig = builder.create_builder_config()
    _configure(config, options)
    if options["precision"] == "int8":
        _keep_in_float(network, config, float_layers)
    gpu_layers: List[str] = []
    if options["dla_core"] is not None:
        # A name for as long as it is built: the config does not hold it.
        calibrator = _trt_calibration.use_steps(config, steps) if steps else None  # noqa: F841
        _use_dla(builder, config, options)
        gpu_layers = _list_gpu_layers(network, config)
        _check_fallback(name, gpu_layers, options)
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
    return bytes(plan), gpu_layers


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


def _keep_in_float(network: trt.INetworkDefinition, config: trt.IBuilderConfig, names: Sequence[str]) -> None:
    """Have layers computed in fp16 where int8 would be allowed; a strongly typed network has its types."""
    import tensorrt as trt

    if not hasattr(trt.BuilderFlag, "FP16"):
        return
    for index in range(network.num_layers):
        layer: trt.ILayer = network.get_layer(index)
        if layer.name in names:
            layer.precision = trt.DataType.HALF
    if hasattr(trt.BuilderFlag, "PREFER_PRECISION_CONSTRAINTS"):
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
    else:
        config.set_flag(trt.BuilderFlag.STRICT_TYPES)


def _list_gpu_layers(network: trt.INetworkDefinition, config: trt.IBuilderConfig) -> List[str]:
    """List the layers that compute something and cannot run on the DLA."""
    import tensorrt as trt

    names = []
    for index in range(network.num_layers):
        layer: trt.ILayer = network.get_layer(index)
        if layer.type != trt.LayerType.CONSTANT and not config.can_run_on_DLA(layer):
            names.append(str(layer.name))
    return names


def _check_fallback(name: str, gpu_layers: Sequence[str], options: Mapping[str, Any]) -> None:
    if gpu_layers and not options["gpu_fallback"]:
        more = f" and {len(gpu_layers) - 5} more" if len(gpu_layers) > 5 else ""
        raise BuildFailed(
            f"{len(gpu_layers)} layers of {name} cannot run on the DLA: {', '.join(gpu_layers[:5])}{more}; let them "
            "run on the GPU with gpu_fallback = true in the recipe's [dla]"
        )


def _load_timing_cache(config: trt.IBuilderConfig, timing: Path) -> None:
    """Load the timing cache of earlier builds, or an empty one if it is of another device."""
    known = b""
    with suppress(OSError):
        known = timing.read_bytes()
    cache: trt.ITimingCache = config.create_timing_cache(known)
    if not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
